package runtime

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/replay"
)

// replaySink lets the events through that the replay is about, and counts them.
type replaySink struct {
	node.Sink
	times replay.Times
	key   string
	count *atomic.Int64
}

// positionedReplaySink is a replaySink whose sink has positions of its own.
type positionedReplaySink struct {
	replaySink
	node.Positioned
}

// inner returns the sink that a replay's sink stands before.
func inner(s node.Sink) node.Sink {
	switch s := s.(type) {
	case positionedReplaySink:
		return s.Sink
	case replaySink:
		return s.Sink
	}
	return s
}

// wrap puts the replay's filter before a sink.
func (r *replayRun) wrap(id string, s node.Sink) node.Sink {
	times, _ := r.rec.Times() // Check has read it
	r.counts[id] = new(atomic.Int64)
	w := replaySink{Sink: s, times: times, key: r.rec.Key, count: r.counts[id]}
	if p, ok := s.(node.Positioned); ok {
		return positionedReplaySink{w, p}
	}
	return w
}

// Write implements [node.Sink].
func (s replaySink) Write(ctx context.Context, u *node.Unit) error {
	taken, at := *u, make([]int, 0, len(u.Events))
	taken.Events = make([]*event.Event, 0, len(u.Events))
	for i, ev := range u.Events {
		if s.times.Take(ev.Time) && (s.key == "" || ev.Key == s.key) {
			taken.Events, at = append(taken.Events, ev), append(at, i)
		}
	}
	err := s.Sink.Write(ctx, &taken)
	if err == nil {
		s.count.Add(int64(len(taken.Events)))
	}
	if re, ok := errors.AsType[*node.RejectedError](err); ok {
		for i := range re.Rejects { // the unit's own numbers
			re.Rejects[i].Index = at[re.Rejects[i].Index]
		}
	}
	return err
}
