package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/replay"
	"github.com/millrace/millrace/engine/testserver"
	"github.com/millrace/millrace/plugins/sdk"
)

// Keyed state: a plugin counts the readings of each device, and the count is what the
// table has for their value. Whatever is killed, the k-th row of a device says k.

// tallied is the state of a device. Version 3 of the plugin calls its number otherwise
// and reads version 1; version 2 reads nothing else than its own.
type tallied struct{ N int }
type total struct{ Readings int }

// tallyConfig takes the protection away: the counts are in the process's memory.
type tallyConfig struct {
	Memory bool `json:"memory"`
}

// servePlugin makes this test binary the plugin that its name says.
func servePlugin(name, version string) {
	switch {
	case name != "tally":
		fmt.Fprintln(os.Stderr, "no plugin", name)
		os.Exit(1)
	case version[0] == '1':
		sdk.Serve(counter(version, sdk.JSON[tallied]("1"), func(s *tallied) *int { return &s.N }))
	case version[0] == '2':
		sdk.Serve(counter(version, sdk.JSON[tallied]("2"), func(s *tallied) *int { return &s.N }))
	default:
		layout := sdk.From(sdk.JSON[total]("3"), sdk.JSON[tallied]("1"), func(old tallied) (total, error) { return total{old.N}, nil })
		sdk.Serve(counter(version, layout, func(s *total) *int { return &s.Readings }))
	}
}

func counter[S any](version string, layout sdk.Layout[S], count func(*S) *int) sdk.Plugin {
	return sdk.Stateful("tally", version, layout, func(c *tallyConfig) (sdk.StateFunc[S], error) {
		var mu sync.Mutex
		inMemory := map[string]int{} // guarded by mu
		return func(e *sdk.Event, s *S) error {
			n := count(s)
			*n++
			if c.Memory {
				mu.Lock()
				defer mu.Unlock()
				inMemory[e.In().Key]++
				*n = inMemory[e.In().Key]
			}
			e.Set("value", event.Int(int64(*n)))
			return nil
		}, nil
	})
}

const tallyNodes = `  - id: readings
    transform: json
    inputs: [plant1, plant2, plant3, plant4]
    key: device
    with: { time: ts }
  - id: tally
    plugin: %s
    inputs: [readings]
    with: { memory: %t }
` + sinkNode + "    inputs: [tally]\n"

func tallyPipeline(ref string, memory bool) string {
	return sources(1, 2, 3, 4) + fmt.Sprintf(tallyNodes, ref, memory)
}

// tallyRig is a rig whose plugin folder has version 1 of the plugin.
func tallyRig(t *testing.T, memory bool) *rig {
	t.Helper()
	dir := t.TempDir()
	installTally(t, dir, "1.0.0")
	return newRig(t, setup{nodes: tallyPipeline("tally@^1", memory), plugins: dir})
}

func installTally(t *testing.T, dir, version string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tally@"+version), content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// miscounted returns how many rows do not say which of their device's they are, and
// the first.
func (r *rig) miscounted(table string) (wrong int, first string) {
	r.t.Helper()
	rows, err := r.db.Query("SELECT device, value FROM " + table + " ORDER BY arrival")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var device string
		var value float64
		if err := rows.Scan(&device, &value); err != nil {
			r.t.Fatal(err)
		}
		if counts[device]++; value != float64(counts[device]) {
			if wrong++; wrong == 1 {
				first = fmt.Sprintf("row %d of %s says %g", counts[device], device, value)
			}
		}
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return wrong, first
}

// counted fails unless every row says which of its device's it is, and the stored
// state of each device is the number of its rows, under the version.
func (r *rig) counted(version string) {
	r.t.Helper()
	if wrong, first := r.miscounted("readings"); wrong > 0 {
		r.t.Errorf("%d rows are counted wrong: %s", wrong, first)
	}
	stored, err := r.client().HGetAll(r.t.Context(), "mr:{faults}:state:tally").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	if len(stored) != 4*devicesPerPlant {
		r.t.Errorf("%d devices have state", len(stored))
	}
	for device, value := range stored {
		var rows int
		if err := r.db.QueryRow("SELECT COUNT(*) FROM readings WHERE device = ?", device).Scan(&rows); err != nil {
			r.t.Fatal(err)
		}
		found, text, err := node.UnpackState([]byte(value))
		want, _ := json.Marshal(map[string]map[string]int{"1": {"N": rows}, "3": {"Readings": rows}}[version]) // numbers always marshal
		if err != nil || found != version || string(text) != string(want) {
			r.t.Errorf("state of %s is %s of version %q, %v; want %s of version %q", device, text, found, err, want, version)
		}
	}
}

// killsWithState kills engine and plugin in turn, under load, and goes on.
func (r *rig) killsWithState(l *ledger, kills int) (took []time.Duration) {
	r.t.Helper()
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		e := r.start("tally")
		var old []int
		for i := range kills {
			r.awaitRows(r.rows() + 500)
			if i%2 == 0 {
				plugins := r.awaitPlugins(e, old)
				for _, pid := range plugins {
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						r.t.Fatal(err)
					}
				}
				old = append(old, plugins...)
			} else {
				e.kill()
				e = r.start("tally")
				old = nil
			}
			took = append(took, r.goesOn(e))
		}
	})
	return took
}

// TestFaultStateSurvivesKills kills the engine and the plugin in turn: no reading is
// counted twice or not at all.
func TestFaultStateSurvivesKills(t *testing.T) {
	r := tallyRig(t, false)
	l := newLedger()
	p := proof{name: "state/kills", faults: often(6, 50), alive: 100 * time.Second}
	p.took = r.killsWithState(l, p.faults)
	p.verdict = r.settle(l)
	prove(t, p)
	r.counted("1")
}

// TestFaultControlStateInMemoryIsLost is the same with counts in the memory of the
// plugin's process: every row is there, and the oracle finds the counts wrong.
func TestFaultControlStateInMemoryIsLost(t *testing.T) {
	r := tallyRig(t, true)
	l := newLedger()
	r.killsWithState(l, 2)
	r.settle(l).must(t)
	wrong, first := r.miscounted("readings")
	if wrong == 0 {
		t.Error("counts in memory survived their process: the oracle shows nothing")
	}
	t.Logf("%d rows are counted wrong: %s", wrong, first)
}

// TestFaultStateGoesWithTheLane stops the owner past its lease and wakes it again, twice,
// so that each engine finds state that the other has moved on.
func TestFaultStateGoesWithTheLane(t *testing.T) {
	r := tallyRig(t, false)
	direct := slices.Clone(r.env)
	l := newLedger()
	line := r.throughProxy("AMQP_URLS", testserver.SharedRabbitMQ(t).Addr())
	lines := map[string]*testserver.Link{"one": line}
	first := r.start("one")
	r.awaitReady(first)
	r.env = slices.Clone(direct)
	lines["two"] = r.throughProxy("AMQP_URLS", testserver.SharedRabbitMQ(t).Addr())
	second := r.start("two")
	owner, other := "one", "two"
	p := proof{name: "state/takeover", faults: 2}
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 300)
			first.signal(t, syscall.SIGSTOP)
			lines[owner].Down()
			began := time.Now()
			r.awaitRows(r.rows() + 500)
			p.took = append(p.took, time.Since(began))
			first.signal(t, syscall.SIGCONT)
			lines[owner].Up()
			r.awaitSaid(first, "lease lost")
			first, second, owner, other = second, first, other, owner
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.counted("1")
}

// TestFaultReplayHasStatesOfItsOwn replays everything, the engine killed on the way,
// while the live run counts on: the replay begins with no counts, comes to the same
// ones, and leaves nothing.
func TestFaultReplayHasStatesOfItsOwn(t *testing.T) {
	const all, more = 6000, 500
	r := tallyRig(t, false)
	l := newLedger()
	e := r.start("replay")
	r.burst(l, 0, all)
	r.awaitRows(all)
	r.replay(e, r.file, replay.Request{Name: "trial", Mode: replay.Shadow, Rate: 1500})
	testserver.Eventually(t, time.Minute, "progress", func() error {
		s, err := e.replayed("trial")
		if err == nil && s.Read < all/10 {
			err = fmt.Errorf("%d read", s.Read)
		}
		return err
	})
	r.ask(e, http.MethodPost, "/trial/pause", nil) // or it may end before it is looked at
	testserver.Eventually(t, time.Minute, "state and versions of the replay's own", func() error {
		keys, err := r.client().Keys(t.Context(), "mr:{faults}:state*:tally@trial-*").Result()
		if err == nil && len(keys) != 2 {
			err = fmt.Errorf("there is %v", keys)
		}
		return err
	})
	r.ask(e, http.MethodPost, "/trial/resume", nil)
	r.burst(l, all, all+more)
	e.kill()
	e = r.start("replay")
	r.awaitReady(e)
	c := r.compared(r.awaitReplay(e, "trial"))
	if c.Here != all || c.OnlyHere != 0 || c.Different != 0 || c.OnlyThere == nil || *c.OnlyThere != 0 {
		t.Errorf("comparison %+v", c)
	}
	if wrong, first := r.miscounted("readings__replay_trial"); wrong > 0 {
		t.Errorf("%d rows of the replay are counted wrong: %s", wrong, first)
	}
	prove(t, proof{name: "state/replay", faults: 1, verdict: r.settle(l)})
	r.counted("1")
	r.nothingLeft("trial")
	r.ask(e, http.MethodDelete, "/trial", nil)
}

// TestFaultStateThatCannotBeReadStopsTheStart starts versions of the plugin on what the
// first has stored: one that cannot read it is refused before it sees an event, one
// that can goes on counting.
func TestFaultStateThatCannotBeReadStopsTheStart(t *testing.T) {
	const part = 2000
	r := tallyRig(t, false)
	l := newLedger()
	e := r.start("first")
	r.burst(l, 0, part)
	r.awaitRows(part)
	e.kill()
	installTally(t, r.plugins, "2.0.0")
	installTally(t, r.plugins, "3.0.0")
	e = r.startFile(r.write("faults", "", tallyPipeline("tally@^2", false)), "second")
	if code := r.exit(e); code == 0 {
		t.Error("a version that cannot read the state was started")
	}
	for _, words := range []string{"tally@2.0.0", "stored state cannot be read"} {
		if said := e.log.tail(1 << 20); !strings.Contains(said, words) {
			t.Errorf("the refusal does not say %s:\n%s", words, said)
		}
	}
	r.counted("1")
	r.burst(l, part, 2*part)
	r.startFile(r.write("faults", "", tallyPipeline("tally@^3", false)), "third")
	prove(t, proof{name: "state/versions", faults: 1, verdict: r.settle(l)})
	r.counted("3")
	versions, err := r.client().SMembers(t.Context(), "mr:{faults}:stateversions:tally").Result()
	if slices.Sort(versions); err != nil || !slices.Equal(versions, []string{"1", "3"}) {
		t.Errorf("versions %q are noted, %v; want 1 and 3", versions, err)
	}
}
