package pluginhost_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/plugins/sdk"
)

// ledger is the state of the keeper: what it has seen of a key.
type ledger struct {
	Count int
	Last  []string `json:",omitempty"`
}

type oldLedger struct{ N int }

// keeper is a plugin with state, made with the SDK. It counts the events of a key,
// remembers the last ones, and does what field do says.
var keeper = sdk.Stateful("keeper", "1.0.0",
	sdk.From(sdk.JSON[ledger]("2"), sdk.JSON[oldLedger]("1"), func(old oldLedger) (ledger, error) { return ledger{Count: old.N}, nil }),
	func(*struct{}) (sdk.StateFunc[ledger], error) {
		return func(e *sdk.Event, s *ledger) error {
			s.Count++
			s.Last = append(s.Last[max(0, len(s.Last)-2):], e.In().RootID)
			e.Set("n", event.Int(int64(s.Count)))
			switch e.Text("do") {
			case "reject":
				return sdk.Reject("told_to", "field do says so")
			case "fail":
				return errors.New("field do says so")
			case "panic":
				panic("field do says so")
			case "drop":
				e.Drop()
			case "forget":
				*s = ledger{}
			case "grow":
				s.Last = append(s.Last, strings.Repeat("x", 600<<10))
			}
			return nil
		}, nil
	})

const keeping = `
cases:
  - name: counts by key, converts old state, forgets and refuses
    state: [ { key: old, version: "1", value: '{"N":5}' }, { key: new, version: "2", value: '{"Count":7}' } ]
    in:
      - { key: old, record: { do: "" } }
      - { key: new, record: { do: "" } }
      - { key: new, record: { do: reject } }
      - { key: new, record: { do: drop } }
      - { key: new, record: { do: "" } }
      - { key: new, record: { do: forget } }
      - { key: new, record: { do: "" } }
      - { key: fresh, payload: "{}" }
    out:
      - outputs: [ { record: { do: "", n: 6 }, key: old } ]
      - outputs: [ { record: { do: "", n: 8 } } ]
      - rejects: [ { record: -1, code: told_to } ]
      - {}
      - outputs: [ { record: { do: "", n: 10 } } ]
      - outputs: [ { record: { do: forget, n: 11 } } ]
      - outputs: [ { record: { do: "", n: 1 } } ]
      - rejects: [ { record: -1, code: no_record } ]
`

func TestStateConformsInProcessAndThroughAProcess(t *testing.T) {
	cases, err := transformtest.Parse(strings.NewReader(keeping))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	install(t, dir, "keeper", "1.0.0")
	inProcess := func(id string, _ map[string]any) (node.Transform, error) {
		return keeper.Open(nil, sdk.Node{ID: id, Lanes: 4})
	}
	opens := map[string]func(id string, options map[string]any) (node.Transform, error){"in process": inProcess}
	for way, over := range ways {
		opens["through a process, by "+way] = processesOf(t, pluginhost.New(over(pluginhost.Config{Dir: dir, SourceDir: "-"})), "keeper")
	}
	for way, open := range opens {
		t.Run(way, func(t *testing.T) { transformtest.Run(t, transformtest.Suite{Cases: cases, Open: open}) })
	}
}

// processesOf opens a plugin for the suite, in one process for each configuration: a
// start takes longer than a promise.
func processesOf(t *testing.T, host *pluginhost.Host, ref string) func(id string, options map[string]any) (node.Transform, error) {
	running := map[string]*pluginhost.Transform{}
	t.Cleanup(func() {
		for _, tr := range running {
			_ = tr.Close() // always nil
		}
	})
	return func(id string, options map[string]any) (node.Transform, error) {
		config, err := json.Marshal(options)
		if err != nil || running[string(config)] != nil {
			return shared{running[string(config)]}, err
		}
		tr, err := host.Start(t.Context(), pluginhost.NodeConfig{Node: id, Ref: ref, With: options, Lanes: 4})
		if err == nil {
			running[string(config)] = tr
		}
		return shared{tr}, err
	}
}

// TestStateIsTheSameBothWays sends random units, among them ones that fail, in process
// and through one: results, errors' classes and states are the same at every step.
func TestStateIsTheSameBothWays(t *testing.T) {
	for way, over := range ways {
		t.Run(way, func(t *testing.T) { stateIsTheSame(t, start(t, "keeper", over(pluginhost.Config{}), nil)) })
	}
}

func stateIsTheSame(t *testing.T, tr *pluginhost.Transform) {
	direct, err := keeper.Open(nil, sdk.Node{ID: "n", Lanes: 4})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	here, there := newTable(), newTable()
	for unit := range 25 {
		events := randomUnit(rnd, unit)
		want, wantErr := onState(t, direct, here, events)
		got, gotErr := onState(t, tr, there, events)
		if (wantErr == nil) != (gotErr == nil) || wantErr != nil && node.ClassOf(gotErr) != node.ClassOf(wantErr) {
			t.Fatalf("unit %d: error %v, in process %v", unit, gotErr, wantErr)
		}
		if wantErr == nil {
			if diff := firstDifference(unstamp(got), want); diff != "" {
				t.Fatalf("unit %d: %s", unit, diff)
			}
		}
		if !maps.EqualFunc(here.values, there.values, bytes.Equal) {
			t.Fatalf("unit %d: the states differ", unit)
		}
	}
	if len(here.values) < 100 {
		t.Errorf("only %d keys have state: the units were too easy", len(here.values))
	}
}

// onState processes a unit and keeps what it puts only if it passes, as an engine does.
func onState(t *testing.T, tr node.Transform, s *stateTable, events []*event.Event) ([]node.Result, error) {
	trial := &stateTable{values: maps.Clone(s.values)}
	results, err := tr.Process(within(t), &node.Batch{Events: events, State: trial})
	if err == nil {
		s.values = trial.values
	}
	return results, err
}

func randomUnit(rnd *rand.Rand, unit int) []*event.Event {
	events := make([]*event.Event, 1+rnd.IntN(2000))
	for i := range events {
		do := ""
		switch rnd.IntN(20) {
		case 0:
			do = "reject"
		case 1:
			do = "drop"
		case 2:
			do = "forget"
		}
		events[i] = keyed(unit*10_000+i, fmt.Sprint("key-", rnd.IntN(400)), "do", do)
	}
	if bad := []string{"", "", "", "fail", "panic"}[rnd.IntN(5)]; bad != "" {
		events[rnd.IntN(len(events))].Record.Fields[0].Value = event.String(bad)
	}
	return events
}

// TestLargeStatesFit puts states far above a chunk's size, and some above the limits.
func TestLargeStatesFit(t *testing.T) {
	s := newTable()
	tr := start(t, "keeper", pluginhost.Config{MaxKeyState: 2 << 20, MaxUnitState: 8 << 20, CallDeadline: time.Minute}, nil)
	var events []*event.Event
	for i := range 8 {
		events = append(events, keyed(i, fmt.Sprint("key-", i), "do", "grow"))
	}
	for range 2 { // the second time the states travel to the plugin
		mustProcess(t, tr, unitOf(t, tr, s, events...))
	}
	if _, value, err := node.UnpackState(s.values["key-3"]); err != nil || len(value) < 1200<<10 {
		t.Fatalf("state of %d bytes, %v", len(value), err)
	}
	_, err := tr.Process(within(t), unitOf(t, tr, s, events...))
	if node.ClassOf(err) != node.Rejected || !strings.Contains(fmt.Sprint(err), "MaxUnitState") {
		t.Errorf("9 MiB of state: error %v, want the unit divided", err)
	}
	usual := start(t, "keeper", pluginhost.Config{MaxKeyState: 100 << 10}, nil)
	_, err = usual.Process(within(t), unitOf(t, usual, newTable(), events[:1]...))
	if node.ClassOf(err) != node.Rejected || !strings.Contains(fmt.Sprint(err), "MaxKeyState") {
		t.Errorf("600 KiB for one key: error %v, want it refused", err)
	}
	if tr.Restarts()+usual.Restarts() != 0 {
		t.Error("a process was restarted")
	}
}

// TestPluginsShippedConform runs the examples of every shipped plugin in a process built
// from its source.
func TestPluginsShippedConform(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs; left out by -short")
	}
	files, err := filepath.Glob("../../plugins/*/examples/examples.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no plugin has examples", err)
	}
	host := pluginhost.New(pluginhost.Config{Dir: filepath.Join(t.TempDir(), "bin"), SourceDir: "../../plugins"})
	for _, file := range files {
		name := filepath.Base(filepath.Dir(filepath.Dir(file)))
		t.Run(name, func(t *testing.T) {
			cases, err := transformtest.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			transformtest.Run(t, transformtest.Suite{Cases: cases, Open: processesOf(t, host, name)})
		})
	}
}

// shared is a transform that outlives its Close.
type shared struct{ *pluginhost.Transform }

func (shared) Close() error { return nil }

// TestKeysOfAUnit pins that the host names each key once, in the order of events.
func TestKeysOfAUnit(t *testing.T) {
	tr := start(t, "keeper", pluginhost.Config{}, nil)
	in := batch(0, keyed(1, "b"), keyed(2, "a"), keyed(3, "b"))
	if got := tr.StateKeys(in); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("keys %q", got)
	}
	if got := tr.StateKeys(batch(99, in.Events...)); got != nil {
		t.Errorf("keys %q of a lane that is not there", got)
	}
}
