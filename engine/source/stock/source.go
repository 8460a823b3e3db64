// Package stock brings messages in through any watermill subscriber: the queues
// of the embedded default, RabbitMQ through watermill's own adapter (`driver:
// stock`) and Redis streams that other watermill programs write. It stands where
// package amqp does, at the first step of an event's way, and is for compatibility,
// not for speed: such subscribers hand over one message at a time and wait for
// its ack.
package stock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/node"
)

const (
	maxBatch   = 512
	maxWaiting = 1024 // messages handed over and not acknowledged
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// ErrClosed is returned by Receive after Close.
var ErrClosed = errors.New("source is closed")

// subscription is one running subscription of a watermill subscriber.
type subscription struct {
	messages <-chan *message.Message // closed when it has ended
	close    func() error            // ends it and frees what it holds; returns once messages is closed
}

type config struct {
	name      string // for people: what is consumed
	subscribe func(ctx context.Context) (*subscription, error)
	// keep makes Suspend keep the subscription: the messages of a queue that stores
	// nothing wait in its publisher.
	keep  bool
	onAck func(*message.Message)
	log   *slog.Logger
}

// Source is a [node.Source] over a watermill subscriber.
type Source struct {
	cfg     config
	status  atomic.Pointer[node.Status]
	closed  chan struct{}
	closing sync.Once

	// Used by Receive and Suspend only, which never run at once.
	seq   uint64
	pause time.Duration

	mu      sync.Mutex // guards what follows
	sub     *subscription
	waiting []handed
	freed   chan struct{} // one token: waiting has shrunk
}

// handed is a message that was handed over and not acknowledged yet.
type handed struct {
	seq uint64
	msg *message.Message
}

var _ node.Source = (*Source)(nil)

func newSource(cfg config) *Source {
	if cfg.log == nil {
		cfg.log = slog.New(slog.DiscardHandler)
	}
	s := &Source{cfg: cfg, closed: make(chan struct{}), freed: make(chan struct{}, 1)}
	s.setStatus("not connected yet")
	return s
}

// Receive implements [node.Source].
func (s *Source) Receive(ctx context.Context) ([]node.Message, error) {
	for {
		sub, err := s.subscription(ctx)
		if err != nil {
			return nil, err
		}
		batch, err := s.next(ctx, sub)
		if batch != nil || err != nil {
			return batch, err
		}
		s.setStatus(s.cfg.name + ": subscription ended")
		s.cfg.log.Warn("subscription ended", "of", s.cfg.name)
		s.drop()
	}
}

// next returns a batch, or neither batch nor error if the subscription ended.
func (s *Source) next(ctx context.Context, sub *subscription) ([]node.Message, error) {
	for {
		messages := sub.messages
		if s.full() {
			messages = nil
		}
		select {
		case <-s.closed:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.freed:
		case msg, ok := <-messages:
			if !ok {
				return s.ended()
			}
			return s.batch(sub, msg), nil
		}
	}
}

// ended tells a subscription that Close has ended from one that was lost.
func (s *Source) ended() ([]node.Message, error) {
	select {
	case <-s.closed:
		return nil, ErrClosed
	default:
		return nil, nil
	}
}

// batch hands over first and what else is there already.
func (s *Source) batch(sub *subscription, first *message.Message) []node.Message {
	s.pause = 0
	batch := []node.Message{s.hand(first)}
	for len(batch) < maxBatch {
		select {
		case msg, ok := <-sub.messages:
			if !ok {
				return batch
			}
			batch = append(batch, s.hand(msg))
		default:
			return batch
		}
	}
	return batch
}

func (s *Source) hand(msg *message.Message) node.Message {
	s.seq++
	s.mu.Lock()
	s.waiting = append(s.waiting, handed{s.seq, msg})
	s.mu.Unlock()
	m := fromMessage(msg)
	m.Seq = s.seq
	return m
}

func (s *Source) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) >= maxWaiting
}

// Ack implements [node.Source].
func (s *Source) Ack(seq uint64) error {
	for _, h := range s.take(seq) {
		if s.cfg.onAck != nil {
			s.cfg.onAck(h.msg)
		}
		h.msg.Ack()
	}
	select {
	case s.freed <- struct{}{}:
	default:
	}
	return nil
}

// take removes what was handed over up to seq.
func (s *Source) take(seq uint64) []handed {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.waiting) && s.waiting[n].seq <= seq {
		n++
	}
	out := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	return out
}

// Suspend implements [node.Source].
func (s *Source) Suspend(context.Context) error {
	s.mu.Lock()
	keep := s.cfg.keep && s.sub != nil
	s.mu.Unlock()
	if keep {
		s.giveBack()
	} else {
		s.drop()
	}
	s.setStatus("suspended")
	return nil
}

func (s *Source) giveBack() {
	for _, h := range s.take(^uint64(0)) {
		h.msg.Nack()
	}
}

// drop ends the subscription and gives back what is not acknowledged.
func (s *Source) drop() {
	s.mu.Lock()
	sub := s.sub
	s.sub = nil
	s.mu.Unlock()
	if sub == nil {
		s.giveBack()
		return
	}
	done := make(chan struct{})
	go func() { // what was on its way goes back, too
		defer close(done)
		for msg := range sub.messages {
			msg.Nack()
		}
	}()
	if err := sub.close(); err != nil {
		s.cfg.log.Debug("close of subscription", "of", s.cfg.name, "error", err)
	}
	<-done
	s.giveBack()
}

// Status implements [node.Source].
func (s *Source) Status() node.Status { return *s.status.Load() }

func (s *Source) setStatus(reason string) {
	s.status.Store(&node.Status{Ready: reason == "", Reason: strings.ReplaceAll(reason, "\n", "; ")})
}

// Close implements [node.Source].
func (s *Source) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.drop()
	s.setStatus("closed")
	return nil
}

// subscription returns the running subscription, beginning one if there is none.
func (s *Source) subscription(ctx context.Context) (*subscription, error) {
	s.mu.Lock()
	sub := s.sub
	s.mu.Unlock()
	for sub == nil {
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
		var err error
		if sub, err = s.cfg.subscribe(ctx); err == nil {
			break
		}
		err = fmt.Errorf("%s: %w", s.cfg.name, err)
		s.setStatus(err.Error())
		if node.ClassOf(err) == node.Fatal {
			return nil, err
		}
		s.cfg.log.Warn("cannot consume", "reason", err)
		s.pause = min(max(2*s.pause, firstPause), maxPause)
		sub = nil
	}
	return sub, s.adopt(sub)
}

// ready returns once the pause that failures have caused is over.
func (s *Source) ready(ctx context.Context) error {
	pause := time.After(s.pause/2 + rand.N(s.pause/2+1))
	select {
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-pause:
	}
	select {
	case <-s.closed:
		return ErrClosed
	default:
		return ctx.Err()
	}
}

func (s *Source) adopt(sub *subscription) error {
	s.mu.Lock()
	s.sub = sub
	s.mu.Unlock()
	select {
	case <-s.closed: // Close may have looked before the subscription was there
		s.drop()
		return ErrClosed
	default:
	}
	s.setStatus("")
	return nil
}
