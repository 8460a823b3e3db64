package plugintest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/plugins/sdk"
)

// Node is a plugin as one node of a pipeline, with the state of its keys: events go
// in, results come out. It serves one test and one goroutine.
type Node struct {
	t      testing.TB
	tr     node.Transform
	state  map[string][]byte
	events int
}

// Open opens p with a configuration, which must encode as JSON (nil: none), and closes
// it with the test.
func Open(t testing.TB, p sdk.Plugin, with any) *Node {
	t.Helper()
	config, err := json.Marshal(with)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := p.Open(config, sdk.Node{ID: "under_test", Pipeline: "test", Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Node{t: t, tr: tr, state: map[string][]byte{}}
}

// Event returns a new event with a key, an event time (zero: none), and a record of
// names and values in turn. A value is an [event.Value], nil, a bool, int, int64,
// float64, string, []byte or [time.Time].
func (n *Node) Event(key string, at time.Time, fields ...any) *event.Event {
	n.t.Helper()
	n.events++
	e := &event.Event{RootID: fmt.Sprintf("m-%d", n.events), Key: key, Source: event.Source{Node: "plant1"}, Record: &event.Record{}}
	if !at.IsZero() {
		e.Time = at.UnixMilli()
	}
	e.ID = event.RootID(event.NewIdentity("test", e.Source.Node, e.RootID), e.Time)
	for i := 0; i+1 < len(fields); i += 2 {
		value, ok := valueOf(fields[i+1])
		name, isText := fields[i].(string)
		if !ok || !isText {
			n.t.Fatalf("field %v: a %T is no value", fields[i], fields[i+1])
		}
		e.Record.Fields = append(e.Record.Fields, event.Field{Name: name, Value: value})
	}
	return e
}

func valueOf(v any) (event.Value, bool) {
	switch v := v.(type) {
	case nil:
		return event.Null, true
	case event.Value:
		return v, true
	case bool:
		return event.Bool(v), true
	case int:
		return event.Int(int64(v)), true
	case int64:
		return event.Int(v), true
	case float64:
		return event.Float(v), true
	case string:
		return event.String(v), true
	case []byte:
		return event.Bytes(v), true
	case time.Time:
		return event.Time(v.UnixMilli()), true
	}
	return event.Null, false
}

// Send gives events to the plugin as one unit and returns one result for each. An
// error ends the test.
func (n *Node) Send(events ...*event.Event) []node.Result {
	n.t.Helper()
	results, err := n.Try(events...)
	if err != nil {
		n.t.Fatal(err)
	}
	return results
}

// Try is Send for a unit that may fail. Then its state is as before, as in an engine.
func (n *Node) Try(events ...*event.Event) ([]node.Result, error) {
	unit := &unit{before: n.state, puts: map[string][]byte{}}
	results, err := n.tr.Process(n.t.Context(), &node.Batch{Events: events, State: unit})
	if err == nil && len(results) != len(events) {
		err = fmt.Errorf("%d results for %d events", len(results), len(events))
	}
	if err != nil {
		return nil, err
	}
	for key, value := range unit.puts {
		n.put(key, value)
	}
	return results, nil
}

func (n *Node) put(key string, value []byte) {
	if value == nil {
		delete(n.state, key)
		return
	}
	n.state[key] = value
}

// State returns the state of key with its layout's version, "" and nil if it has none.
func (n *Node) State(key string) (version string, value []byte) {
	n.t.Helper()
	if n.state[key] == nil {
		return "", nil
	}
	version, value, err := node.UnpackState(n.state[key])
	if err != nil {
		n.t.Fatalf("state of key %q: %v", key, err)
	}
	return version, value
}

// Keys returns the keys that have state, sorted.
func (n *Node) Keys() []string { return slices.Sorted(maps.Keys(n.state)) }

// SetState gives key a state as another version of the plugin has left it; nil removes
// it.
func (n *Node) SetState(key, version string, value []byte) {
	if value == nil {
		n.put(key, nil)
		return
	}
	n.put(key, node.PackState(version, value))
}

// unit is the state of one unit: what was there, and over it what is put.
type unit struct{ before, puts map[string][]byte }

func (u *unit) Get(key string) []byte {
	if value, ok := u.puts[key]; ok {
		return value
	}
	return u.before[key]
}

func (u *unit) Put(key string, value []byte) { u.puts[key] = value }
