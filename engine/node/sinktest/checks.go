package sinktest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

var basics = []check{
	{"what is written can be read back", false, writesBack},
	{"events and units keep their order", false, keepsOrder},
	{"the unit is neither changed nor kept", false, leavesUnitAlone},
	{"a cancelled write stores nothing by halves", true, cancelled},
	{"an open sink is ready, a closed one can be opened again", false, statusAndClose},
}

func writesBack(r *rig) {
	s := r.open(pipeline, sinkID)
	events := r.good(3)
	r.write(s, unit(r.at(s, stream, 0), events))
	r.holds(events)
}

func keepsOrder(r *rig) {
	s := r.open(pipeline, sinkID)
	at := r.at(s, stream, 0)
	var all []*event.Event
	for _, n := range []int{1, 40, 1, 700, 2} {
		u := unit(at, r.good(n))
		slices.Reverse(u.Events) // order is that of the unit, not of ids
		r.write(s, u)
		all, at = append(all, u.Events...), u.Last
	}
	r.holds(all)
}

func leavesUnitAlone(r *rig) {
	s := r.open(pipeline, sinkID)
	events := r.good(5)
	u := unit(r.at(s, stream, 0), slices.Clone(events))
	copies := make([]event.Event, len(events))
	before := *u
	for i, e := range events {
		copies[i] = *e
	}
	r.write(s, u)
	if u.After != before.After || u.Last != before.Last || !slices.Equal(u.Events, events) {
		r.Fatalf("Write changed the unit")
	}
	for i, e := range events {
		if e.ID != copies[i].ID || e.Record != copies[i].Record || e.Key != copies[i].Key || e.Time != copies[i].Time {
			r.Fatalf("Write changed event %d", i)
		}
	}
	clear(u.Events)
	r.holds(events)
}

func cancelled(r *rig) {
	s := r.open(pipeline, sinkID)
	u := unit(r.at(s, stream, 0), r.good(4))
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	if err := s.Write(ctx, u); err == nil {
		r.Fatal("Write under an ended context = nil")
	}
	r.holds()
	r.write(s, u)
	r.holds(u.Events)
}

func statusAndClose(r *rig) {
	s := r.h.Open(r.T, pipeline, sinkID)
	if st := s.Status(); !st.Ready {
		r.Fatalf("Status of an open sink = %+v, want ready", st)
	}
	u := unit(r.at(s, stream, 0), r.good(1))
	r.write(s, u)
	if st := s.Status(); !st.Ready || st.Reason != "" {
		r.Fatalf("Status after a write = %+v, want ready without a reason", st)
	}
	if err := s.Close(); err != nil {
		r.Fatalf("Close = %v", err)
	}
	again := r.open(pipeline, sinkID)
	r.at(again, stream, 0)
	next := unit(u.Last, r.good(1))
	r.write(again, next)
	r.holds(u.Events, next.Events)
}

var positioned = []check{
	{"a position is created once and then kept", true, positionKept},
	{"a unit that comes again changes nothing", true, repeats},
	{"a unit that comes again after a restart changes nothing", true, repeatsReopened},
	{"a gap is refused", true, gaps},
	{"a unit that overlaps what is stored is refused", true, overlaps},
	{"a unit without events moves the position", true, emptyUnit},
	{"a position orders by epoch first", true, epochs},
	{"a lane that another sink has taken over stores nothing more", true, takenOver},
}

func positionKept(r *rig) {
	s := r.open(pipeline, sinkID)
	if at := r.at(s, stream, 0); at != start {
		r.Fatalf("first Position = %s, want %s", at, start)
	}
	u := unit(start, r.good(2))
	r.write(s, u)
	if at := r.at(s, stream, 0); at != u.Last {
		r.Fatalf("Position after a unit = %s, want %s", at, u.Last)
	}
	if at := r.at(r.open(pipeline, sinkID), stream, 0); at != u.Last {
		r.Fatalf("Position after a restart = %s, want %s", at, u.Last)
	}
}

func repeats(r *rig) {
	s := r.open(pipeline, sinkID)
	first := unit(r.at(s, stream, 0), r.good(3))
	second := unit(first.Last, r.good(3))
	for _, u := range []*node.Unit{first, first, second, first, second} {
		r.write(s, u)
	}
	r.holds(first.Events, second.Events)
	if at := r.at(s, stream, 0); at != second.Last {
		r.Fatalf("Position = %s, want %s", at, second.Last)
	}
}

func repeatsReopened(r *rig) {
	s := r.open(pipeline, sinkID)
	u := unit(r.at(s, stream, 0), r.good(3))
	r.write(s, u)
	again := r.open(pipeline, sinkID)
	r.at(again, stream, 0)
	r.write(again, u)
	r.holds(u.Events)
}

func gaps(r *rig) {
	s := r.open(pipeline, sinkID)
	u := unit(r.at(s, stream, 0), r.good(2))
	r.write(s, u)
	ahead := u.Last
	ahead.Ms++
	r.fatal(s, unit(ahead, r.good(2)))
	r.holds(u.Events)
	if st := s.Status(); st.Ready || st.Reason == "" {
		r.Fatalf("Status after a gap = %+v, want not ready with a reason", st)
	}
	if at := r.at(s, stream, 0); at != u.Last {
		r.Fatalf("Position after a refused unit = %s, want %s", at, u.Last)
	}
}

func overlaps(r *rig) {
	s := r.open(pipeline, sinkID)
	u := unit(r.at(s, stream, 0), r.good(2))
	r.write(s, u)
	longer := unit(u.After, append(slices.Clone(u.Events), r.good(2)...))
	r.fatal(s, longer)
	r.holds(u.Events)
}

func emptyUnit(r *rig) {
	s := r.open(pipeline, sinkID)
	u := unit(r.at(s, stream, 0), nil)
	r.write(s, u)
	if at := r.at(s, stream, 0); at != u.Last {
		r.Fatalf("Position after an empty unit = %s, want %s", at, u.Last)
	}
	r.holds()
}

func epochs(r *rig) {
	s := r.open(pipeline, sinkID)
	u := unit(r.at(s, stream, 0), r.good(1))
	u.Last = event.Position{Epoch: start.Epoch + 1, Ms: 1, Seq: 0}
	r.write(s, u)
	if at := r.at(s, stream, 0); at != u.Last {
		r.Fatalf("Position = %s, want %s", at, u.Last)
	}
	r.write(s, u)
	r.fatal(s, &node.Unit{Stream: stream, After: start, Last: event.Position{Epoch: start.Epoch + 1, Ms: 2}, Events: r.good(1)})
	r.holds(u.Events)
}

func takenOver(r *rig) {
	if !r.h.Features().Fenced {
		r.Skip("the sink is not fenced")
	}
	old, fresh := r.open(pipeline, sinkID), r.open(pipeline, sinkID)
	stale := unit(r.at(old, stream, 0), r.good(2))
	at := r.at(fresh, stream, 0)
	if err := r.fatal(old, stale); !errors.Is(err, node.ErrTakenOver) {
		r.Fatalf("Write = %v, want ErrTakenOver", err)
	}
	r.holds()
	u := unit(at, r.good(3))
	r.write(fresh, u)
	r.holds(u.Events)
}

var rejecting = []check{
	{"rejects are named all at once and nothing is stored", false, rejectsAll},
	{"the rest is stored under the same positions", false, rejectsThenRest},
	{"a unit of which nothing is left moves the position", true, rejectsEverything},
}

// mixed returns a unit of good events with bad ones at the given indexes.
func (r *rig) mixed(after event.Position, n int, at ...int) *node.Unit {
	events := r.good(n)
	for _, i := range at {
		if events[i] = r.bad(); events[i] == nil {
			r.Skip("the sink stores everything")
		}
	}
	return unit(after, events)
}

func rejectsAll(r *rig) {
	s := r.open(pipeline, sinkID)
	at := r.at(s, stream, 0)
	r.rejects(s, r.mixed(at, 20, 0, 7, 8, 19), 0, 7, 8, 19)
	r.holds()
	if st := s.Status(); !st.Ready {
		r.Fatalf("Status after bad data = %+v, want ready", st)
	}
	if now := r.at(s, stream, 0); now != at {
		r.Fatalf("Position after rejects = %s, want %s", now, at)
	}
}

func rejectsThenRest(r *rig) {
	s := r.open(pipeline, sinkID)
	u := r.mixed(r.at(s, stream, 0), 10, 3, 4)
	r.rejects(s, u, 3, 4)
	u.Events = slices.Concat(u.Events[:3], u.Events[5:])
	r.write(s, u)
	r.write(s, &node.Unit{Stream: stream, After: u.Last, Last: event.Position{Epoch: u.Last.Epoch, Ms: u.Last.Ms + 1}})
	r.holds(u.Events)
}

func rejectsEverything(r *rig) {
	s := r.open(pipeline, sinkID)
	u := r.mixed(r.at(s, stream, 0), 2, 0, 1)
	r.rejects(s, u, 0, 1)
	u.Events = nil
	r.write(s, u)
	if at := r.at(s, stream, 0); at != u.Last {
		r.Fatalf("Position = %s, want %s", at, u.Last)
	}
	r.holds()
}

var apart = []check{
	{"lanes are written at the same time", false, lanes},
	{"two input streams have two positions", true, streams},
	{"sinks with the same id in two pipelines have two positions", true, pipelines},
	{"two sinks of one pipeline have two positions", true, sinks},
}

func lanes(r *rig) {
	const lanes, units, size = 4, 5, 30
	s := r.open(pipeline, sinkID)
	var work [lanes][]*node.Unit
	for lane := range lanes {
		at := r.at(s, stream, lane)
		for range units {
			u := unit(at, r.good(size))
			u.Lane, at = lane, u.Last
			work[lane] = append(work[lane], u)
		}
	}
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() { r.writeUntilStored(s, work[lane]) })
	}
	wg.Wait()
	stored := r.h.Stored(r.T)
	if len(stored) != lanes*units*size {
		r.Fatalf("the target holds %d events, want %d", len(stored), lanes*units*size)
	}
	for lane := range lanes {
		r.laneHolds(stored, lane, work[lane])
	}
}

// laneHolds checks that the events of these units are among stored, in their order.
func (r *rig) laneHolds(stored []event.ID, lane int, units []*node.Unit) {
	var want []event.ID
	mine := map[event.ID]bool{}
	for _, u := range units {
		for _, e := range u.Events {
			want, mine[e.ID] = append(want, e.ID), true
		}
	}
	have := slices.DeleteFunc(slices.Clone(stored), func(id event.ID) bool { return !mine[id] })
	if !r.h.Features().Ordered {
		slices.SortFunc(want, compareIDs)
		slices.SortFunc(have, compareIDs)
	}
	if !slices.Equal(have, want) {
		r.Fatalf("lane %d: the target holds %s, want %s", lane, describe(have), describe(want))
	}
}

// writeUntilStored writes units in order, again while the sink says Away: lanes
// may get into each other's way, they may not lose anything by it.
func (r *rig) writeUntilStored(s node.Sink, units []*node.Unit) {
	for _, u := range units {
		err := s.Write(r.Context(), u)
		for err != nil && node.ClassOf(err) == node.Away && r.Context().Err() == nil {
			err = s.Write(r.Context(), u)
		}
		if err != nil {
			r.Errorf("lane %d: Write(%s..%s) = %v", u.Lane, u.After, u.Last, err)
			return
		}
	}
}

func streams(r *rig) {
	s := r.open(pipeline, sinkID)
	a := unit(r.at(s, stream, 0), r.good(2))
	b := unit(r.at(s, "other", 0), r.good(2))
	b.Stream = "other"
	r.write(s, a)
	r.write(s, b)
	r.write(s, a)
	r.holds(a.Events, b.Events)
}

func pipelines(r *rig) {
	s, other := r.open(pipeline, sinkID), r.open("mill2", sinkID)
	r.independent(s, other)
}

func sinks(r *rig) {
	s, other := r.open(pipeline, sinkID), r.open(pipeline, "rows2")
	r.independent(s, other)
}

func (r *rig) independent(s, other node.Sink) {
	a := unit(r.at(s, stream, 0), r.good(2))
	r.write(s, a)
	if at := r.at(other, stream, 0); at != start {
		r.Fatalf("the other sink's Position = %s, want %s", at, start)
	}
	b := unit(start, r.good(2))
	r.write(other, b)
	r.write(s, unit(a.Last, nil))
	r.holds(a.Events, b.Events)
}
