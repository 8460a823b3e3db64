// Package mqtt brings messages in from an MQTT 5 broker: the first step of an
// event's way. A Source is one session, which the broker keeps while the source is
// away (clean start is off): it is sent again what the engine has not stored.
// Messages are acknowledged only when the engine says that they are. It decodes
// nothing and stores nothing.
package mqtt

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

	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/mqtt/link"
)

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
	// keep is how long the broker keeps the session of a source that is away.
	keep = 7 * 24 * time.Hour
	// propertyID is the user property that holds a message's id, if its publisher gives
	// it one: Millrace's sink does.
	propertyID = "message_id"
)

// ErrClosed is returned by Receive after Close.
var ErrClosed = errors.New("source is closed")

// Config is everything a Source needs.
type Config struct {
	Options
	URLs []string // of the brokers, tried in turn; an entry may hold several, separated by commas
	Name string   // names the session unless the options do
	Log  *slog.Logger
}

// Source is a [node.Source]. Its Seqs rise by exactly 1.
type Source struct {
	cfg     Config
	brokers []link.Broker
	status  atomic.Pointer[node.Status]
	closed  chan struct{}
	closing sync.Once

	// Used by Receive and Suspend only, which never run at once.
	next  int // broker to try first
	pause time.Duration

	seq atomic.Uint64 // last one given away

	mu   sync.Mutex // guards sess
	sess *session
}

var _ node.Source = (*Source)(nil)

// New checks cfg and returns a Source that connects when Receive is first called.
// Errors never hold a URL.
func New(cfg Config) (*Source, error) {
	if cfg.Inflight == 0 {
		cfg.Inflight = DefaultInflight
	}
	if cfg.ClientID == "" {
		cfg.ClientID = "millrace-" + cfg.Name
	}
	var errs []error
	for _, e := range cfg.Check() {
		if !e.Warning {
			errs = append(errs, e)
		}
	}
	brokers, err := link.Parse(cfg.URLs)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("source mqtt: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{cfg: cfg, brokers: brokers, closed: make(chan struct{})}
	s.say("not connected yet")
	return s, nil
}

// Receive implements [node.Source].
func (s *Source) Receive(ctx context.Context) ([]node.Message, error) {
	ctx, end := s.untilClosed(ctx)
	defer end()
	for {
		if s.isClosed() {
			return nil, ErrClosed
		}
		sess, err := s.session(ctx)
		if err != nil {
			return nil, err
		}
		if batch := sess.take(&s.seq); batch != nil {
			s.pause = 0
			return batch, nil
		}
		select {
		case <-sess.ready:
		case <-sess.conn.Done():
			s.say(fmt.Sprintf("broker %s: %v", sess.conn.Broker, sess.conn.Why()))
			s.cfg.Log.Warn("stopped consuming", "broker", sess.conn.Broker, "reason", sess.conn.Why())
			s.drop()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// untilClosed returns a context that ends with ctx, with Close, or by end.
func (s *Source) untilClosed(ctx context.Context) (work context.Context, end func()) {
	work, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.closed:
			cancel(ErrClosed)
		case <-work.Done():
		}
	}()
	return work, func() { cancel(nil) }
}

func (s *Source) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// session returns the live session; without one it walks the brokers until one
// subscribes this source, pausing after each round.
func (s *Source) session(ctx context.Context) (*session, error) {
	s.mu.Lock()
	sess := s.sess
	s.mu.Unlock()
	if sess != nil {
		return sess, nil
	}
	for {
		if s.pause > 0 {
			select {
			case <-time.After(s.pause/2 + rand.N(s.pause/2)):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		s.pause = min(max(2*s.pause, firstPause), maxPause)
		sess, err := s.open(ctx, s.brokers[s.next])
		if err == nil {
			return s.adopt(sess)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.say(err.Error())
		s.next = (s.next + 1) % len(s.brokers)
	}
}

func (s *Source) adopt(sess *session) (*session, error) {
	s.mu.Lock()
	s.sess = sess
	s.mu.Unlock()
	if s.isClosed() { // Close may have looked before the session was there
		s.drop()
		return nil, ErrClosed
	}
	s.cfg.Log.Info("consuming", "topics", s.cfg.Topics, "broker", sess.conn.Broker, "session_kept", sess.conn.Present)
	s.say("")
	return sess, nil
}

func (s *Source) open(ctx context.Context, b link.Broker) (*session, error) {
	sess := &session{ready: make(chan struct{}, 1)}
	conn, err := link.Open(ctx, b, link.Options{
		ClientID: s.cfg.ClientID, Keep: keep, Inflight: uint16(s.cfg.Inflight), Receive: sess.push,
	})
	if err != nil {
		return nil, err
	}
	sess.conn = conn
	work, end := conn.While(ctx)
	defer end()
	request := &paho.Subscribe{}
	for _, filter := range s.cfg.filters() {
		request.Subscriptions = append(request.Subscriptions, paho.SubscribeOptions{Topic: filter, QoS: 1})
	}
	if _, err := conn.Subscribe(work, request); err != nil {
		conn.Close()
		return nil, fmt.Errorf("broker %s: subscribe: %w", b, err)
	}
	return sess, nil
}

// Ack implements [node.Source].
func (s *Source) Ack(seq uint64) error {
	s.mu.Lock()
	sess := s.sess
	s.mu.Unlock()
	if last := s.seq.Load(); seq > last {
		return fmt.Errorf("ack of message %d: only %d were handed over", seq, last)
	}
	if sess != nil {
		sess.ack(seq)
	}
	return nil
}

// Suspend implements [node.Source].
func (s *Source) Suspend(context.Context) error {
	s.drop()
	s.pause = 0
	s.say("suspended")
	return nil
}

// drop ends the session; the broker keeps what is unacknowledged.
func (s *Source) drop() {
	s.mu.Lock()
	sess := s.sess
	s.sess = nil
	s.mu.Unlock()
	if sess != nil {
		sess.conn.Close()
	}
}

// Status implements [node.Source].
func (s *Source) Status() node.Status { return *s.status.Load() }

func (s *Source) say(reason string) {
	s.status.Store(&node.Status{Ready: reason == "", Reason: strings.ReplaceAll(reason, "\n", "; ")})
}

// Close implements [node.Source].
func (s *Source) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.drop()
	s.say("closed")
	return nil
}

// maxBatch bounds what one Receive returns.
const maxBatch = 1024

// session is one connection and what has come over it.
type session struct {
	conn  *link.Conn
	ready chan struct{} // one token: pending has grown

	mu      sync.Mutex // guards what follows
	pending []*paho.Publish
	handed  []handed // taken and not acknowledged, oldest first
}

// handed is a message that Receive has returned.
type handed struct {
	seq    uint64
	packet *paho.Publish
}

// push keeps a message until Receive takes it. The broker bounds how many it sends
// unacknowledged; those of QoS 0 need no acknowledgement, so their publishers' rate is
// the only bound.
func (s *session) push(p *paho.Publish) {
	s.mu.Lock()
	s.pending = append(s.pending, p)
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// take returns what has arrived, at most maxBatch messages, nil if nothing has.
func (s *session) take(last *atomic.Uint64) []node.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.pending), maxBatch)
	if n == 0 {
		return nil
	}
	batch := make([]node.Message, n)
	for i, p := range s.pending[:n] {
		seq := last.Add(1)
		batch[i] = message(p, seq)
		s.handed = append(s.handed, handed{seq, p})
	}
	s.pending = s.pending[n:]
	if len(s.pending) > 0 {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
	return batch
}

func (s *session) ack(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; n < len(s.handed) && s.handed[n].seq <= seq; n++ {
		_ = s.conn.Ack(s.handed[n].packet) // one that the connection does not take comes again
	}
	s.handed = s.handed[n:]
}

// message turns a packet into what the engine knows: the topic is the routing key,
// user properties are headers.
func message(p *paho.Publish, seq uint64) node.Message {
	m := node.Message{Seq: seq, Body: p.Payload, RoutingKey: p.Topic, Queue: p.Topic, Redelivered: p.Duplicate()}
	if p.Properties == nil {
		return m
	}
	m.ContentType = p.Properties.ContentType
	for _, u := range p.Properties.User {
		if u.Key == propertyID && m.MessageID == "" {
			m.MessageID = u.Value
			continue
		}
		m.Headers = append(m.Headers, event.Header{Name: u.Key, Value: event.String(u.Value)})
	}
	return m
}
