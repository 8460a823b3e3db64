package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

// DefaultWindow is how many messages may be on their way to the broker unconfirmed.
const DefaultWindow = 2000

var errConnection = errors.New("connection lost")

// ErrClosed is returned by a closed [Publisher].
var ErrClosed = errors.New("publisher is closed")

// PublisherConfig is everything a Publisher needs.
type PublisherConfig struct {
	URLs   []string // of the cluster's nodes, tried in order
	Name   string   // shown by the broker's management tools
	Window int      // default [DefaultWindow]
	// OnConfirm is called for each message that the broker has confirmed and did not
	// return, in the order of publishing and from one goroutine at a time: what is
	// noted there is what the broker has promised to keep.
	OnConfirm func(m *node.Message)
	// OnReturn is called instead for a message that reached no queue.
	OnReturn func(m *node.Message, reason string)
	Log      *slog.Logger
}

// Publisher publishes persistent messages, mandatory and with confirms. It walks
// the broker's nodes, reconnects by itself, and then publishes again, in order,
// what was not confirmed: at least once. Publish, Flush and Declare are called
// from one goroutine; Stats and Close from any.
type Publisher struct {
	cfg     PublisherConfig
	brokers []link.Broker
	next    int // broker to try first
	closed  chan struct{}
	closing sync.Once
	room    chan struct{} // one token: open has shrunk, or the session has ended

	mu    sync.Mutex // guards what follows
	sess  *outgoing
	open  []*node.Message // published and unconfirmed, oldest first
	again []*node.Message // refused by the broker (a nack)
	stats Stats
}

// Stats counts a Publisher's messages.
type Stats struct {
	Confirmed int `json:"confirmed"` // kept by the broker
	Returned  int `json:"returned"`  // reached no queue
	Resent    int `json:"resent"`    // published again after a lost connection or a refusal
}

// NewPublisher checks cfg and returns a Publisher that connects when it is first
// used. Errors never hold a URL.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	brokers, err := link.Parse(cfg.URLs)
	if err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	if cfg.Window <= 0 {
		cfg.Window = DefaultWindow
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Publisher{cfg: cfg, brokers: brokers, closed: make(chan struct{}), room: make(chan struct{}, 1)}, nil
}

// outgoing is one connection with one channel in confirm mode.
type outgoing struct {
	conn     *amqp.Connection
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	ended    chan *amqp.Error
	done     chan struct{} // closed when no more confirms will come
}

// Publish hands m to the broker and returns before it is confirmed; it waits while
// the window is full or the broker away. m is kept until it is confirmed.
func (p *Publisher) Publish(ctx context.Context, m *node.Message) error {
	for {
		sess, err := p.session(ctx)
		if err != nil {
			return err
		}
		p.mu.Lock()
		if len(p.open) < p.cfg.Window {
			p.open = append(p.open, m)
			err := sess.send(m)
			p.mu.Unlock()
			if err != nil { // m is open: the next session sends it
				return p.lost(sess, err)
			}
			return nil
		}
		p.mu.Unlock()
		if err := p.wait(ctx, sess); err != nil {
			return err
		}
	}
}

// Flush returns once every message is confirmed or returned.
func (p *Publisher) Flush(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := len(p.open) + len(p.again)
		p.mu.Unlock()
		if left == 0 {
			return nil
		}
		sess, err := p.session(ctx)
		if err != nil {
			return err
		}
		if err := p.wait(ctx, sess); err != nil {
			return err
		}
	}
}

func (p *Publisher) wait(ctx context.Context, sess *outgoing) error {
	select {
	case <-p.room:
		return nil
	case <-sess.done:
		return p.lost(sess, errConnection)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.closed:
		return ErrClosed
	}
}

// Declare creates queues and bindings that are not there yet.
func (p *Publisher) Declare(ctx context.Context, queues ...link.Queue) error {
	sess, err := p.session(ctx)
	if err != nil {
		return err
	}
	for _, q := range queues {
		if err := declare(sess.conn, q); err != nil {
			return fmt.Errorf("queue %q: %w", q.Name, err)
		}
	}
	return nil
}

// declare uses a channel of its own: an error closes it.
func declare(conn *amqp.Connection, q link.Queue) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	return link.Declare(ch, q)
}

// Stats returns the counts so far.
func (p *Publisher) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Close gives up what is not confirmed and frees every resource.
func (p *Publisher) Close() error {
	p.closing.Do(func() { close(p.closed) })
	p.mu.Lock()
	sess := p.sess
	p.sess = nil
	p.mu.Unlock()
	if sess != nil {
		sess.close()
	}
	return nil
}

// session returns the live session, or a new one on which everything unconfirmed
// has been published again.
func (p *Publisher) session(ctx context.Context) (*outgoing, error) {
	select {
	case <-p.closed:
		return nil, ErrClosed
	default:
	}
	p.mu.Lock()
	sess, refused := p.sess, len(p.again) > 0
	p.mu.Unlock()
	if sess != nil && !refused {
		return sess, nil
	}
	if sess == nil {
		var err error
		if sess, err = p.connect(ctx); err != nil {
			return nil, err
		}
		go p.confirm(sess)
	}
	err := p.resend(sess)
	select {
	case <-p.closed: // Close may have looked before the session was there
		sess.close()
		return nil, ErrClosed
	default:
	}
	if err != nil {
		if err := p.lost(sess, err); err != nil {
			return nil, err
		}
		return p.session(ctx)
	}
	return sess, nil
}

// resend publishes on sess what is to be published again.
func (p *Publisher) resend(sess *outgoing) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.again
	if p.sess == nil {
		list = append(p.open, p.again...)
		p.open = nil
		p.sess = sess
	}
	p.again = nil
	p.open = append(p.open, list...)
	p.stats.Resent += len(list)
	for _, m := range list {
		if err := sess.send(m); err != nil {
			return err
		}
	}
	return nil
}

// lost ends a session that has failed. It returns an error if the broker has closed
// it for a reason that trying again cannot mend, such as an exchange that is not
// there.
func (p *Publisher) lost(sess *outgoing, reason error) error {
	p.mu.Lock()
	if p.sess == sess {
		p.sess = nil
	}
	p.mu.Unlock()
	sess.close()
	select {
	case e := <-sess.ended:
		if e != nil && (e.Code == amqp.NotFound || e.Code == amqp.AccessRefused || e.Code == amqp.PreconditionFailed) {
			return node.AsFatal(fmt.Errorf("broker refuses to publish: %w", e))
		}
	default:
	}
	p.cfg.Log.Warn("publisher lost its broker", "reason", reason)
	return nil
}

// connect walks the brokers until one answers, pausing after each round.
func (p *Publisher) connect(ctx context.Context) (*outgoing, error) {
	pause := 100 * time.Millisecond
	for {
		var errs []error
		for range p.brokers {
			sess, err := p.dial(ctx, p.brokers[p.next])
			if err == nil {
				return sess, nil
			}
			errs = append(errs, err)
			p.next = (p.next + 1) % len(p.brokers)
		}
		err := errors.Join(errs...)
		if refused(errs) {
			return nil, node.AsFatal(err)
		}
		p.cfg.Log.Warn("broker is away", "reason", err)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		case <-p.closed:
			return nil, ErrClosed
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// refused reports whether every broker has refused the login.
func refused(errs []error) bool {
	for _, err := range errs {
		if e, ok := errors.AsType[*amqp.Error](err); !ok || e.Code != amqp.AccessRefused && e.Code != amqp.NotAllowed {
			return false
		}
	}
	return true
}

func (p *Publisher) dial(ctx context.Context, b link.Broker) (*outgoing, error) {
	conn, err := link.Open(ctx, b, link.Options{
		Name: "millrace feed " + p.cfg.Name, Wrap: link.Bounded,
	})
	if err != nil {
		return nil, err
	}
	// Confirms and returns of a whole window fit: the client never waits for us.
	out := &outgoing{
		conn: conn, confirms: make(chan amqp.Confirmation, p.cfg.Window+1), returns: make(chan amqp.Return, p.cfg.Window+1),
		ended: make(chan *amqp.Error, 1), done: make(chan struct{}),
	}
	if out.ch, err = conn.Channel(); err == nil {
		out.ch.NotifyPublish(out.confirms)
		out.ch.NotifyReturn(out.returns)
		out.ch.NotifyClose(out.ended)
		err = out.ch.Confirm(false)
	}
	if err != nil {
		_ = conn.CloseDeadline(time.Now().Add(time.Second))
		return nil, fmt.Errorf("open channel on broker %s: %w", b, err)
	}
	return out, nil
}

func (s *outgoing) close() {
	_ = s.conn.CloseDeadline(time.Now().Add(2 * time.Second)) // an error means that it is closed already
	<-s.done
}

func (s *outgoing) send(m *node.Message) error {
	return s.ch.Publish(m.Exchange, m.RoutingKey, true, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, MessageId: m.MessageID, ContentType: m.ContentType, Timestamp: m.Timestamp, Body: m.Body,
		Headers: link.Table(m.Headers),
	})
}
