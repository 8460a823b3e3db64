package sdk

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/millrace/millrace/engine/node"
)

// Layout is how the state of one key is stored: an S, in a form with a version. Make
// one with [JSON] or [Binary], and let it read older forms with [From].
type Layout[S any] struct {
	version string
	encode  func(*S) ([]byte, error)
	decode  map[string]func([]byte, *S) error // by version; its own, and older ones
}

// JSON is the layout of encoding/json's rules. NaN and infinities have no JSON: an
// event that leaves one in the state is refused.
func JSON[S any](version string) Layout[S] {
	return layoutOf(version,
		func(s *S) ([]byte, error) { return json.Marshal(s) },
		func(b []byte, s *S) error { return json.Unmarshal(b, s) })
}

// Binary is the layout that S itself defines with its methods MarshalBinary and
// UnmarshalBinary. What MarshalBinary returns must depend on the value alone.
func Binary[S any, P interface {
	*S
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}](version string) Layout[S] {
	return layoutOf(version,
		func(s *S) ([]byte, error) { return P(s).MarshalBinary() },
		func(b []byte, s *S) error { return P(s).UnmarshalBinary(b) })
}

func layoutOf[S any](version string, encode func(*S) ([]byte, error), decode func([]byte, *S) error) Layout[S] {
	return Layout[S]{version, encode, map[string]func([]byte, *S) error{version: decode}}
}

// From returns l, which now reads what old has written, too, and what old reads of
// still older layouts. A key's state is converted when an event of the key comes; the
// log keeps the old form until then, so that old has to stay in the program.
func From[Old, S any](l Layout[S], old Layout[Old], convert func(Old) (S, error)) Layout[S] {
	l.decode = maps.Clone(l.decode)
	for version, decode := range old.decode {
		if _, known := l.decode[version]; known {
			continue
		}
		l.decode[version] = func(b []byte, s *S) error {
			var before Old
			if err := decode(b, &before); err != nil {
				return err
			}
			after, err := convert(before)
			*s = after
			return err
		}
	}
	return l
}

// older lists the versions that l reads and does not write.
func (l *Layout[S]) older() []string {
	var list []string
	for version := range l.decode {
		if version != l.version {
			list = append(list, version)
		}
	}
	slices.Sort(list)
	return list
}

// StateFunc is a [Func] that remembers: s is the state of the event's key, which it
// may change. A key without state has the zero S, and a key whose state is the zero S
// again is forgotten. What a refused event has changed is undone; when the unit
// fails, everything is.
//
// s is valid during the call alone. What is not in s is lost: the next event of the
// key may come to another process, and the same event comes again after a failure.
type StateFunc[S any] func(e *Event, s *S) error

// Stateful makes a plugin of a function over single events and the state of their
// keys (the node's key: in the pipeline file). The engine stores what the function
// leaves in the state in the step that stores the outputs, or not at all. open is
// called as by [Map].
//
// A state of plain values (numbers, texts, arrays and structs of them) is encoded once
// for many events; one with slices, maps or pointers after each event.
func Stateful[C, S any](name, version string, layout Layout[S], open func(*C) (StateFunc[S], error)) Plugin {
	p := Batch(name, version, func(c *C, n Node) (node.Transform, error) {
		f, err := open(c)
		if err != nil {
			return nil, err
		}
		return newStateMapper(n, layout, f)
	})
	p.StateVersion, p.ReadableStates = layout.version, layout.older()
	return p
}

// stateMapper runs a StateFunc over the events of a batch.
type stateMapper[S any] struct {
	node   string
	log    *slog.Logger
	f      StateFunc[S]
	layout Layout[S]
	plain  bool   // a copy of an S shares nothing with it
	zero   []byte // encoding of the zero S
}

var _ node.Stateful = (*stateMapper[int])(nil)

func newStateMapper[S any](n Node, layout Layout[S], f StateFunc[S]) (*stateMapper[S], error) {
	if layout.version == "" {
		return nil, errors.New("the state's layout has no version")
	}
	zero, err := layout.encode(new(S))
	if err != nil {
		return nil, fmt.Errorf("encoding an empty state: %w", err)
	}
	return &stateMapper[S]{n.ID, n.Logger, f, layout, isPlain(reflect.TypeFor[S]()), zero}, nil
}

// isPlain reports whether a copy of a value of type t shares no memory with it that
// could be written.
func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !isPlain(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	}
	return true
}

// StateVersion implements [node.Stateful].
func (m *stateMapper[S]) StateVersion() string { return m.layout.version }

// StateKeys implements [node.Stateful].
func (m *stateMapper[S]) StateKeys(in *node.Batch) []string { return node.Keys(in.Events) }

func (m *stateMapper[S]) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	return m.processIn(ctx, in, new(room))
}

func (m *stateMapper[S]) processIn(ctx context.Context, in *node.Batch, r *room) ([]node.Result, error) {
	if in.State == nil && len(in.Events) > 0 {
		return nil, errors.New("a unit without its state")
	}
	run := &stateRun[S]{m: m, state: in.State, cells: map[string]*cell[S]{}}
	results, err := (&mapper{node: m.node, f: run.one, log: m.log}).processIn(ctx, in, r)
	if err == nil {
		err = run.keep()
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (m *stateMapper[S]) Close() error { return nil }

// stateRun is the state of one batch at work. Nothing is put before the whole batch
// has succeeded.
type stateRun[S any] struct {
	m     *stateMapper[S]
	state node.State
	cells map[string]*cell[S] // by key
}

// cell is the state of one key.
type cell[S any] struct {
	value  S
	stored []byte // encoding that the state has now, of this layout; nil: another or none
	there  bool   // it has some
	good   []byte // encoding after the last event that passed, unless S is plain
}

func (r *stateRun[S]) one(e *Event) error {
	c, err := r.cell(e.in.Key)
	if err != nil {
		return err
	}
	before := c.value
	err = r.m.f(e, &c.value)
	if err == nil && e.reject == nil {
		if r.m.plain {
			return nil
		}
		if err = c.encode(r.m); err == nil {
			return nil
		}
		err = Reject("bad_state", "the state that it leaves cannot be stored: %v", err)
	}
	if r.m.plain {
		c.value = before
		return err
	}
	if undo := c.restore(r.m); undo != nil {
		return node.AsFatal(fmt.Errorf("state of key %q before the event: %w", e.in.Key, undo))
	}
	return err
}

func (c *cell[S]) encode(m *stateMapper[S]) (err error) {
	good, err := m.layout.encode(&c.value)
	if err == nil {
		c.good = good
	}
	return err
}

func (c *cell[S]) restore(m *stateMapper[S]) error {
	c.value = *new(S)
	return m.layout.decode[m.layout.version](c.good, &c.value)
}

// cell returns the state of key, as it is stored or as earlier events have left it.
func (r *stateRun[S]) cell(key string) (*cell[S], error) {
	if c := r.cells[key]; c != nil {
		return c, nil
	}
	c := &cell[S]{}
	if stored := r.state.Get(key); stored != nil {
		if err := c.load(r.m, stored); err != nil {
			return nil, node.AsFatal(fmt.Errorf("state of key %q: %w", key, err))
		}
	}
	if !r.m.plain {
		if err := c.encode(r.m); err != nil {
			return nil, node.AsFatal(fmt.Errorf("state of key %q: %w", key, err))
		}
	}
	r.cells[key] = c
	return c, nil
}

func (c *cell[S]) load(m *stateMapper[S], stored []byte) error {
	version, value, err := node.UnpackState(stored)
	if err != nil {
		return err
	}
	decode := m.layout.decode[version]
	if decode == nil {
		return fmt.Errorf("it has version %q, which this plugin does not read", version)
	}
	c.there = true
	if version == m.layout.version {
		c.stored = value
	}
	return decode(value, &c.value)
}

// keep puts what has changed.
func (r *stateRun[S]) keep() error {
	for key, c := range r.cells {
		if r.m.plain {
			if err := c.encode(r.m); err != nil {
				return node.AsRejected(fmt.Errorf("the state of key %q cannot be stored: %w", key, err))
			}
		}
		switch {
		case bytes.Equal(c.good, r.m.zero):
			if c.there {
				r.state.Put(key, nil)
			}
		case c.stored == nil || !bytes.Equal(c.good, c.stored):
			r.state.Put(key, node.PackState(r.m.layout.version, c.good))
		}
	}
	return nil
}
