// Package amqp brings messages in from RabbitMQ: the first step of an event's
// way. A Source is the one consumer of one queue. It takes what the broker has
// in large steps, keeps the broker's order, acknowledges only what the engine
// says is stored, and reconnects by itself to whichever node of a cluster
// answers. It decodes nothing, stores nothing and never creates a queue that it
// was not told to create.
package amqp

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

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
	// patience is how long a full budget of bytes may stop the connection's reader.
	// The broker gives up writing after 15 s.
	defaultPatience = 5 * time.Second
)

// ErrClosed is returned by Receive after Close.
var ErrClosed = errors.New("source is closed")

// Config is everything a Source needs.
type Config struct {
	Options
	// URLs of the cluster's nodes, tried in order; an entry may hold several,
	// separated by commas.
	URLs []string
	// Name is shown by the broker's management tools, such as "charts/plant1".
	Name string
	// Log receives connects, disconnects and their reasons. nil: none.
	Log *slog.Logger
}

// Source consumes one queue. It implements [node.Source]. Seqs rise by exactly 1
// within a connection.
type Source struct {
	cfg      Config
	brokers  []link.Broker
	log      *slog.Logger
	patience time.Duration
	status   atomic.Pointer[node.Status]
	closed   chan struct{}
	closing  sync.Once

	// Used by Receive and Suspend only, which never run at once.
	next  int // broker to try first
	pause time.Duration
	held  int       // prefetch that fits max_inflight_bytes, 0: not known to be needed
	live  bool      // has consumed at least once
	since time.Time // when the last session began
	base  uint64    // last seq used

	mu   sync.Mutex // guards sess
	sess *session
}

var _ node.Source = (*Source)(nil)

// New checks cfg and returns a Source that connects when Receive is first
// called. Errors never hold a URL.
func New(cfg Config) (*Source, error) {
	if cfg.Prefetch == 0 {
		cfg.Prefetch = DefaultPrefetch
	}
	if cfg.MaxInflightBytes == 0 {
		cfg.MaxInflightBytes = DefaultMaxInflightBytes
	}
	var errs []error
	for _, e := range cfg.Check() {
		if !e.Warning {
			errs = append(errs, e)
		}
	}
	brokers, err := link.Parse(cfg.URLs)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("source amqp: %w", err)
	}
	s := &Source{cfg: cfg, brokers: brokers, log: cfg.Log, patience: defaultPatience, closed: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.setStatus("not connected yet")
	return s, nil
}

// Receive implements [node.Source].
func (s *Source) Receive(ctx context.Context) ([]node.Message, error) {
	for {
		sess, err := s.session(ctx)
		if err != nil {
			return nil, err
		}
		batch, err := s.wait(ctx, sess)
		if batch != nil || err != nil {
			return batch, err
		}
		reason := sess.why()
		s.drop(sess)
		s.setStatus(fmt.Sprintf("queue %q: %v", s.cfg.Queue, reason))
		s.log.Warn("stopped consuming", "queue", s.cfg.Queue, "reason", reason)
	}
}

// wait returns the next batch, or neither batch nor error if the session ended.
func (s *Source) wait(ctx context.Context, sess *session) ([]node.Message, error) {
	for {
		select {
		case <-s.closed:
			return nil, ErrClosed
		default:
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if batch := sess.take(); batch != nil {
			return batch, nil
		}
		select {
		case <-sess.ready:
		case <-sess.done:
			return nil, nil
		case <-ctx.Done():
		case <-s.closed:
		}
	}
}

// Ack implements [node.Source]. An ack that the connection does not take is not
// an error: the broker then sends the messages again.
func (s *Source) Ack(seq uint64) error {
	s.mu.Lock()
	sess := s.sess
	s.mu.Unlock()
	if sess == nil || seq <= sess.base {
		return nil
	}
	send, err := sess.settle(seq - sess.base)
	if err != nil || !send {
		return err
	}
	if err := sess.ch.Ack(seq-sess.base, true); err != nil {
		s.log.Debug("ack not sent", "queue", s.cfg.Queue, "reason", err)
	}
	return nil
}

// Suspend implements [node.Source]: it closes the connection, so that the broker
// takes back what is unacknowledged at once.
func (s *Source) Suspend(context.Context) error {
	s.mu.Lock()
	sess := s.sess
	s.mu.Unlock()
	if sess != nil {
		s.drop(sess)
	}
	s.setStatus("suspended")
	return nil
}

// Status implements [node.Source].
func (s *Source) Status() node.Status { return *s.status.Load() }

func (s *Source) setStatus(reason string) {
	s.status.Store(&node.Status{Ready: reason == "", Reason: strings.ReplaceAll(reason, "\n", "; ")})
}

// Close implements [node.Source].
func (s *Source) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.mu.Lock()
	sess := s.sess
	s.sess = nil
	s.mu.Unlock()
	if sess != nil {
		sess.close()
	}
	s.setStatus("closed")
	return nil
}

// session returns the live session, connecting if there is none.
func (s *Source) session(ctx context.Context) (*session, error) {
	s.mu.Lock()
	sess := s.sess
	s.mu.Unlock()
	if sess != nil {
		return sess, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	connected := make(chan struct{})
	defer close(connected)
	go func() {
		select {
		case <-s.closed:
			cancel(ErrClosed)
		case <-connected:
		}
	}()
	return s.connect(ctx)
}

// connect walks the brokers until one lets this source consume, pausing after
// each round.
func (s *Source) connect(ctx context.Context) (*session, error) {
	if s.pause > 0 { // the last session did not last
		if err := s.rest(ctx); err != nil {
			return nil, err
		}
	}
	if s.cfg.Follow == FollowReplica {
		s.next = 0 // the replica's node, also after another one had to do
	}
	said := "" // a reason is logged when it is new
	for {
		sess, err := s.round(ctx)
		if sess != nil {
			return s.adopt(sess)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if s.hopeless(err) {
			s.setStatus(err.Error())
			return nil, node.AsFatal(err)
		}
		s.setStatus(err.Error())
		if reason := err.Error(); reason != said {
			s.log.Warn("cannot consume, trying on", "queue", s.cfg.Queue, "reason", reason)
			said = reason
		}
		if err := s.rest(ctx); err != nil {
			return nil, err
		}
	}
}

// rest pauses, each time twice as long, from 0.1 s to 10 s; half of it is chance,
// so that many sources do not return at the same moment.
func (s *Source) rest(ctx context.Context) error {
	s.pause = min(max(2*s.pause, firstPause), maxPause)
	select {
	case <-time.After(s.pause/2 + rand.N(s.pause/2)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// round tries each broker once, beginning with the one that worked last.
func (s *Source) round(ctx context.Context) (*session, error) {
	var errs []error
	for range s.brokers {
		b := s.brokers[s.next]
		sess, err := s.open(ctx, b, s.base)
		if err == nil {
			s.log.Info("consuming", "queue", s.cfg.Queue, "broker", b.String(), "prefetch", s.prefetch())
			return sess, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		errs = append(errs, err)
		s.next = (s.next + 1) % len(s.brokers)
	}
	return nil, joined(errs)
}

func (s *Source) adopt(sess *session) (*session, error) {
	s.mu.Lock()
	s.sess = sess
	s.mu.Unlock()
	select {
	case <-s.closed: // Close may have looked before the session was there
		_ = s.Close()
		return nil, ErrClosed
	default:
	}
	s.live, s.held, s.since = true, 0, time.Now()
	s.setStatus("")
	return sess, nil
}

func (s *Source) drop(sess *session) {
	s.mu.Lock()
	if s.sess == sess {
		s.sess = nil
	}
	s.mu.Unlock()
	sess.close()
	s.base = sess.last()
	s.held = sess.meter.fitting()
	if sess.useful() || time.Since(s.since) > time.Second {
		s.pause = 0 // a line that breaks often is no reason to wait, one that carries nothing is
	}
}

func (s *Source) prefetch() int {
	if s.held > 0 {
		return min(s.held, s.cfg.Prefetch)
	}
	return s.cfg.Prefetch
}

func (s *Source) clientName() string {
	if s.cfg.Name == "" {
		return "millrace source " + s.cfg.Queue
	}
	return "millrace source " + s.cfg.Name
}
