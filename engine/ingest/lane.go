package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// chunk is one lane's part of a batch: events in order, and the identities of
// those that have one.
type chunk struct {
	events     []*event.Event
	identities []event.Identity // by event; meaningless where identified is false
	identified []bool
	bytes      int
	batch      *batch
}

func (c *chunk) add(ev *event.Event, id event.Identity, identified bool) {
	c.events = append(c.events, ev)
	c.identities = append(c.identities, id)
	c.identified = append(c.identified, identified)
	c.bytes += len(ev.Payload) + len(ev.RootID) + 32
}

// batch counts the lanes that have not stored their part of one Receive yet.
type batch struct {
	lastSeq uint64
	left    int // guarded by ackQueue.mu
}

// ackQueue acknowledges batches in the order in which they were received, each
// once it and all before it are stored. It is safe for concurrent use.
type ackQueue struct {
	ack func(seq uint64) error

	mu      sync.Mutex
	pending []*batch // guarded by mu
}

func (q *ackQueue) open(lastSeq uint64, parts []chunk) *batch {
	b := &batch{lastSeq: lastSeq}
	for i := range parts {
		if len(parts[i].events) > 0 {
			b.left++
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(q.pending, b)
	return b
}

// stored says that one part of each of the batches is stored.
func (q *ackQueue) stored(batches []*batch) error {
	q.mu.Lock()
	for _, b := range batches {
		b.left--
	}
	q.mu.Unlock()
	return q.settle()
}

// settle acknowledges the contiguous stored batches at the front. It holds the
// lock while it acknowledges, so that acknowledgements go out in order.
func (q *ackQueue) settle() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var last *batch
	for len(q.pending) > 0 && q.pending[0].left == 0 {
		last = q.pending[0]
		q.pending = q.pending[1:]
	}
	if last == nil {
		return nil
	}
	return q.ack(last.lastSeq)
}

// lane appends chunks to one lane of the journal, one frame in flight at a time.
type lane struct {
	in     *Ingest
	number int
	acks   *ackQueue
	chunks chan chunk // closed by the receiver; its capacity bounds what waits for the append in flight
	seen   map[event.Identity]struct{}
}

func newLane(in *Ingest, number int, acks *ackQueue) *lane {
	return &lane{in: in, number: number, acks: acks, chunks: make(chan chunk, laneQueueSize), seen: map[event.Identity]struct{}{}}
}

// run appends what comes, at once when idle and in larger frames when chunks have
// queued up behind an append.
func (l *lane) run(ctx context.Context) error {
	rest := l.in.Rest
	for c := range l.chunks {
		rest.Wait(ctx)
		began := time.Now()
		batches := append([]*batch(nil), c.batch)
		for len(c.events) < l.in.FrameEvents && c.bytes < l.in.FrameBytes {
			next, ok := l.tryNext()
			if !ok {
				break
			}
			c = join(c, next)
			batches = append(batches, next.batch)
		}
		if err := l.store(ctx, c); err != nil {
			return err
		}
		rest.Over(len(c.events), began)
		if err := l.acks.stored(batches); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) tryNext() (chunk, bool) {
	select {
	case c, ok := <-l.chunks:
		return c, ok
	default:
		return chunk{}, false
	}
}

func join(a, b chunk) chunk {
	a.events = append(a.events, b.events...)
	a.identities = append(a.identities, b.identities...)
	a.identified = append(a.identified, b.identified...)
	a.bytes += b.bytes
	return a
}

// store appends c as one frame, leaving out messages that are stored already.
func (l *lane) store(ctx context.Context, c chunk) error {
	c = l.withoutRepeats(c)
	for len(c.events) > 0 {
		err := l.append(ctx, c)
		known, ok := errors.AsType[*stream.KnownError](err)
		if !ok {
			return err
		}
		l.in.Observer.Repeated(l.in.Node, len(known.Indexes))
		c = without(c, known.Indexes)
	}
	return nil
}

func (l *lane) append(ctx context.Context, c chunk) error {
	start := time.Now()
	f := event.Frame{Events: c.events}
	frame, err := f.Encode(nil, l.in.Compression)
	if err != nil {
		return err
	}
	r := stream.AppendRequest{
		Stream: stream.Journal, Lane: l.number, Frame: frame, Events: len(c.events), Source: l.in.Node, Identities: c.known(),
	}
	err = l.in.patiently(ctx, func() error {
		_, err := l.in.Log.Append(ctx, r)
		return err
	})
	if err == nil {
		l.in.Observer.Ingested(l.in.Node, len(c.events), len(frame), time.Since(start))
	}
	return err
}

// known returns the identities of the events that have one.
func (c *chunk) known() []event.Identity {
	ids := make([]event.Identity, 0, len(c.identities))
	for i, id := range c.identities {
		if c.identified[i] {
			ids = append(ids, id)
		}
	}
	return ids
}

// withoutRepeats leaves out all but the first event of each identity in c.
func (l *lane) withoutRepeats(c chunk) chunk {
	clear(l.seen)
	var repeats []int
	n := 0 // index among the identified
	for i, id := range c.identities {
		if !c.identified[i] {
			continue
		}
		if _, ok := l.seen[id]; ok {
			repeats = append(repeats, n)
		}
		l.seen[id] = struct{}{}
		n++
	}
	if len(repeats) == 0 {
		return c
	}
	l.in.Observer.Repeated(l.in.Node, len(repeats))
	return without(c, repeats)
}

// without leaves out the events whose numbers among the identified ones are listed,
// in rising order.
func without(c chunk, indexes []int) chunk {
	var kept chunk
	n := 0
	for i, ev := range c.events {
		if c.identified[i] {
			n++
			if len(indexes) > 0 && indexes[0] == n-1 {
				indexes = indexes[1:]
				continue
			}
		}
		kept.add(ev, c.identities[i], c.identified[i])
	}
	return kept
}
