// Package sinktest holds every implementation of [node.Sink], and of
// [node.Positioned] where a sink has it, to the promises of the contract: whole
// units in order, repeats and gaps told apart, rejects named all at once, lanes,
// streams and pipelines kept apart. It stands beside an event's way, not on it:
// only tests import it.
package sinktest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Features says what a sink promises beyond the contract's least.
type Features struct {
	// Positioned: the sink keeps its position with its rows (it implements
	// [node.Positioned]), so that repeats change nothing and gaps are refused.
	Positioned bool
	// Fenced: a sink whose lane another one has taken over by Position stores
	// nothing more, with an error that wraps [node.ErrTakenOver].
	Fenced bool
	// Ordered: Stored returns events in the order in which they were written.
	Ordered bool
}

// Harness is one outside target, empty at first, and the way to sinks that write
// to it.
type Harness interface {
	Features() Features
	// Open returns a sink of the target under this pipeline and node id. Sinks that
	// differ in them, and those that do not, may be open at the same time.
	Open(t *testing.T, pipeline, id string) node.Sink
	// Good returns an event that the sink stores. No two calls give the same id.
	Good(t *testing.T, n int) *event.Event
	// Bad returns an event that the sink can never store; nil if it stores all.
	Bad(t *testing.T, n int) *event.Event
	// Stored returns the ids of all events in the target.
	Stored(t *testing.T) []event.ID
}

// Run runs the suite; fresh is called once for each subtest.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	for _, c := range slices.Concat(basics, positioned, rejecting, apart) {
		t.Run(c.name, func(t *testing.T) {
			r := &rig{T: t, h: fresh(t), next: 1}
			if c.positioned && !r.h.Features().Positioned {
				t.Log("promised nothing: the sink keeps no position")
				return
			}
			c.run(r)
		})
	}
}

type check struct {
	name       string
	positioned bool
	run        func(r *rig)
}

// rig is a harness with the bookkeeping that every subtest needs.
type rig struct {
	*testing.T
	h    Harness
	next int
}

const (
	pipeline = "mill"
	sinkID   = "rows"
	stream   = "readings"
)

// start is where the first unit of every subtest begins.
var start = event.Position{Epoch: 7, Ms: 1000, Seq: 5}

func (r *rig) open(pipeline, id string) node.Sink {
	r.Helper()
	s := r.h.Open(r.T, pipeline, id)
	r.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.Errorf("Close = %v", err)
		}
	})
	return s
}

// at asks for the position of a lane, from start; a sink without positions is
// always where the unit begins.
func (r *rig) at(s node.Sink, stream string, lane int) event.Position {
	r.Helper()
	p, ok := s.(node.Positioned)
	if ok != r.h.Features().Positioned {
		r.Fatalf("implements Positioned: %t, the harness says %t", ok, !ok)
	}
	if !ok {
		return start
	}
	at, err := p.Position(r.Context(), stream, lane, start)
	if err != nil {
		r.Fatalf("Position(%s/%d) = %v", stream, lane, err)
	}
	return at
}

func (r *rig) good(n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = r.h.Good(r.T, r.next)
		r.next++
	}
	return events
}

func (r *rig) bad() *event.Event {
	r.next++
	return r.h.Bad(r.T, r.next)
}

// unit makes the unit that follows after with these events.
func unit(after event.Position, events []*event.Event) *node.Unit {
	last := after
	last.Seq += uint64(len(events)) + 1
	return &node.Unit{Stream: stream, Lane: 0, After: after, Last: last, Events: events}
}

func (r *rig) write(s node.Sink, u *node.Unit) {
	r.Helper()
	if err := s.Write(r.Context(), u); err != nil {
		r.Fatalf("Write(%s..%s) = %v", u.After, u.Last, err)
	}
}

// fatal writes u and expects it to be refused for good.
func (r *rig) fatal(s node.Sink, u *node.Unit) error {
	r.Helper()
	err := s.Write(r.Context(), u)
	if node.ClassOf(err) != node.Fatal {
		r.Fatalf("Write(%s..%s) = %v (%s), want a fatal error", u.After, u.Last, err, node.ClassOf(err))
	}
	return err
}

// holds checks that the target holds exactly these events.
func (r *rig) holds(want ...[]*event.Event) {
	r.Helper()
	var ids []event.ID
	for _, events := range want {
		for _, e := range events {
			ids = append(ids, e.ID)
		}
	}
	have := r.h.Stored(r.T)
	if !r.h.Features().Ordered {
		slices.SortFunc(ids, compareIDs)
		slices.SortFunc(have, compareIDs)
	}
	if !slices.Equal(have, ids) {
		r.Fatalf("the target holds %s, want %s", describe(have), describe(ids))
	}
}

func compareIDs(a, b event.ID) int { return slices.Compare(a[:], b[:]) }

func describe(ids []event.ID) string {
	if len(ids) > 12 {
		return fmt.Sprintf("%d events, first %v", len(ids), ids[:12])
	}
	return fmt.Sprintf("%d events %v", len(ids), ids)
}

// rejects writes u and expects a reject of exactly the events at indexes.
func (r *rig) rejects(s node.Sink, u *node.Unit, indexes ...int) {
	r.Helper()
	err := s.Write(r.Context(), u)
	rejected, ok := errors.AsType[*node.RejectedError](err)
	if !ok || node.ClassOf(err) != node.Rejected {
		r.Fatalf("Write = %v (%s), want a RejectedError", err, node.ClassOf(err))
	}
	var have []int
	for _, e := range rejected.Rejects {
		have = append(have, e.Index)
		if e.Code == "" || e.Text == "" {
			r.Errorf("event %d is rejected without a code or a text: %+v", e.Index, e)
		}
	}
	if !slices.Equal(have, indexes) {
		r.Fatalf("rejected events %v, want %v: %v", have, indexes, err)
	}
}
