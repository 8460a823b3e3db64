package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/node"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// StateVersions is where the layouts are noted under which a node's state may have
// been stored, so that nothing is started that cannot read it.
type StateVersions interface {
	// Recorded returns every version that was noted for node.
	Recorded(ctx context.Context, node string) ([]string, error)
	// Record notes one more, durably, before any state of that version is stored. It
	// may be repeated. Its error says by its class what becomes of the unit.
	Record(ctx context.Context, node, version string) error
}

// ErrState is wrapped by the error of a plugin that cannot read what is stored of its
// node's state.
var ErrState = errors.New("stored state cannot be read")

// layouts is what a plugin says of its keyed state.
type layouts struct {
	version string   // that it writes; "": it keeps none
	older   []string // that it reads besides
}

func layoutsOf(d *pluginv1.DescribeResponse) layouts {
	return layouts{version: d.StateVersion, older: d.ReadableStateVersions}
}

func (l layouts) reads(version string) bool {
	return l.version != "" && (version == l.version || slices.Contains(l.older, version))
}

func (l layouts) String() string {
	if l.version == "" {
		return "keeps no state"
	}
	if len(l.older) == 0 {
		return fmt.Sprintf("reads and writes version %q alone", l.version)
	}
	return fmt.Sprintf("writes version %q and reads %s besides", l.version, quoted(l.older))
}

func quoted(versions []string) string {
	list := make([]string, len(versions))
	for i, v := range versions {
		list[i] = strconv.Quote(clip(v, 100))
	}
	return strings.Join(list, ", ")
}

// readable returns an error that wraps [ErrState] unless a plugin of these layouts
// reads every version that was recorded for the node it is to serve.
func readable(recorded []string, l layouts) error {
	var foreign []string
	for _, v := range recorded {
		if !l.reads(v) {
			foreign = append(foreign, v)
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the node has state of version %s, of which the plugin does not read %s: it %s; "+
		"take a version of the plugin that reads them, or give the node another id, under which its state begins empty",
		ErrState, quoted(recorded), quoted(foreign), l)
}

// admit checks the layouts that the instance has described against what is recorded
// of its node, and against the way that events take to it.
func (inst *instance) admit(ctx context.Context, nc NodeConfig) error {
	if inst.layouts.version != "" && len(nc.Inputs) > 1 {
		return fmt.Errorf("it keeps state by key, and events of one key would reach it from %d streams at once (%s); "+
			"let them meet in one: put a node before it that takes them all in and has durable: true",
			len(nc.Inputs), strings.Join(nc.Inputs, ", "))
	}
	if nc.States == nil {
		return nil
	}
	recorded, err := nc.States.Recorded(ctx, nc.Node)
	if err != nil {
		return err
	}
	return readable(recorded, inst.layouts)
}

// record notes the version that the worker's plugin writes, once.
func (w *worker) record(ctx context.Context) error {
	if w.node.States == nil || w.recorded.Load() {
		return nil
	}
	if err := w.node.States.Record(ctx, w.node.Node, w.layouts.version); err != nil {
		return err
	}
	w.recorded.Store(true)
	return nil
}

var _ node.Stateful = (*Transform)(nil)

// StateVersion returns the layout that the node's plugin writes; "": it keeps no
// state by key.
func (t *Transform) StateVersion() string { return t.worker().layouts.version }

// StateKeys returns the keys of in's events, nil if the plugin keeps no state.
func (t *Transform) StateKeys(in *node.Batch) []string {
	if in.Lane < 0 || in.Lane >= len(t.lanes) || t.lanes[in.Lane].layouts().version == "" {
		return nil
	}
	return node.Keys(in.Events)
}

// layouts returns those of the plugin that the next unit goes to.
func (l *lane) layouts() layouts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.work.layouts
}

// unitState is the keyed state of one unit on its way to the plugin and back.
type unitState struct {
	layouts layouts
	limit   int64                         // of one key's value, bytes
	due     map[string]*pluginv1.KeyState // by key of the unit's events; nil: has none, or has been sent
	puts    map[string][]byte             // as they will be stored; nil: removed
}

// gather takes in's state up for a unit of a stateful plugin. Errors are classified:
// what is too large for one unit is divided, what the plugin cannot read stops the
// pipeline.
func (w *worker) gather(in *node.Batch) (*unitState, error) {
	if w.layouts.version == "" {
		return nil, nil
	}
	if in.State == nil {
		return nil, node.AsAway(errors.New("the plugin that is to work now keeps state, the one before did not: the unit has to come again with its state"))
	}
	u := &unitState{layouts: w.layouts, limit: w.cfg.MaxKeyState, due: map[string]*pluginv1.KeyState{}, puts: map[string][]byte{}}
	var total int64
	for _, e := range in.Events {
		if _, ok := u.due[e.Key]; ok {
			continue
		}
		state, err := u.load(e.Key, in.State.Get(e.Key))
		if err != nil {
			return nil, node.AsFatal(err)
		}
		u.due[e.Key] = state
		if total += int64(len(state.GetValue())); total > w.cfg.MaxUnitState {
			return nil, node.AsRejected(fmt.Errorf("the keys of a unit of %d events have more than %d bytes of state (MaxUnitState)", len(in.Events), w.cfg.MaxUnitState))
		}
	}
	return u, nil
}

func (u *unitState) load(key string, stored []byte) (*pluginv1.KeyState, error) {
	if stored == nil {
		return nil, nil
	}
	version, value, err := node.UnpackState(stored)
	if err != nil {
		return nil, fmt.Errorf("state of key %q: %w", clip(key, 100), err)
	}
	if !u.layouts.reads(version) {
		return nil, fmt.Errorf("%w: that of key %q has version %q, and the plugin %s", ErrState, clip(key, 100), clip(version, 100), u.layouts)
	}
	return &pluginv1.KeyState{Key: []byte(key), Value: value, Version: version}, nil
}

// send adds the state of key to a chunk, if it has any that was not sent, and returns
// its size.
func (u *unitState) send(req *pluginv1.ProcessRequest, key string) int {
	state := u.due[key]
	if state == nil {
		return 0
	}
	u.due[key] = nil
	req.State = append(req.State, state)
	return len(state.Key) + len(state.Value) + 32
}

// take keeps what a message of the answer puts, until the answer is complete.
func (u *unitState) take(states []*pluginv1.KeyState) error {
	if u == nil && len(states) > 0 {
		return broken("it puts state and declares no state_version")
	}
	for _, s := range states {
		key := string(s.Key)
		if _, ok := u.due[key]; !ok {
			return broken("it puts state of key %q, which no event of the unit has", clip(key, 100))
		}
		if s.Removed {
			u.puts[key] = nil
			continue
		}
		if s.Version != "" && s.Version != u.layouts.version {
			return broken("it puts state of version %q and declares %q", clip(s.Version, 100), clip(u.layouts.version, 100))
		}
		if int64(len(s.Value)) > u.limit {
			return refused("the state of key %q has %d bytes, more than %d (MaxKeyState)", clip(key, 100), len(s.Value), u.limit)
		}
		u.puts[key] = node.PackState(u.layouts.version, s.Value)
	}
	return nil
}

// put hands everything that the answer has put to the unit's commit.
func (w *worker) put(ctx context.Context, u *unitState, to node.State) error {
	if u == nil || len(u.puts) == 0 {
		return nil
	}
	if err := w.record(ctx); err != nil {
		return err
	}
	for key, value := range u.puts {
		to.Put(key, value)
	}
	return nil
}
