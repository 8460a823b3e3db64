package stream

import (
	"context"
	"sync"

	"github.com/millrace/millrace/engine/event"
)

// item is one entry read ahead.
type item struct {
	at        event.Position
	events    []*event.Event
	watermark int64
	bytes     int
	letter    *DeadLetter // if the entry could not be decoded
}

// queue holds the entries that were read and decoded while a unit is being
// handled: at most about one further unit. One goroutine puts, one takes.
type queue struct {
	maxEvents, maxBytes int

	mu            sync.Mutex
	items         []item // guarded by mu, as the rest
	events, bytes int
	changed       chan struct{} // capacity 1: something was put or taken
	room          chan struct{} // capacity 1
}

func newQueue(maxEvents, maxBytes int) *queue {
	return &queue{
		maxEvents: maxEvents, maxBytes: maxBytes,
		changed: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds an entry, waiting while a whole unit is queued. It reports false if
// ctx ended first.
func (q *queue) put(ctx context.Context, it item) bool {
	for !q.tryPut(it) {
		select {
		case <-q.room:
		case <-ctx.Done():
			return false
		}
	}
	signal(q.changed)
	return true
}

func (q *queue) tryPut(it item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) > 0 && (q.events+len(it.events) > q.maxEvents || q.bytes+it.bytes > q.maxBytes) {
		return false
	}
	q.items = append(q.items, it)
	q.events += len(it.events)
	q.bytes += it.bytes
	return true
}

// take waits for an entry and returns it with all that followed meanwhile, in
// order, up to the size of a unit. It reports false if ctx ended first.
func (q *queue) take(ctx context.Context, into []item) ([]item, bool) {
	for {
		if ctx.Err() != nil {
			return nil, false
		}
		if into = q.tryTake(into); len(into) > 0 {
			signal(q.room)
			return into, true
		}
		select {
		case <-q.changed:
		case <-ctx.Done():
			return nil, false
		}
	}
}

func (q *queue) tryTake(into []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	into = append(into[:0], q.items...)
	clear(q.items)
	q.items = q.items[:0]
	q.events, q.bytes = 0, 0
	return into
}
