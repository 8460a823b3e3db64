package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/plugins/sdk"
)

// versionedConfig says which version misbehaves, and how.
type versionedConfig struct {
	Bad string `json:"bad"` // version
	How string `json:"how"` // exit, config, crash, hang, reject
}

func (c *versionedConfig) Validate() error {
	if c.Bad == ownVersion() && c.How == "config" {
		return &sdk.ConfigError{Path: "bad", Text: "does not suit this version"}
	}
	return nil
}

// ownVersion returns the version under which this program was started.
func ownVersion() string {
	_, version, _ := strings.Cut(filepath.Base(os.Args[0]), "@")
	return version
}

// serveVersioned is a plugin of any version, which it writes into field by.
func serveVersioned() {
	version := ownVersion()
	if os.Getenv("BROKEN") == version {
		os.Exit(7)
	}
	sdk.Serve(sdk.Map("versioned", version, func(c *versionedConfig) (sdk.Func, error) {
		bad := c.Bad == version
		if bad && c.How == "exit" {
			os.Exit(7)
		}
		return func(e *sdk.Event) error {
			if n, _ := e.Float("value"); bad && n > 0 {
				switch c.How {
				case "crash":
					os.Exit(3)
				case "hang":
					select {}
				case "reject":
					return sdk.Reject("bad", "so it goes")
				}
			}
			e.Set("by", event.String(version))
			return nil
		}, nil
	}))
}

// swapping is a host with versions of the plugin and a node that runs it.
type swapping struct {
	*pluginhost.Host
	t    *testing.T
	node *pluginhost.Transform
	dir  string
	log  *logBuffer
}

const swapLanes = 4

func newSwapping(t *testing.T, cfg pluginhost.Config, with map[string]any, versions ...string) *swapping {
	t.Helper()
	s := &swapping{t: t, dir: t.TempDir(), log: &logBuffer{}}
	cfg.Dir, cfg.SourceDir, cfg.Logger = s.dir, "-", s.log.logger()
	for _, v := range versions {
		install(t, s.dir, "versioned", v)
	}
	s.Host = pluginhost.New(cfg)
	var err error
	s.node, err = s.Start(t.Context(), pluginhost.NodeConfig{Node: "n", Ref: "versioned@^1", With: with, Lanes: swapLanes, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), s.node.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// act does what req asks for and waits for the outcome.
func (s *swapping) act(req pluginhost.Request) pluginhost.Action {
	s.t.Helper()
	req.Name = "versioned"
	a, err := s.Act(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.outcome(a.ID)
}

func (s *swapping) outcome(id string) (a pluginhost.Action) {
	s.t.Helper()
	until(s.t, "the outcome of "+id, func() bool {
		var err error
		a, err = s.Action(id)
		if err != nil {
			s.t.Fatal(err)
		}
		return a.Over()
	})
	return a
}

func (s *swapping) wantState(a pluginhost.Action, want pluginhost.State, text string) {
	s.t.Helper()
	if a.State != want || !strings.Contains(a.Text, text) {
		s.t.Fatalf("action %+v; want %s with %q", a, want, text)
	}
}

func (s *swapping) wantVersion(want string) {
	s.t.Helper()
	if got := s.node.Binary().Version; got != want {
		s.t.Fatalf("the node runs %s, want %s", got, want)
	}
	out := mustProcess(s.t, s.node, batch(1, record(0, "value", -1)))[0].Outputs[0]
	if by, _ := out.Record.Get("by"); by.Text() != want {
		s.t.Fatalf("the output is by %s, want %s", by.Text(), want)
	}
}

// traffic sends units on every lane until it is stopped, and checks what returns.
type traffic struct {
	stop    atomic.Bool
	group   sync.WaitGroup
	units   atomic.Int64
	errors  atomic.Int64
	makers  sync.Map
	first   atomic.Pointer[string] // what was first found wrong
	retried bool                   // a failed unit is sent again
}

func (s *swapping) traffic(retried bool) *traffic {
	tr := &traffic{retried: retried}
	for lane := range swapLanes {
		tr.group.Go(func() {
			for n := 1; !tr.stop.Load(); n++ {
				tr.unit(s.node, lane, n)
			}
		})
	}
	s.t.Cleanup(tr.end)
	return tr
}

func (tr *traffic) end() {
	tr.stop.Store(true)
	tr.group.Wait()
}

const unitEvents = 40

func (tr *traffic) unit(n *pluginhost.Transform, lane, number int) {
	var events []*event.Event
	for i := range unitEvents {
		events = append(events, record(number*unitEvents+i, "value", float64(i)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		results, err := n.Process(ctx, batch(lane, events...))
		if err == nil {
			tr.units.Add(1)
			tr.check(events, results)
			return
		}
		tr.errors.Add(1)
		if !tr.retried || ctx.Err() != nil {
			tr.wrong("unit %d of lane %d failed: %v", number, lane, err)
			return
		}
	}
}

func (tr *traffic) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	tr.first.CompareAndSwap(nil, &text)
}

// check holds every output to its input, and all of a unit to one maker.
func (tr *traffic) check(in []*event.Event, results []node.Result) {
	for i, r := range results {
		if len(r.Outputs) != 1 || len(r.Rejects) != 0 {
			if !tr.retried {
				tr.wrong("event %d: %d outputs, rejects %v", i, len(r.Outputs), r.Rejects)
			}
			continue
		}
		out := r.Outputs[0]
		by, _ := out.Record.Get("by")
		if out.RootID != in[i].RootID || !strings.HasPrefix(out.Plugin, "versioned@"+by.Text()+"#") || out.Plugin != results[0].Outputs[0].Plugin {
			tr.wrong("event %d: root %s of %s, stamp %s, by %s", i, out.RootID, in[i].RootID, out.Plugin, by.Text())
		}
		tr.makers.Store(by.Text(), true)
	}
}

func (tr *traffic) verdict() string {
	tr.end()
	if text := tr.first.Load(); text != nil {
		return *text
	}
	return ""
}

// TestPluginSwapsUnderLoadLoseNothing changes the version 50 times in a soak.
func TestPluginSwapsUnderLoadLoseNothing(t *testing.T) {
	swaps := 16
	if os.Getenv("MILLRACE_SOAK") == "1" {
		swaps = 50
	}
	s := newSwapping(t, pluginhost.Config{Trial: time.Millisecond}, nil, "1.0.0", "1.1.0")
	tr := s.traffic(false)
	var pauses []float64
	for i := range swaps {
		a := s.act(pluginhost.Request{Kind: pluginhost.Promote, Version: []string{"1.0.0", "1.1.0"}[i%2]})
		s.wantState(a, pluginhost.Done, "node \"n\" runs versioned@")
		pauses = append(pauses, a.Nodes[0].PauseMaxMs)
	}
	if text := tr.verdict(); text != "" {
		t.Fatal(text)
	}
	for _, v := range []string{"1.0.0", "1.1.0"} {
		if _, ok := tr.makers.Load(v); !ok {
			t.Errorf("%s made nothing", v)
		}
	}
	t.Logf("swaps %d, units %d of %d events, errors %d, longest pause of a lane %.1f ms", swaps, tr.units.Load(), unitEvents, tr.errors.Load(), maxOf(pauses))
}

func maxOf(list []float64) (most float64) {
	for _, f := range list {
		most = max(most, f)
	}
	return most
}

func TestPluginControlSwapWithoutDrainLosesUnits(t *testing.T) {
	s := newSwapping(t, pluginhost.Config{}, nil, "1.0.0", "1.1.0")
	tr := s.traffic(false)
	for i := 0; i < 20 && tr.first.Load() == nil; i++ {
		before := tr.units.Load()
		if err := s.SwapWithoutDrain(s.node, []string{"1.0.0", "1.1.0"}[i%2]); err != nil {
			t.Fatal(err)
		}
		until(t, "units pass again", func() bool { return tr.units.Load() > before+swapLanes || tr.first.Load() != nil })
	}
	if text := tr.verdict(); text == "" {
		t.Fatal("nothing was lost: the oracle of the swap test proves nothing")
	}
}

func TestPluginVersionThatFailsOnTrialIsSwappedBackAndQuarantined(t *testing.T) {
	for how, want := range map[string]string{
		"crash": "the process ended", "hang": "no answer to a unit", "reject": "events are bad",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cfg := pluginhost.Config{CallDeadline: time.Minute, Trial: time.Minute}
			if how == "hang" {
				cfg.CallDeadline = hungAfter
			}
			s := newSwapping(t, cfg, map[string]any{"bad": "1.1.0", "how": how}, "1.0.0")
			tr := s.traffic(true)
			until(t, "units pass", func() bool { return tr.units.Load() > 20 })
			install(t, s.dir, "versioned", "1.1.0")
			a := s.act(pluginhost.Request{Kind: pluginhost.Install, Version: "1.1.0"})
			// A unit that the self-test borrows may show the fault before the trial.
			if a.State != pluginhost.RolledBack && a.State != pluginhost.Refused || !strings.Contains(a.Text, want) && !strings.Contains(a.Text, "self-test") {
				t.Fatalf("action %+v; want the version gone for %q", a, want)
			}
			s.wantVersion("1.0.0")
			if text := tr.verdict(); text != "" {
				t.Error(text)
			}
			s.wantState(s.act(pluginhost.Request{Kind: pluginhost.Promote, Version: "1.1.0"}), pluginhost.Refused, "is quarantined")
		})
	}
}

func TestPluginVersionThatDoesNotStartIsRefused(t *testing.T) {
	for how, want := range map[string]string{"exit": "quarantined", "config": "held"} {
		t.Run(how, func(t *testing.T) {
			s := newSwapping(t, pluginhost.Config{Trial: time.Millisecond}, map[string]any{"bad": "1.1.0", "how": how}, "1.0.0")
			install(t, s.dir, "versioned", "1.1.0")
			s.wantState(s.act(pluginhost.Request{Kind: pluginhost.Install, Version: "1.1.0"}), pluginhost.Refused, "goes on")
			s.wantVersion("1.0.0")
			_, err := s.Resolve("versioned@~1.1")
			if !errors.Is(err, pluginhost.ErrNotFound) || !strings.Contains(err.Error(), "1.1.0 ("+want) {
				t.Errorf("error %v, want that 1.1.0 is %s", err, want)
			}
		})
	}
}

// TestPluginActionsAreTold: the trial and the outcome of each, in order.
func TestPluginActionsAreTold(t *testing.T) {
	told := make(chan pluginhost.Action, 8)
	s := newSwapping(t, pluginhost.Config{Trial: time.Millisecond, Told: func(a pluginhost.Action) { told <- a }}, nil, "1.0.0")
	install(t, s.dir, "versioned", "1.1.0")
	s.act(pluginhost.Request{Kind: pluginhost.Install, Version: "1.1.0"})
	s.act(pluginhost.Request{Kind: pluginhost.Rollback})
	for _, want := range []struct {
		kind  pluginhost.Kind
		state pluginhost.State
	}{{pluginhost.Install, pluginhost.Trying}, {pluginhost.Install, pluginhost.Done}, {pluginhost.Rollback, pluginhost.Done}} {
		if a := <-told; a.Kind != want.kind || a.State != want.state || len(a.Nodes) != 1 {
			t.Errorf("told %+v; want %+v", a, want)
		}
	}
}

func TestPluginRollback(t *testing.T) {
	s := newSwapping(t, pluginhost.Config{Trial: time.Millisecond}, nil, "1.0.0", "1.1.0")
	s.wantVersion("1.1.0")
	s.wantState(s.act(pluginhost.Request{Kind: pluginhost.Rollback}), pluginhost.Done, "versioned@1.0.0")
	s.wantVersion("1.0.0")
	s.wantState(s.act(pluginhost.Request{Kind: pluginhost.Rollback}), pluginhost.Refused, "goes on")
	s.wantVersion("1.0.0")
	s.wantState(s.act(pluginhost.Request{Kind: pluginhost.Promote, Version: "1.1.0"}), pluginhost.Done, "versioned@1.1.0")
	s.wantVersion("1.1.0")
}

// TestPluginTrialIsEndedByAPerson: a rollback holds the version on trial, a quarantine of
// it forbids it; what concerns another version waits for the outcome.
func TestPluginTrialIsEndedByAPerson(t *testing.T) {
	for kind, left := range map[pluginhost.Kind]string{pluginhost.Rollback: "held", pluginhost.Quarantine: "quarantined"} {
		t.Run(string(kind), func(t *testing.T) {
			s := newSwapping(t, pluginhost.Config{Trial: time.Minute}, nil, "1.0.0")
			install(t, s.dir, "versioned", "1.1.0")
			a, err := s.Act(pluginhost.Request{Kind: pluginhost.Install, Name: "versioned", Version: "1.1.0"})
			if err != nil {
				t.Fatal(err)
			}
			until(t, "the trial begins", func() bool { now, _ := s.Action(a.ID); return now.State == pluginhost.Trying })
			s.wantVersion("1.1.0")
			for _, other := range []pluginhost.Kind{pluginhost.Promote, pluginhost.Quarantine} {
				if _, err := s.Act(pluginhost.Request{Kind: other, Name: "versioned", Version: "1.0.0"}); err == nil || !strings.Contains(err.Error(), a.ID) {
					t.Errorf("%s of another version: error %v, want that action %s is under way", other, err, a.ID)
				}
			}
			s.wantState(s.act(pluginhost.Request{Kind: kind, Version: "1.1.0"}), pluginhost.RolledBack, string(kind)+" on request")
			s.wantVersion("1.0.0")
			if _, err := s.Resolve("versioned@~1.1"); err == nil || !strings.Contains(err.Error(), "1.1.0 ("+left) {
				t.Errorf("error %v, want that 1.1.0 is %s", err, left)
			}
		})
	}
}

func TestPluginQuarantineOfTheOnlyVersionIsRefused(t *testing.T) {
	s := newSwapping(t, pluginhost.Config{Trial: time.Millisecond}, nil, "1.0.0")
	a := s.act(pluginhost.Request{Kind: pluginhost.Quarantine, Version: "1.0.0", Reason: "smells"})
	s.wantState(a, pluginhost.Refused, "quarantined: smells")
	s.wantVersion("1.0.0")
	if _, err := s.Resolve("versioned@^1"); err != nil {
		t.Errorf("the refusal is left in the lock file: %v", err)
	}
}

func TestPluginFolderIsFollowed(t *testing.T) {
	s := newSwapping(t, pluginhost.Config{Trial: time.Millisecond, Watch: 20 * time.Millisecond}, nil, "1.0.0")
	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { _ = s.Follow(ctx) })
	defer following.Wait()
	defer stop()
	arrive := func(version string) {
		temp := t.TempDir()
		install(t, temp, "versioned", version)
		if err := os.Rename(filepath.Join(temp, "versioned@"+version), filepath.Join(s.dir, "versioned@"+version)); err != nil {
			t.Fatal(err)
		}
	}
	arrive("2.0.0") // which the constraint does not allow
	arrive("1.2.0")
	until(t, "the new version is at work", func() bool { return s.node.Binary().Version == "1.2.0" })
	until(t, "its action is over", func() bool { all := s.Actions(); return all[len(all)-1].Over() })
	if err := os.Remove(filepath.Join(s.dir, "versioned@1.2.0")); err != nil {
		t.Fatal(err)
	}
	arrive("1.1.0") // a lower one
	arrive("1.3.0")
	until(t, "the next version is at work", func() bool { return s.node.Binary().Version == "1.3.0" })
	s.wantVersion("1.3.0")
	for _, a := range s.Actions() {
		if a.Kind != pluginhost.Follow || a.Version != "1.2.0" && a.Version != "1.3.0" {
			t.Errorf("action %+v; want those of 1.2.0 and 1.3.0 alone", a)
		}
	}
}

func TestPluginFileThatStillGrowsIsNotTaken(t *testing.T) {
	s := newSwapping(t, pluginhost.Config{Trial: time.Millisecond, Watch: time.Hour}, nil, "1.0.0")
	content, err := os.ReadFile(filepath.Join(s.dir, "versioned@1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "versioned@1.1.0")
	if err := os.WriteFile(path, content[:len(content)/2], 0o755); err != nil {
		t.Fatal(err)
	}
	s.wantState(s.act(pluginhost.Request{Kind: pluginhost.Follow, Version: "1.1.0"}), pluginhost.Refused, "no such plugin")
	s.wantVersion("1.0.0")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.wantState(s.act(pluginhost.Request{Kind: pluginhost.Follow, Version: "1.1.0"}), pluginhost.Done, "versioned@1.1.0")
}

func TestPluginCloseDuringATrialJudgesNothing(t *testing.T) {
	s := newSwapping(t, pluginhost.Config{Trial: time.Minute}, nil, "1.0.0")
	install(t, s.dir, "versioned", "1.1.0")
	a, err := s.Act(pluginhost.Request{Kind: pluginhost.Install, Name: "versioned", Version: "1.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the trial begins", func() bool { now, _ := s.Action(a.ID); return now.State == pluginhost.Trying })
	if err := errors.Join(s.Close(), s.node.Close()); err != nil {
		t.Fatal(err)
	}
	s.wantState(s.outcome(a.ID), pluginhost.Stopped, "")
	if bin, err := s.Resolve("versioned@^1"); err != nil || bin.Version != "1.1.0" {
		t.Errorf("%v, %v; want 1.1.0 as the next start's choice", bin, err)
	}
}

func TestPluginStartTakesAnotherVersionWhenTheHighestDoesNotStart(t *testing.T) {
	t.Setenv("BROKEN", "1.1.0")
	s := newSwapping(t, pluginhost.Config{Env: []string{"BROKEN"}}, nil, "1.0.0", "1.1.0")
	s.wantVersion("1.0.0")
	if !strings.Contains(s.log.String(), "another version is taken") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
}

func TestWorse(t *testing.T) {
	for _, c := range []struct {
		events, bad, eventsBefore, badBefore uint64
		want                                 bool
	}{
		{1000, 0, 1000, 0, false},
		{1000, 9, 1000, 0, false}, // too few to tell
		{1000, 30, 1000, 0, true},
		{1000, 120, 10000, 1000, false}, // 12 % and 10 %: chance
		{100000, 12000, 100000, 10000, true},
		{100, 100, 0, 0, false}, // nothing to compare with
		{40, 40, 1000, 1000, false},
		{1000, 10, 100000, 50000, false}, // better than before
	} {
		if got := pluginhost.Worse(c.events, c.bad, c.eventsBefore, c.badBefore); got != c.want {
			t.Errorf("worse%v = %v", c, got)
		}
	}
}

func TestPluginSwapKeepsStateAndRefusesWhatCannotReadIt(t *testing.T) {
	states, dir := newTable(), t.TempDir()
	install(t, dir, "counter", "1.0.0")
	host := pluginhost.New(pluginhost.Config{Dir: dir, SourceDir: "-", Trial: time.Millisecond})
	tr, err := host.Start(t.Context(), pluginhost.NodeConfig{Node: "n", Ref: "counter", Lanes: 2, Follow: true, States: states})
	if err != nil {
		t.Fatal(err)
	}
	s := &swapping{Host: host, t: t, node: tr, dir: dir}
	defer func() {
		if err := errors.Join(host.Close(), tr.Close()); err != nil {
			t.Error(err)
		}
	}()
	counted := 0
	count := func(by string) {
		t.Helper()
		counted++
		out := mustProcess(t, tr, unitOf(t, tr, states, keyed(counted, "k")))[0].Outputs[0]
		if n, _ := out.Record.Get("n"); n.AsInt() != int64(counted) || !strings.HasPrefix(out.Plugin, "counter@"+by+"#") {
			t.Fatalf("the count is %d by %s, want %d by %s", n.AsInt(), out.Plugin, counted, by)
		}
	}
	ask := func(kind pluginhost.Kind, version string, oneWay bool) pluginhost.Action {
		t.Helper()
		if kind == pluginhost.Install {
			install(t, dir, "counter", version)
		}
		a, err := host.Act(pluginhost.Request{Kind: kind, Name: "counter", Version: version, OneWay: oneWay})
		if err != nil {
			t.Fatal(err)
		}
		return s.outcome(a.ID)
	}
	count("1.0.0")
	s.wantState(ask(pluginhost.Install, "1.1.0", false), pluginhost.Done, "counter@1.1.0") // the same layout
	count("1.1.0")
	s.wantState(ask(pluginhost.Install, "3.0.0", false), pluginhost.Refused, "stored state cannot be read")
	s.wantState(ask(pluginhost.Install, "2.0.0", false), pluginhost.Refused, "no way back") // it reads layout 1
	count("1.1.0")
	s.wantState(ask(pluginhost.Promote, "2.0.0", true), pluginhost.Done, "counter@2.0.0")
	count("2.0.0")
	s.wantState(ask(pluginhost.Rollback, "", false), pluginhost.Refused, "stored state cannot be read") // into layout 1
	count("2.0.0")
}
