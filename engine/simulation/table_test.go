package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// table is a database table without a key of its own, and the positions of its
// writers. A transaction is checked again when it is committed, as a row lock
// would have it.
type table struct {
	mu        sync.Mutex
	rows      []row                 // in order of commit; guarded by mu
	positions map[string]tablePlace // by lane; guarded by mu
}

type row struct {
	id     string
	device string
	nth    int64
}

type tablePlace struct {
	at    event.Position
	owner string
}

func newTable() *table { return &table{positions: map[string]tablePlace{}} }

func (t *table) all() []row {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.rows)
}

// own makes owner the lane's only writer and returns where it stands.
func (t *table) own(lane, owner string, start event.Position) event.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.positions[lane]
	if !ok {
		p.at = start
	}
	p.owner = owner
	t.positions[lane] = p
	return p.at
}

var errRepeat = errors.New("the unit is stored already")

// may says whether u is the next unit of its lane for owner.
func (t *table) may(owner string, u *node.Unit) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mayLocked(owner, u)
}

func (t *table) mayLocked(owner string, u *node.Unit) error {
	p, ok := t.positions[stream.TopicOf(u.Stream, u.Lane)]
	switch {
	case ok && p.at == u.After && p.owner == owner:
		return nil
	case ok && p.at.Compare(u.Last) >= 0:
		return errRepeat
	case ok && p.owner != owner:
		return node.AsFatal(fmt.Errorf("%w: it stands at %s", node.ErrTakenOver, p.at))
	}
	return node.AsFatal(fmt.Errorf("%w: the table stands at %s, the unit begins after %s", stream.ErrGap, p.at, u.After))
}

// commit stores rows and position in one step.
func (t *table) commit(owner string, u *node.Unit, positioned bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if positioned {
		if err := t.mayLocked(owner, u); err != nil {
			return err
		}
		t.positions[stream.TopicOf(u.Stream, u.Lane)] = tablePlace{u.Last, owner}
	}
	for _, ev := range u.Events {
		nth, _ := ev.Record.Get("nth")
		device, _ := ev.Record.Get("device")
		t.rows = append(t.rows, row{id: ev.Source.Exchange, device: device.Text(), nth: nth.AsInt()})
	}
	return nil
}

// sink writes to the table for one engine. With positioned it is a node.Positioned.
type sink struct{ e *engine }

type positionedSink struct{ sink }

var (
	_ node.Sink       = sink{}
	_ node.Positioned = positionedSink{}
)

var errTableAway = node.AsAway(errors.New("no answer from the table's server"))

// Position implements [node.Positioned].
func (s positionedSink) Position(_ context.Context, name string, lane int, start event.Position) (event.Position, error) {
	var at event.Position
	topic := stream.TopicOf(name, lane)
	if s.e.w.call(s.e, "table.position", topic, func() { at = s.e.w.table.own(topic, s.e.name, start) }) != answered {
		return at, errTableAway
	}
	return at, nil
}

// Write implements [node.Sink].
func (s positionedSink) Write(_ context.Context, u *node.Unit) error { return s.write(u, true) }

// Write implements [node.Sink].
func (s sink) Write(_ context.Context, u *node.Unit) error { return s.write(u, false) }

// write is one transaction: move the position, insert, commit. What is broken off
// before the commit has done nothing.
func (s sink) write(u *node.Unit, positioned bool) error {
	if err := unstorableIn(u); err != nil {
		return err
	}
	w, topic := s.e.w, stream.TopicOf(u.Stream, u.Lane)
	var err error
	if positioned {
		if w.call(s.e, "table.move", topic, func() { err = w.table.may(s.e.name, u) }) != answered {
			return errTableAway
		}
		if errors.Is(err, errRepeat) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if w.call(s.e, "table.insert", topic, func() {}) != answered {
		return errTableAway
	}
	if w.call(s.e, "table.commit", topic, func() { err = w.table.commit(s.e.name, u, positioned) }) != answered {
		return errTableAway
	}
	if errors.Is(err, errRepeat) {
		return nil
	}
	return err
}

func unstorableIn(u *node.Unit) error {
	var bad []node.EventReject
	for i, ev := range u.Events {
		if v, _ := ev.Record.Get("poison"); v.Text() == unstorable {
			bad = append(bad, node.EventReject{Index: i, Reject: node.Reject{Record: -1, Code: unstorable, Text: "the table cannot hold it"}})
		}
	}
	if bad == nil {
		return nil
	}
	return &node.RejectedError{Rejects: bad}
}

// Status implements [node.Sink].
func (s sink) Status() node.Status { return node.Status{Ready: true} }

// Close implements [node.Sink].
func (s sink) Close() error { return nil }
