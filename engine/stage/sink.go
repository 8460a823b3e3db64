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
	d.Stage(stream.Effects{})
	return nil, nil
}

// reject keeps the named events of u as dead letters and takes them out of u.
func (l *sinkLane) reject(u *node.Unit, re *node.RejectedError) error {
	letters := make([]stream.DeadLetter, 0, len(re.Rejects))
	guilty := make(map[int]bool, len(re.Rejects))
	for _, r := range re.Rejects {
		guilty[r.Index] = true
		letters = append(letters, stream.DeadLetter{
			Event: u.Events[r.Index], Node: l.id, Generation: l.generation, Record: r.Record, Class: node.Rejected, Code: r.Code,
			Text: r.Text, Attempt: 1, TimeMs: time.Now().UnixMilli(), Stream: u.Stream, Lane: u.Lane, At: u.Last,
		})
	}
	if err := l.letters.StoreDeadLetters(l.work, letters); err != nil {
		return err
	}
	kept := make([]*event.Event, 0, len(u.Events)-len(guilty))
	for i, ev := range u.Events {
		if !guilty[i] {
			kept = append(kept, ev)
		}
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
