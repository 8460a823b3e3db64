package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// counter is a plugin without the SDK: it counts the events of each key, in decimal
// digits. Field do of an event makes it answer otherwise. Its layout is the first
// number of its version; 2 reads 1, 3 reads no other, 0 declares none.
type counter struct {
	hostile
	version string
}

func serveCounter() {
	_, version, _ := strings.Cut(os.Args[0], "@")
	serveRaw(&counter{version: version})
}

func (c *counter) layout() string { return c.version[:1] }

func (c *counter) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	d := &pluginv1.DescribeResponse{Name: "counter", Version: c.version, StateVersion: c.layout()}
	switch c.layout() {
	case "0":
		d.StateVersion = ""
	case "2":
		d.ReadableStateVersions = []string{"1"}
	}
	return d, nil
}

func (c *counter) Configure(_ context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	if strings.Contains(string(r.Config), "bad") {
		return &pluginv1.ConfigureResponse{Errors: []*pluginv1.ConfigError{{Path: "bad", Text: "is there"}}}, nil
	}
	return &pluginv1.ConfigureResponse{}, nil
}

func (c *counter) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServer(s, c)
	return nil
}

func (c *counter) Drain(context.Context, *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	return &pluginv1.DrainResponse{}, nil
}

func (c *counter) Process(stream pluginv1.Plugin_ProcessServer) error {
	counts := map[string]int{}
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		f, err := event.DecodeFrame(req.Frame)
		if err != nil {
			return err
		}
		for _, s := range req.State {
			counts[string(s.Key)], _ = strconv.Atoi(string(s.Value))
		}
		resp := &pluginv1.ProcessResponse{Unit: req.Unit, Last: req.Last}
		for _, e := range f.Events {
			counts[e.Key]++
			e.Record = e.Record.With("n", event.Int(int64(counts[e.Key])))
			resp.State = append(resp.State, c.put(e, counts[e.Key]))
		}
		resp.Frame, _ = f.Encode(nil, event.None)
		if err := stream.Send(resp); err != nil {
			return err
		}
		if req.Last {
			clear(counts)
		}
	}
}

func (c *counter) put(e *event.Event, count int) *pluginv1.KeyState {
	s := &pluginv1.KeyState{Key: []byte(e.Key), Value: []byte(strconv.Itoa(count))}
	do, _ := e.Record.Get("do")
	switch do.Text() {
	case "foreign":
		s.Key = []byte("elsewhere")
	case "version":
		s.Version = "17"
	case "same version":
		s.Version = c.layout()
	case "remove":
		s.Removed = true
	case "large":
		s.Value = make([]byte, 2<<20)
	case "crash":
		os.Exit(9)
	}
	return s
}

// stateTable is the state of one node as the engine keeps it, and the record of versions.
type stateTable struct {
	values   map[string][]byte
	versions []string
	refuses  error // of Record
}

func newTable(versions ...string) *stateTable {
	return &stateTable{values: map[string][]byte{}, versions: versions}
}

func (s *stateTable) Get(key string) []byte { return s.values[key] }

func (s *stateTable) Put(key string, value []byte) {
	if value == nil {
		delete(s.values, key)
		return
	}
	s.values[key] = value
}

func (s *stateTable) Recorded(_ context.Context, node string) ([]string, error) {
	if node != "n" {
		return nil, fmt.Errorf("node %q", node)
	}
	return s.versions, nil
}

func (s *stateTable) Record(_ context.Context, _, version string) error {
	if s.refuses == nil {
		s.versions = append(s.versions, version)
	}
	return s.refuses
}

func startCounter(t *testing.T, version string, cfg pluginhost.Config, nc pluginhost.NodeConfig) (*pluginhost.Transform, error) {
	t.Helper()
	cfg.Dir, cfg.SourceDir = t.TempDir(), "-"
	install(t, cfg.Dir, "counter", version)
	nc.Node, nc.Ref, nc.Lanes = "n", "counter", 2
	tr, err := pluginhost.New(cfg).Start(t.Context(), nc)
	if err == nil {
		t.Cleanup(func() { _ = tr.Close() })
	}
	return tr, err
}

// counting starts a counter whose versions s records.
func counting(t *testing.T, version string, cfg pluginhost.Config, s *stateTable) *pluginhost.Transform {
	t.Helper()
	tr, err := startCounter(t, version, cfg, pluginhost.NodeConfig{States: s})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func keyed(i int, key string, fields ...any) *event.Event {
	e := record(i, fields...)
	e.Key = key
	return e
}

// unitOf returns a unit with its state, as a stage makes it.
func unitOf(t testing.TB, tr *pluginhost.Transform, s *stateTable, events ...*event.Event) *node.Batch {
	t.Helper()
	in := batch(0, events...)
	keys := tr.StateKeys(in)
	if want := node.Keys(events); !slices.Equal(keys, want) {
		t.Fatalf("StateKeys names %d keys, the unit has %d", len(keys), len(want))
	}
	in.State = s
	return in
}

func TestStateTravelsWithItsUnit(t *testing.T) {
	s := newTable()
	tr := counting(t, "1.0.0", pluginhost.Config{}, s)
	if tr.StateVersion() != "1" {
		t.Fatalf("state version %q", tr.StateVersion())
	}
	const keys = 3000 // several chunks, and keys that come again in later ones
	for unit := range 3 {
		var events []*event.Event
		for i := range 2 * keys {
			events = append(events, keyed(i, "key-"+strconv.Itoa(i%keys), "fill", strings.Repeat("x", 100)))
		}
		for i, r := range mustProcess(t, tr, unitOf(t, tr, s, events...)) {
			want := int64(2*unit + 1 + i/keys)
			if n, _ := r.Outputs[0].Record.Get("n"); n.AsInt() != want {
				t.Fatalf("unit %d event %d: count %v, want %d", unit, i, n.Any(), want)
			}
		}
	}
	if len(s.values) != keys {
		t.Errorf("%d keys have state, want %d", len(s.values), keys)
	}
	if version, value, err := node.UnpackState(s.values["key-7"]); version != "1" || string(value) != "6" || err != nil {
		t.Errorf("stored is %q of version %q, %v", value, version, err)
	}
	if !slices.Equal(s.versions, []string{"1"}) {
		t.Errorf("versions %q were recorded, want 1 once", s.versions)
	}
}

func TestRemovedStateIsGone(t *testing.T) {
	s := newTable()
	tr := counting(t, "1.0.0", pluginhost.Config{}, s)
	mustProcess(t, tr, unitOf(t, tr, s, keyed(1, "a", "do", "same version"), keyed(2, "b")))
	mustProcess(t, tr, unitOf(t, tr, s, keyed(3, "a", "do", "remove")))
	if got := slices.Collect(maps.Keys(s.values)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("keys with state %q, want b", got)
	}
}

// TestNothingOfAFailedUnitIsPut lets units fail in every way after the plugin has put
// state for some of their events.
func TestNothingOfAFailedUnitIsPut(t *testing.T) {
	quick := pluginhost.Config{BackoffFirst: 1, BackoffMax: 1, DrainTimeout: 1}
	for do, want := range map[string]node.Class{"foreign": node.Unsure, "version": node.Unsure, "crash": node.Unsure, "large": node.Rejected} {
		s := newTable()
		tr := counting(t, "1.0.0", quick, s)
		in := unitOf(t, tr, s, keyed(1, "a"), keyed(2, "b", "do", do), keyed(3, "a"))
		if _, err := tr.Process(within(t), in); err == nil || node.ClassOf(err) != want {
			t.Errorf("%s: error %v of class %v, want %v", do, err, node.ClassOf(err), want)
		}
		if len(s.values) != 0 || len(s.versions) != 0 {
			t.Errorf("%s: state %q of versions %q is left of a unit that failed", do, s.values, s.versions)
		}
		mustProcess(t, tr, unitOf(t, tr, s, keyed(4, "a")))
		if _, value, _ := node.UnpackState(s.values["a"]); string(value) != "1" {
			t.Errorf("%s: the next unit counts %q, want 1", do, value)
		}
	}
}

func TestAPluginWithoutStateMayPutNone(t *testing.T) {
	tr := counting(t, "0.1.0", pluginhost.Config{BackoffFirst: 1, BackoffMax: 1, DrainTimeout: 1}, newTable())
	in := batch(0, keyed(1, "a"))
	if keys := tr.StateKeys(in); keys != nil {
		t.Errorf("StateKeys %q of a plugin that declares no state", keys)
	}
	if _, ok := node.StatefulOf(tr); ok {
		t.Error("a plugin that declares no state is stateful")
	}
	if _, err := tr.Process(within(t), in); node.ClassOf(err) != node.Unsure || !strings.Contains(fmt.Sprint(err), "declares no state_version") {
		t.Errorf("error %v", err)
	}
}

func TestLimitsOfState(t *testing.T) {
	s := newTable("1")
	tr := counting(t, "1.0.0", pluginhost.Config{MaxUnitState: 25}, s)
	for _, key := range []string{"a", "b", "c"} {
		s.values[key] = node.PackState("1", []byte("0000000001"))
	}
	_, err := tr.Process(within(t), unitOf(t, tr, s, keyed(1, "a"), keyed(2, "b"), keyed(3, "c")))
	if node.ClassOf(err) != node.Rejected || !strings.Contains(fmt.Sprint(err), "25 bytes") {
		t.Errorf("error %v, want a rejection that names the limit", err)
	}
	mustProcess(t, tr, unitOf(t, tr, s, keyed(1, "a"), keyed(2, "b"))) // its half fits
}

func TestARecordThatFailsKeepsTheStateBack(t *testing.T) {
	s := newTable()
	s.refuses = node.AsAway(errors.New("redis is away"))
	tr := counting(t, "1.0.0", pluginhost.Config{}, s)
	_, err := tr.Process(within(t), unitOf(t, tr, s, keyed(1, "a")))
	if node.ClassOf(err) != node.Away || len(s.values) != 0 {
		t.Errorf("error %v, state %q", err, s.values)
	}
	s.refuses = nil
	mustProcess(t, tr, unitOf(t, tr, s, keyed(1, "a")))
	if !slices.Equal(s.versions, []string{"1"}) || len(s.values) != 1 {
		t.Errorf("versions %q, state %q", s.versions, s.values)
	}
}

// TestStateThatCannotBeReadIsRefusedAtTheStart starts versions on a node whose state
// has been stored under others.
func TestStateThatCannotBeReadIsRefusedAtTheStart(t *testing.T) {
	for _, c := range []struct {
		version  string
		recorded []string
		missing  string // "": it may start
	}{
		{"1.0.0", nil, ""},
		{"2.0.0", []string{"1"}, ""},
		{"2.0.0", []string{"1", "2"}, ""},
		{"1.0.0", []string{"1", "2"}, `does not read "2"`},
		{"3.0.0", []string{"1", "2", "3"}, `does not read "1", "2"`},
		{"0.1.0", []string{"1"}, `does not read "1": it keeps no state`},
	} {
		nc := pluginhost.NodeConfig{States: newTable(c.recorded...)}
		if c.missing != "" {
			nc.With = map[string]any{"bad": true} // would be refused, too, if it were ever configured
		}
		_, err := startCounter(t, c.version, pluginhost.Config{}, nc)
		if c.missing == "" && err == nil {
			continue
		}
		if !errors.Is(err, pluginhost.ErrState) || c.missing == "" || !strings.Contains(err.Error(), c.missing) {
			t.Errorf("%s on %q: error %v, want %q", c.version, c.recorded, err, c.missing)
		}
	}
}

func TestStoredStateOfAForeignVersionStopsTheLane(t *testing.T) {
	s := newTable()
	tr := counting(t, "1.0.0", pluginhost.Config{}, s)
	for name, stored := range map[string][]byte{"version": node.PackState("9", []byte("5")), "form": []byte("5")} {
		s.values["a"] = stored
		if _, err := tr.Process(within(t), unitOf(t, tr, s, keyed(1, "b"), keyed(2, "a"))); node.ClassOf(err) != node.Fatal {
			t.Errorf("%s: error %v of class %v, want fatal", name, err, node.ClassOf(err))
		}
	}
	delete(s.values, "a")
	mustProcess(t, tr, unitOf(t, tr, s, keyed(3, "a")))
}

func TestAUnitWithoutItsStateComesAgain(t *testing.T) {
	tr := counting(t, "1.0.0", pluginhost.Config{}, newTable())
	if _, err := tr.Process(within(t), batch(0, keyed(1, "a"))); node.ClassOf(err) != node.Away {
		t.Errorf("error %v of class %v, want away", err, node.ClassOf(err))
	}
}

func TestStateNeedsOneStream(t *testing.T) {
	_, err := startCounter(t, "1.0.0", pluginhost.Config{}, pluginhost.NodeConfig{Inputs: []string{"left", "right"}})
	if err == nil || !strings.Contains(err.Error(), "left, right") {
		t.Errorf("error %v, want one that names both streams", err)
	}
	if _, err := startCounter(t, "0.1.0", pluginhost.Config{}, pluginhost.NodeConfig{Inputs: []string{"left", "right"}}); err != nil {
		t.Errorf("without state: %v", err)
	}
}
