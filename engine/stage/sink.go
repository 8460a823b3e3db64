package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

// sinkLane handles the units of one (input stream, lane) of a sink.
type sinkLane struct {
	id         string
	generation string
	sink       node.Sink
	edges      func(*node.Unit) []*event.Event
	letters    DeadLetterStore
	observe    Observer
	work       context.Context
	end        context.CancelCauseFunc // ends the whole stage
	strict     Order
	order      *laneOrder
}

// DeadLetterStore stores dead letters at once, if they are not there yet.
type DeadLetterStore interface {
	StoreDeadLetters(ctx context.Context, letters []stream.DeadLetter) error
}

// write hands the unit to the sink. Events that the sink can never store are kept
// as dead letters first; only then their neighbours are written.
func (l *sinkLane) write(msg *message.Message) ([]*message.Message, error) {
	d, ok := stream.DeliveryFrom(msg)
	if !ok {
		return nil, errors.New("message carries no unit")
	}
	start := time.Now()
	u := *d.Unit
	u.Events = l.edges(d.Unit)
	rejected := 0
	if err := l.admit(&u); err != nil {
		return nil, &node.Error{Node: l.id, Err: err}
	}
	for {
		err := l.sink.Write(l.work, &u)
		re, bad := errors.AsType[*node.RejectedError](err)
		if !bad {
			if node.ClassOf(err) == node.Rejected {
				err = node.AsFatal(fmt.Errorf("sink rejected the unit without naming events: %w", err))
			}
			if errors.Is(err, node.ErrTakenOver) {
				l.end(err)
			}
			if err != nil {
				return nil, &node.Error{Node: l.id, Err: err}
			}
			break
		}
		if err := l.reject(&u, re); err != nil {
			return nil, &node.Error{Node: l.id, Err: err}
		}
		rejected += len(re.Rejects)
	}
	l.observe.Processed(l.id, len(u.Events)+rejected, len(u.Events), rejected, time.Since(start))
	l.observe.Stored(l.id, &u, time.Now())
	var effects stream.Effects
	if l.generation == plan.Redriven && l.order.applies(l.strict) {
		effects.Released = released(l.id, l.edges(d.Unit))
	}
	d.Stage(effects)
	return nil, nil
}

// admit keeps those of u's events as dead letters that wait behind an earlier one,
// and takes them out of u.
func (l *sinkLane) admit(u *node.Unit) error {
	l.order.begin()
	if !l.order.applies(l.strict) {
		return nil
	}
	open, waiting, err := l.order.split(l.work, l.id, l.strict, u.Events)
	if err != nil {
		return err
	}
	letters := make([]stream.DeadLetter, len(waiting))
	for i, ev := range waiting {
		letters[i] = l.order.waits(l.id, u, ev)
	}
	u.Events = open
	if len(letters) == 0 {
		return nil
	}
	return l.letters.StoreDeadLetters(l.work, letters)
}

// reject keeps the named events of u as dead letters and takes them out of u.
func (l *sinkLane) reject(u *node.Unit, re *node.RejectedError) error {
	strict := l.order.applies(l.strict)
	letters := make([]stream.DeadLetter, 0, len(re.Rejects))
	guilty := make(map[int]bool, len(re.Rejects))
	for _, r := range re.Rejects {
		guilty[r.Index] = true
		letters = append(letters, stream.DeadLetter{
			Event: u.Events[r.Index], Node: l.id, Generation: l.generation, Record: r.Record, Class: node.Rejected, Code: r.Code,
			Text: r.Text, Attempt: 1, TimeMs: time.Now().UnixMilli(), Stream: u.Stream, Lane: u.Lane, At: u.Last, Strict: strict,
		})
	}
	kept := make([]*event.Event, 0, len(u.Events))
	for i, ev := range u.Events {
		switch {
		case guilty[i]:
			l.order.hold(l.id, ev.Key)
		case strict && l.order.held(l.id, ev.Key):
			letters = append(letters, l.order.waits(l.id, u, ev))
		default:
			kept = append(kept, ev)
		}
	}
	if err := l.letters.StoreDeadLetters(l.work, letters); err != nil {
		return err
	}
	u.Events = kept
	return nil
}

// sinkEvents returns the function that picks from a unit what the edges mean.
func sinkEvents(edges []plan.Edge) func(*node.Unit) []*event.Event {
	return func(u *node.Unit) []*event.Event {
		if u.Stream != stream.Journal {
			return u.Events
		}
		var in []*event.Event
		for _, e := range edges {
			if e.Stream == stream.Journal {
				in = appendFrom(in, e, u.Events)
			}
		}
		return in
	}
}
