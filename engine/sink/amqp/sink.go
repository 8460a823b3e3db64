// Package amqpsink publishes events to RabbitMQ, at the end of an event's way. A
// unit is written when the broker has confirmed each of its messages; what no queue
// takes comes back and is rejected with the broker's reason. RabbitMQ keeps no
// position for us: a unit that was under way when the engine ended is published
// again, under the same message ids, at least once. While the engine lives the sink
// knows what of a unit was confirmed and does not publish that again.
package amqpsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/sink/health"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

// closeGrace bounds a farewell to the broker.
const closeGrace = 2 * time.Second

// ErrClosed is wrapped by errors of a closed sink.
var ErrClosed = errors.New("sink is closed")

// Config is everything that a sink needs.
type Config struct {
	Options
	URLs []string // of the cluster's nodes, tried in turn; an entry may hold several, separated by commas
	Name string   // shown by the broker's management tools
	Log  *slog.Logger
}

// Sink is a [node.Sink]. It connects when it is first written to, and again, to the
// next broker of its list, when the connection is gone; the pause between attempts is
// the caller's. Methods may be called from any goroutine.
type Sink struct {
	cfg     Config
	form    *form
	brokers []link.Broker
	health  health.Lanes

	mu     sync.Mutex // guards what follows
	line   *line
	next   int // broker to try first
	lanes  map[laneKey]*lane
	closed bool
}

var _ node.Sink = (*Sink)(nil)

// New checks cfg and returns a Sink that has connected to nothing yet. Errors never
// hold a URL.
func New(cfg Config) (*Sink, error) {
	for _, e := range cfg.Check() {
		return nil, fmt.Errorf("sink amqp: %w", e)
	}
	brokers, err := link.Parse(cfg.URLs)
	if err != nil {
		return nil, fmt.Errorf("sink amqp: %w", err)
	}
	form, err := newForm(&cfg.Options)
	if err != nil {
		return nil, fmt.Errorf("sink amqp: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Sink{cfg: cfg, form: form, brokers: brokers, lanes: map[laneKey]*lane{}}, nil
}

// Write implements [node.Sink]. Events that no queue takes are rejected once their
// neighbours have been published: those are not published again when the rest of the
// unit comes. Every error that is no reject is [node.Away].
func (s *Sink) Write(ctx context.Context, u *node.Unit) error {
	err := ctx.Err()
	var messages []outgoing
	if err == nil {
		messages, err = s.form.messages(u.Events)
	}
	if err == nil && len(messages) > 0 {
		err = s.lane(u).publish(ctx, u, messages)
	}
	if node.ClassOf(err) == node.Unsure {
		err = node.AsAway(oneLine(err))
	}
	s.health.Note(u.Stream, u.Lane, err)
	return err
}

// oneLine keeps the chain of err and puts its text on one line.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return flat{err}
}

type flat struct{ error }

func (f flat) Error() string { return strings.ReplaceAll(f.error.Error(), "\n", "; ") }
func (f flat) Unwrap() error { return f.error }

func (s *Sink) lane(u *node.Unit) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := laneKey{u.Stream, u.Lane}
	if s.lanes[key] == nil {
		s.lanes[key] = &lane{sink: s}
	}
	return s.lanes[key]
}

// connect returns the connection of all lanes, or the first that a broker gives.
func (s *Sink) connect(ctx context.Context) (*line, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.line != nil && !s.line.conn.IsClosed() {
		return s.line, nil
	}
	var errs []error
	for range s.brokers {
		b := s.brokers[s.next]
		at, err := dial(ctx, b, "millrace sink "+s.cfg.Name)
		if err == nil {
			s.cfg.Log.Info("publishing", "sink", s.cfg.Name, "broker", b.String())
			s.line = at
			return at, nil
		}
		errs = append(errs, err)
		s.next = (s.next + 1) % len(s.brokers)
	}
	return nil, errors.Join(errs...)
}

// lookUp makes sure that what the options name is there. An error closes ch.
func (s *Sink) lookUp(ch *amqp091.Channel) error {
	switch {
	case s.cfg.Queue != "":
		if err := link.Declare(ch, link.Queue{Name: s.cfg.Queue, Create: s.cfg.Declare, Durable: true}); err != nil {
			return fmt.Errorf("queue %q: %w", s.cfg.Queue, err)
		}
	case s.cfg.Exchange != "":
		if err := ch.ExchangeDeclarePassive(s.cfg.Exchange, "", true, false, false, false, nil); err != nil {
			return fmt.Errorf("exchange %q: look up: %w", s.cfg.Exchange, err)
		}
	}
	return nil
}

// Status implements [node.Sink].
func (s *Sink) Status() node.Status { return s.health.Status() }

// Close implements [node.Sink].
func (s *Sink) Close() error {
	s.mu.Lock()
	at := s.line
	s.line, s.closed = nil, true
	s.mu.Unlock()
	if at != nil {
		_ = at.conn.CloseDeadline(time.Now().Add(closeGrace)) // an error means that it is closed already
	}
	return nil
}

// line is one connection to a broker.
type line struct {
	broker string
	conn   *amqp091.Connection
	raw    net.Conn
	ended  chan *amqp091.Error

	mu     sync.Mutex // guards known and reason
	known  map[string]bool
	reason error
}

func dial(ctx context.Context, b link.Broker, name string) (*line, error) {
	at := &line{broker: b.String(), known: map[string]bool{}, ended: make(chan *amqp091.Error, 1)}
	conn, err := link.Open(ctx, b, link.Options{Name: name, Wrap: func(c net.Conn) net.Conn {
		at.raw = link.Bounded(c)
		return at.raw
	}})
	if err != nil {
		return nil, err
	}
	at.conn = conn
	conn.NotifyClose(at.ended)
	return at, nil
}

// cut ends the connection without a farewell, so that nobody waits for the broker.
func (l *line) cut() { _ = l.raw.Close() }

// why returns why the connection has ended, nil if it has not or nobody knows.
func (l *line) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case err := <-l.ended:
		if err != nil {
			l.reason = err
		}
	default:
	}
	return l.reason
}

// exchange reports whether an exchange exists, and remembers those that do.
func (l *line) exchange(name string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[name] {
		return true, nil
	}
	ch, err := l.conn.Channel()
	if err != nil {
		return false, fmt.Errorf("broker %s: open channel: %w", l.broker, err)
	}
	defer func() { _ = ch.Close() }()
	err = ch.ExchangeDeclarePassive(name, "", true, false, false, false, nil)
	if e, ok := errors.AsType[*amqp091.Error](err); ok && e.Code == amqp091.NotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("broker %s: exchange %q: look up: %w", l.broker, name, err)
	}
	l.known[name] = true
	return true, nil
}

func inOrder(rejects []node.EventReject) []node.EventReject {
	slices.SortFunc(rejects, func(a, b node.EventReject) int { return a.Index - b.Index })
	return rejects
}
