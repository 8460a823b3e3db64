package pluginhost_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
)

// hostCap is how much memory a host may ever have had, whatever its plugins do.
// HOSTILE.md says so.
const hostCap = 192 << 20

// foe is one case of HOSTILE.md.
type foe struct {
	plugin   string // the program that it is
	ref      string // "": plugin
	with     map[string]any
	events   []*event.Event                                   // of the unit in hand
	bring    func(dir, name string) error                     // puts it into the folder; nil: bringLink
	before   func(tr *pluginhost.Transform, dir string) error // what befalls it before the unit
	deadline time.Duration                                    // of a unit; 0: one that nothing meets
}

func five(does ...any) []*event.Event {
	events := manyRecords(5)
	events[3] = record(3, does...)
	return events
}

// foes are the cases by their names in HOSTILE.md.
var foes = map[string]foe{
	"crashes at its start":                 {plugin: "quits"},
	"crashes on the n-th event":            {plugin: "good", events: five("do", "crash")},
	"hangs (SIGSTOP)":                      {plugin: "good", events: manyRecords(5), before: stopProcess, deadline: 2 * time.Second},
	"is slow":                              {plugin: "good", events: slowRecords(60), deadline: 2 * time.Second},
	"writes garbage on the wire":           {plugin: "wire"},
	"answers a wrong count":                {plugin: "hostile", events: []*event.Event{record(1, "bad", "too few")}},
	"answers with wrong ids":               {plugin: "hostile", events: []*event.Event{record(1, "bad", "root"), record(2)}},
	"answers with 1 GiB":                   {plugin: "hostile", events: []*event.Event{record(1, "bad", "1 GiB"), record(2)}},
	"takes all memory":                     {plugin: "good", events: five("do", "hog")},
	"forks without end":                    {plugin: "good", events: five("do", "breed")},
	"prints before the handshake":          {plugin: "garbage"},
	"speaks another protocol version":      {plugin: "old"},
	"its copy is changed behind the hash":  {plugin: "good", events: manyRecords(5), before: changeFile},
	"is a symbolic link out of the folder": {plugin: "good", bring: bringSymlink},
	"is named with `../`":                  {plugin: "good", ref: "../good"},
	"panics over its configuration":        {plugin: "good", with: map[string]any{"panic": true}},
	"exits during drain":                   {plugin: "quitter", events: manyRecords(5)},
	"ignores drain":                        {plugin: "hostile", events: manyRecords(5)},
	"closes the stream":                    {plugin: "hostile", events: []*event.Event{record(1, "bad", "closes"), record(2)}},
	"floods the log":                       {plugin: "good", events: five("do", "flood")},
}

func slowRecords(n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = record(i, "do", "slow")
	}
	return events
}

func stopProcess(tr *pluginhost.Transform, _ string) error {
	return syscall.Kill(tr.PID(), syscall.SIGSTOP)
}

// changeFile ends the process and writes into its pinned copy before it is started
// again.
func changeFile(tr *pluginhost.Transform, _ string) error {
	for { // the file is in use until the process is gone
		if pid := tr.PID(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as good
		}
		f, err := os.OpenFile(tr.Binary().Path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString("x")
			return errors.Join(err, f.Close(), waitFor(func() bool { return !tr.Status().Ready }))
		}
		if !errors.Is(err, syscall.ETXTBSY) {
			return err
		}
		<-time.After(time.Millisecond)
	}
}

func waitFor(condition func() bool) error {
	for end := time.Now().Add(30 * time.Second); !condition(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("waited for 30 s in vain")
		}
	}
	return nil
}

// bringLink puts the test binary into the folder.
func bringLink(dir, name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if os.Link(self, filepath.Join(dir, name+"@1.0.0")) == nil {
		return nil
	}
	return bringCopy(dir, name) // the folder is on another disk
}

func bringSymlink(dir, name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Symlink(self, filepath.Join(dir, name+"@1.0.0"))
}

// bringCopy puts the test binary into the folder, in a file of its own.
func bringCopy(dir, name string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	f, err := os.OpenFile(filepath.Join(dir, name+"@1.0.0"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, self)
	return errors.Join(err, f.Close())
}

// outcome is what a host in a process of its own has seen of a foe: the cells of
// its row, and figures.
type outcome struct {
	Start, First, Second, Process string
	Says                          string          // everything said by and about the plugin
	Peak                          int64           // of the host's memory, bytes
	Before, During                []time.Duration // of the healthy plugin's lone units, in rising order
	Wrong                         string          // what went wrong in the host itself
}

// beAmongFoes is a host with a healthy plugin and a foe: it prints an [outcome].
func beAmongFoes(dir, name string) {
	o := &outcome{Start: "refused", First: "-", Second: "-", Process: "-"}
	if err := o.meet(dir, foes[name]); err != nil {
		o.Wrong = err.Error()
	}
	o.Peak = peakMemory()
	_ = json.NewEncoder(os.Stdout).Encode(o) // the parent notices
}

// peakMemory returns the most memory that this process ever had, in bytes.
func peakMemory() int64 {
	status, _ := os.ReadFile("/proc/self/status") // its absence is noticed as zero
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	_, _ = fmt.Sscan(string(rest), &kib)
	return kib << 10
}

func (o *outcome) meet(dir string, f foe) error {
	log := &logBuffer{}
	cfg := pluginhost.Config{
		Dir: dir, SourceDir: "-", Logger: log.logger(), CallDeadline: cmp.Or(f.deadline, time.Minute), DrainTimeout: 500 * time.Millisecond,
		BackoffFirst: 300 * time.Millisecond, BackoffMax: 300 * time.Millisecond, MemoryCap: 400 << 20,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	healthy := filepath.Join(dir, "healthy")
	quiet := cfg
	quiet.Dir, quiet.Logger, quiet.CallDeadline = healthy, nil, time.Minute
	if err := errors.Join(os.Mkdir(healthy, 0o755), bringLink(healthy, "good")); err != nil {
		return err
	}
	friend, err := pluginhost.New(quiet).Start(ctx, pluginhost.NodeConfig{Node: "h", Ref: "good", With: double, Lanes: 1})
	if err != nil {
		return err
	}
	defer friend.Close()
	if o.Before, err = latencies(ctx, friend, time.After(500*time.Millisecond)); err != nil {
		return err
	}
	met, done := make(chan time.Time), make(chan error, 1)
	go func() {
		var err error
		o.During, err = latencies(ctx, friend, met)
		done <- err
	}()
	err = o.face(ctx, cfg, f)
	close(met)
	o.Says += log.String()
	return errors.Join(err, <-done)
}

// latencies times lone units, with pauses, until end.
func latencies(ctx context.Context, tr node.Transform, end <-chan time.Time) ([]time.Duration, error) {
	var list []time.Duration
	for {
		begin := time.Now()
		if _, err := tr.Process(ctx, batch(0, record(1, "value", 1))); err != nil {
			return nil, fmt.Errorf("the healthy plugin: %w", err)
		}
		list = append(list, time.Since(begin))
		select {
		case <-end:
			slices.Sort(list)
			return list, nil
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// face starts the foe and gives it its unit, twice if need be.
func (o *outcome) face(ctx context.Context, cfg pluginhost.Config, f foe) error {
	bring := f.bring
	if bring == nil {
		bring = bringLink
	}
	if err := bring(cfg.Dir, f.plugin); err != nil {
		return err
	}
	tr, err := pluginhost.New(cfg).Start(ctx, pluginhost.NodeConfig{Node: "n", Ref: cmp.Or(f.ref, f.plugin), With: f.with, Lanes: 1})
	if err != nil {
		o.Says = err.Error() + "\n"
		return nil
	}
	defer func() { o.end(tr) }()
	o.Start = "starts"
	if f.before != nil {
		if err := f.before(tr, cfg.Dir); err != nil {
			return err
		}
	}
	o.First = o.give(ctx, tr, f.events)
	if o.First == "unsure" {
		o.Second = o.give(ctx, tr, f.events)
	}
	if o.First == "held" {
		o.Says += tr.Status().Reason + "\n"
		return nil
	}
	if after := o.give(ctx, tr, manyRecords(3)); after != "passes" {
		return fmt.Errorf("a good unit afterwards: %s", after)
	}
	return nil
}

// give processes a unit and says what became of it in the words of HOSTILE.md.
func (o *outcome) give(ctx context.Context, tr *pluginhost.Transform, events []*event.Event) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a lane that is held
		for ctx.Err() == nil && !strings.Contains(tr.Status().Reason, "has changed") {
			<-time.After(10 * time.Millisecond)
		}
		cancel()
	}()
	results, err := tr.Process(ctx, batch(0, events...))
	if err != nil {
		o.Says += err.Error() + "\n"
		if errors.Is(err, context.Canceled) {
			return "held"
		}
		return node.ClassOf(err).String()
	}
	for _, r := range results {
		if len(r.Rejects) > 0 {
			o.Says += r.Rejects[0].Text + "\n"
			return "`" + r.Rejects[0].Code + "`"
		}
	}
	return "passes"
}

// end closes the node; its process must be gone then.
func (o *outcome) end(tr *pluginhost.Transform) {
	pid := tr.PID()
	switch {
	case tr.Restarts() > 0:
		o.Process = "restarted"
	case pid == 0:
		o.Process = "not started again"
	default:
		o.Process = "kept"
	}
	if err := tr.Close(); err != nil || pid != 0 && alive(pid) {
		o.Wrong = fmt.Sprintf("after Close (error %v) process %d lives", err, pid)
	}
}

// row is one row of HOSTILE.md's first table.
type row struct{ start, first, second, process, says string }

// table reads HOSTILE.md.
func table(t *testing.T) map[string]row {
	text, err := os.ReadFile("HOSTILE.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("memory stays under %d MiB", hostCap>>20); !bytes.Contains(text, []byte(want)) {
		t.Errorf("HOSTILE.md does not say %q", want)
	}
	rows := map[string]row{}
	first, _, _ := strings.Cut(string(text), "\n## ")
	for line := range strings.Lines(first) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) == 6 && cells[0] != "what it does" {
			rows[cells[0]] = row{cells[1], cells[2], cells[3], cells[4], strings.Trim(cells[5], "`")}
		}
	}
	return rows
}

// TestPluginHostile has 20 programs do their worst, each to a host in a process of
// its own with a healthy plugin beside it, and compares with HOSTILE.md.
func TestPluginHostile(t *testing.T) {
	rows := table(t)
	if got, want := slices.Sorted(maps.Keys(foes)), slices.Sorted(maps.Keys(rows)); !slices.Equal(got, want) || len(got) != 20 {
		t.Fatalf("%d cases %q, want the 20 rows of HOSTILE.md %q", len(got), got, want)
	}
	for _, name := range slices.Sorted(maps.Keys(foes)) {
		t.Run(name, func(t *testing.T) {
			o := meetFoe(t, name)
			want := rows[name]
			if got := (row{o.Start, o.First, o.Second, o.Process, want.says}); got != want || !strings.Contains(o.Says, want.says) {
				t.Errorf("HOSTILE.md says %+v, seen is %+v and\n%s", want, got, clipped(o.Says))
			}
			if o.Wrong != "" || len(o.During) == 0 || o.Peak <= 0 || o.Peak > hostCap {
				t.Errorf("%s; %d units of the healthy plugin; memory %d MiB, at most %d", o.Wrong, len(o.During), o.Peak>>20, hostCap>>20)
			}
			t.Log(o.figures())
		})
	}
}

// meetFoe runs one case in a process of its own.
func meetFoe(t *testing.T, name string) *outcome {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	cmd := exec.CommandContext(ctx, self, hostileArg, t.TempDir(), name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	o := &outcome{}
	if err := errors.Join(err, json.Unmarshal(out, o)); err != nil {
		t.Fatalf("the host did not stay up: %v\n%s", err, clipped(string(out)))
	}
	return o
}

func (o *outcome) figures() string {
	if len(o.Before) == 0 || len(o.During) == 0 {
		return "no figures"
	}
	at := func(list []time.Duration, percent int) time.Duration {
		return list[len(list)*percent/100].Round(time.Microsecond)
	}
	return fmt.Sprintf("host memory %d MiB; healthy plugin, lone event p50/p99 %s/%s before, %s/%s beside it (%d units): p50 %.2f times",
		o.Peak>>20, at(o.Before, 50), at(o.Before, 99), at(o.During, 50), at(o.During, 99), len(o.During),
		float64(at(o.During, 50))/float64(at(o.Before, 50)))
}

func clipped(text string) string { return text[max(0, len(text)-2000):] }
