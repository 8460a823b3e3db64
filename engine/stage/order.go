package stage

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

// Order is how a node treats later events of a key of which it has refused one.
type Order struct {
	Strict    bool  // they wait behind it as dead letters, until it is driven again or dropped
	ParkedMax int64 // from so many on the lane stands still; 0: no limit
}

// Blockers tells what is held up at nodes with strict order.
type Blockers interface {
	// Blocked returns those of keys that are held up at node, in the live run or, with
	// generation "redrive", among what is driven again.
	Blocked(ctx context.Context, node, generation string, keys []string) (map[string]stream.Blocked, error)
}

// laneOrder holds, for the unit at work in one lane, the keys that are held up at
// nodes with strict order: by what the log had when the unit was begun, by accepted
// runs over parts of it, and by the run at work.
type laneOrder struct {
	blockers   Blockers
	generation string
	known      map[nodeKey]stream.Blocked
	asked      map[nodeKey]bool
	accepted   map[nodeKey]bool
	running    map[nodeKey]bool
}

type nodeKey struct{ node, key string }

func newLaneOrder(b Blockers, generation string) *laneOrder {
	return &laneOrder{
		blockers: b, generation: generation, known: map[nodeKey]stream.Blocked{}, asked: map[nodeKey]bool{},
		accepted: map[nodeKey]bool{}, running: map[nodeKey]bool{},
	}
}

// applies reports whether the order is kept in this generation: a replay of the
// journal has dead letters that nobody waits behind.
func (o *laneOrder) applies(order Order) bool {
	return order.Strict && (o.generation == stream.Live || o.generation == plan.Redriven)
}

func (o *laneOrder) begin() {
	clear(o.known)
	clear(o.asked)
	clear(o.accepted)
	clear(o.running)
}

func (o *laneOrder) attempt() { clear(o.running) }

func (o *laneOrder) accept() {
	for k := range o.running {
		o.accepted[k] = true
	}
}

// hold makes later events of the key wait at the node.
func (o *laneOrder) hold(id, key string) { o.running[nodeKey{id, key}] = true }
func (o *laneOrder) held(id, key string) bool {
	k := nodeKey{id, key}
	return o.running[k] || o.accepted[k]
}

// split parts events into those that may go on and those that have to wait. The one
// that holds its key up may itself be among them, when a unit comes again: it goes
// on, and so do those before it.
func (o *laneOrder) split(ctx context.Context, id string, order Order, in []*event.Event) (open, waiting []*event.Event, err error) {
	if err := o.ask(ctx, id, in); err != nil {
		return nil, nil, err
	}
	for i, ev := range in {
		k := nodeKey{id, ev.Key}
		b := o.known[k]
		switch {
		case o.held(id, ev.Key):
			waiting = append(waiting, ev)
		case b.Events == 0 || comes(in[i:], b.First):
			open = append(open, ev)
			if ev.ID.String() == b.First {
				delete(o.known, k) // what becomes of it decides about the rest
			}
		case order.ParkedMax > 0 && b.Events >= order.ParkedMax:
			delete(o.asked, k) // the next try asks again
			return nil, nil, node.AsAway(fmt.Errorf("%d events of key %q wait behind a dead letter, parked_max allows no more: see engine dlq ls --node %s", b.Events, ev.Key, id))
		default:
			waiting = append(waiting, ev)
		}
	}
	return open, waiting, nil
}

func comes(events []*event.Event, id string) bool {
	for _, ev := range events {
		if ev.ID.String() == id {
			return true
		}
	}
	return false
}

// ask asks the log for keys that were not asked for yet.
func (o *laneOrder) ask(ctx context.Context, id string, in []*event.Event) error {
	var keys []string
	for _, ev := range in {
		if k := (nodeKey{id, ev.Key}); !o.asked[k] {
			o.asked[k] = true
			keys = append(keys, ev.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	found, err := o.blockers.Blocked(ctx, id, o.generation, keys)
	if err != nil {
		for _, key := range keys {
			delete(o.asked, nodeKey{id, key})
		}
		return err
	}
	for key, b := range found {
		o.known[nodeKey{id, key}] = b
	}
	return nil
}

// WaitsCode is the reason of a dead letter that only waits behind another one.
const WaitsCode = "waits"

// waits is the letter of an event that waits.
func (o *laneOrder) waits(id string, u *node.Unit, ev *event.Event) stream.DeadLetter {
	return stream.DeadLetter{
		Event: ev, Node: id, Generation: o.generation, Record: -1, Class: node.Rejected, Code: WaitsCode,
		Text: "waits behind an earlier event of its key, until that is driven again or dropped", Attempt: 0,
		TimeMs: time.Now().UnixMilli(), Stream: u.Stream, Lane: u.Lane, At: u.Last, Strict: true, Waits: true,
	}
}

// released counts the unit's events by key: they have been driven again.
func released(id string, events []*event.Event) (list []stream.Released) {
	index := map[string]int{}
	for _, ev := range events {
		i, known := index[ev.Key]
		if !known {
			i = len(list)
			index[ev.Key] = i
			list = append(list, stream.Released{Node: id, Key: ev.Key})
		}
		list[i].Events++
	}
	return list
}
