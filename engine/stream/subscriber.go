package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
)

// SubscriberConfig describes the reading of one lane.
type SubscriberConfig struct {
	Log    *Log   // required
	Lease  *Lease // required: held by the reader while it subscribes
	Reader string // as registered
	Stream string
	Lane   int

	MaxEvents int            // most events of a unit, unless one frame has more; default 1000
	MaxBytes  int            // most bytes of frames of a unit, likewise; default 4 MiB
	Start     event.Position // entry to read behind; zero: the reader's position in the log
	Until     event.Position // last entry to hand out; zero: there is no last one
	Rest      lifecycle.Rest // before the next unit is taken; default: none
	Drain     time.Duration  // how long a unit in flight may still be handled after the end; default 10 s

	Logger *slog.Logger // default: discards
	OnStop func(error)  // hears once per subscription why it ended by itself; must not block
}

// LaneSubscriber hands out one lane as units, one message at a time, in order:
// the next after the Ack of the one before has been committed together with the
// effects staged on its [Delivery]. A Nack brings the same unit again.
type LaneSubscriber struct {
	cfg SubscriberConfig
	ln  *lane

	mu     sync.Mutex
	active func() // ends the subscription; guarded by mu
	closed bool   // guarded by mu
	wg     sync.WaitGroup

	unsure bool // see [Delivery]; of the goroutine that hands out
}

var _ message.Subscriber = (*LaneSubscriber)(nil)

// NewLaneSubscriber returns an idle subscriber.
func NewLaneSubscriber(cfg SubscriberConfig) (*LaneSubscriber, error) {
	if cfg.Log == nil || cfg.Lease == nil || !isName(cfg.Reader) {
		return nil, fatalf("lane subscriber: log, lease and reader are required")
	}
	ln, err := cfg.Log.lane(cfg.Stream, cfg.Lane)
	if err != nil {
		return nil, err
	}
	cfg.MaxEvents = defaultTo(cfg.MaxEvents, 1000)
	cfg.MaxBytes = defaultTo(cfg.MaxBytes, 4<<20)
	cfg.Drain = defaultTo(cfg.Drain, 10*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With("reader", cfg.Reader, "stream", cfg.Stream, "lane", cfg.Lane)
	if cfg.OnStop == nil {
		cfg.OnStop = func(error) {}
	}
	return &LaneSubscriber{cfg: cfg, ln: ln}, nil
}

// Subscribe starts reading; topic must be [TopicOf] the configured lane. The
// channel is unbuffered and closed when ctx ends, Close is called or the lane has
// to stop (see OnStop). A unit that is in flight then may still be acknowledged for
// the time of Drain. There is one subscription at a time.
func (s *LaneSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic != TopicOf(s.cfg.Stream, s.cfg.Lane) {
		return nil, fmt.Errorf("subscribe to %s: this subscriber reads %s", topic, TopicOf(s.cfg.Stream, s.cfg.Lane))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.active != nil {
		return nil, fmt.Errorf("subscribe to %s: closed or subscribed already", topic)
	}
	taking, end := context.WithCancelCause(ctx)
	s.active = func() { end(context.Canceled) }
	out := make(chan *message.Message)
	s.wg.Go(func() {
		defer close(out)
		defer s.ended(end)
		err := s.run(taking, end, out)
		if ctx.Err() == nil && err != nil && !errors.Is(err, context.Canceled) {
			s.cfg.Logger.Error("lane stopped", "error", err)
			s.cfg.OnStop(err)
		}
	})
	return out, nil
}

func (s *LaneSubscriber) ended(end context.CancelCauseFunc) {
	end(context.Canceled)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = nil
}

// Close ends the subscription and waits until nothing of it is left. It leaves
// the log and the lease alone.
func (s *LaneSubscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.active != nil {
		s.active()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// run reads and hands out until taking ends or the lane must stop. When it
// returns nothing that it started is left.
func (s *LaneSubscriber) run(taking context.Context, end context.CancelCauseFunc, out chan<- *message.Message) error {
	work, done := lifecycle.Drainable(taking, s.cfg.Drain)
	defer done()
	work, kill := context.WithCancelCause(work)
	defer kill(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end(context.Canceled)
	wg.Go(func() { // another owner: drop the unit at once
		select {
		case <-s.cfg.Lease.Lost():
			end(ErrLostLease)
			kill(ErrLostLease)
		case <-taking.Done():
		}
	})
	from, err := s.start(taking)
	if err != nil {
		return err
	}
	q := newQueue(s.cfg.MaxEvents, s.cfg.MaxBytes)
	wg.Go(func() {
		if err := s.readAhead(taking, q, from); err != nil {
			end(err)
		}
	})
	if err := s.handOut(taking, work, q, from, out); err != nil {
		return err
	}
	return context.Cause(taking)
}

func (s *LaneSubscriber) start(ctx context.Context) (event.Position, error) {
	from := s.cfg.Start
	if !from.IsZero() {
		return from, nil
	}
	err := s.cfg.Log.patiently(ctx, "position", func(ctx context.Context) (err error) {
		from, err = s.cfg.Log.Position(ctx, s.cfg.Reader, s.cfg.Stream, s.cfg.Lane)
		return err
	})
	return from, err
}

// handOut takes units from q and sees each through to its commit.
func (s *LaneSubscriber) handOut(taking, work context.Context, q *queue, after event.Position, out chan<- *message.Message) error {
	rest := s.cfg.Rest
	var items []item
	for {
		rest.Wait(taking)
		var ok bool
		if items, ok = q.take(taking, items); !ok {
			return nil
		}
		began := time.Now()
		u, letters := s.unit(after, items)
		if err := s.keep(work, letters); err != nil {
			return err
		}
		done, err := s.deliver(taking, work, u, out)
		if !done {
			return err
		}
		after = u.Last
		rest.Over(len(u.Events), began)
	}
}

func (s *LaneSubscriber) unit(after event.Position, items []item) (*node.Unit, []DeadLetter) {
	u := &node.Unit{Stream: s.cfg.Stream, Lane: s.cfg.Lane, After: after, Last: items[len(items)-1].at}
	var letters []DeadLetter
	total := 0
	for i := range items {
		total += len(items[i].events)
	}
	if len(items) == 1 {
		u.Events = items[0].events
	} else {
		u.Events = make([]*event.Event, 0, total)
	}
	for i := range items {
		if len(items) > 1 {
			u.Events = append(u.Events, items[i].events...)
		}
		if items[i].watermark != 0 {
			u.Watermark = items[i].watermark
		}
		if items[i].letter != nil {
			letters = append(letters, *items[i].letter)
		}
	}
	return u, letters
}

// keep stores the dead letters of undecodable entries, before the unit that
// moves the position over them.
func (s *LaneSubscriber) keep(ctx context.Context, letters []DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	s.cfg.Logger.Error("entries are undecodable, kept as dead letters", "count", len(letters), "first", letters[0].At.String())
	return s.cfg.Log.patiently(ctx, "dead letters", func(ctx context.Context) error {
		return s.cfg.Log.StoreDeadLetters(ctx, s.cfg.Lease, letters)
	})
}

// deliver hands u out until it is acknowledged, and commits it. It reports
// whether that has happened.
func (s *LaneSubscriber) deliver(taking, work context.Context, u *node.Unit, out chan<- *message.Message) (bool, error) {
	nacks := &backoff{first: time.Millisecond, most: 20 * time.Millisecond, jitter: s.cfg.Log.cfg.Jitter}
	for taking.Err() == nil {
		acked, err := s.offer(taking, work, u, out)
		if acked && !errors.Is(err, ErrUnblocked) {
			return err == nil, err
		}
		if !nacks.wait(taking) {
			break
		}
	}
	return false, nil
}

// offer hands u out once, and commits it if it is acknowledged. The message's
// context ends when that is done.
func (s *LaneSubscriber) offer(taking, work context.Context, u *node.Unit, out chan<- *message.Message) (acked bool, err error) {
	d := &Delivery{Unit: u, Unsure: s.unsure}
	ctx, cancel := context.WithCancel(context.WithValue(work, deliveryKey{}, d))
	defer cancel()
	msg := newMessage(u)
	msg.SetContext(ctx)
	select {
	case out <- msg:
	case <-taking.Done():
		return false, nil
	}
	select {
	case <-msg.Acked():
		return true, s.commit(work, u, d)
	case <-msg.Nacked():
		return false, nil
	case <-work.Done():
		return false, nil
	}
}

// commit stores the unit's effects and moves the position, waiting while Redis
// is away or a stream is full.
func (s *LaneSubscriber) commit(ctx context.Context, u *node.Unit, d *Delivery) error {
	c := Commit{
		Reader: s.cfg.Reader, Stream: s.cfg.Stream, Lane: s.cfg.Lane,
		After: u.After, Last: u.Last, Effects: d.effects,
	}
	b := s.cfg.Log.newBackoff()
	for {
		answer, err := s.cfg.Log.Commit(ctx, s.cfg.Lease, c)
		switch {
		case err == nil:
			s.unsure = answer == Already
			return nil
		case errors.Is(err, ErrUnblocked):
			return err // the unit comes again
		case errors.Is(err, ErrFull):
			if !sleep(ctx, waitFull) {
				return err
			}
		case node.ClassOf(err) != node.Away || !b.wait(ctx):
			return err
		}
	}
}

// readAhead fills q with decoded entries behind from until ctx ends.
func (s *LaneSubscriber) readAhead(ctx context.Context, q *queue, from event.Position) error {
	client := redis.NewClient(waiting(s.cfg.Log.opts, 2))
	stop := context.AfterFunc(ctx, func() { _ = client.Close() }) // ends a blocking read
	defer func() {
		if stop() {
			_ = client.Close()
		}
	}()
	r := laneReader{sub: s, client: client, last: from, count: 16}
	b := s.cfg.Log.newBackoff()
	for ctx.Err() == nil {
		items, err := r.next(ctx)
		if err != nil && ctx.Err() == nil {
			if node.ClassOf(err) != node.Away {
				return err
			}
			b.wait(ctx)
			continue
		}
		b.reset()
		for i := range items {
			if !q.put(ctx, items[i]) {
				return nil
			}
		}
	}
	return nil
}
