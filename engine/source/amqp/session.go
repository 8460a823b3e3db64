package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

const (
	maxBatch   = 1024
	chunk      = 512 // messages for which memory is taken at once
	closeGrace = 2 * time.Second
)

// session is one connection with one channel and one consumer. Its pump takes
// every delivery at once and keeps it here until Receive fetches it; the
// broker's prefetch and the meter bound how much that is.
type session struct {
	queue string
	base  uint64 // seq = base + delivery tag
	conn  *amqp091.Connection
	ch    *amqp091.Channel
	meter *meter

	ready chan struct{} // one token: pending has grown
	done  chan struct{} // closed when the pump has ended; reason is set before

	mu      sync.Mutex // guards what follows
	pending []node.Message
	sizes   []uint32 // body sizes of unacknowledged deliveries, a ring by tag
	handed  uint64   // last tag returned by take
	acked   uint64   // last tag acknowledged
	reason  error    // why the pump has ended
}

// open connects to b and starts to consume.
func (s *Source) open(ctx context.Context, b link.Broker, base uint64) (*session, error) {
	prefetch := s.prefetch()
	out := &session{
		queue: s.cfg.Queue, base: base, sizes: make([]uint32, prefetch+1),
		ready: make(chan struct{}, 1), done: make(chan struct{}),
	}
	conn, err := link.Open(ctx, b, link.Options{Name: s.clientName(), Wrap: func(c net.Conn) net.Conn {
		out.meter = newMeter(c, int64(s.cfg.MaxInflightBytes), s.patience)
		return out.meter
	}})
	if err != nil {
		return nil, err
	}
	out.conn = conn
	stop := context.AfterFunc(ctx, out.abort)
	deliveries, ended, err := out.consume(&s.cfg.Options, prefetch)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.CloseDeadline(time.Now().Add(closeGrace))
		return nil, fmt.Errorf("queue %q on broker %s: %w", s.cfg.Queue, b, err)
	}
	go out.pump(deliveries, ended)
	return out, nil
}

// endings are the ways in which the broker says why it stopped delivering.
type endings struct {
	conn, channel chan *amqp091.Error
	cancel        chan string
}

// cancelOnFailover asks a mirrored classic queue to cancel the consumer when
// another node takes the queue over, instead of going on with deliveries out of
// order. Other types of queue do not know it.
const cancelOnFailover = "x-cancel-on-ha-failover"

// consume opens a channel and starts a consumer. A queue that does not know
// [cancelOnFailover] closes the channel; a second one then asks without.
func (s *session) consume(o *Options, prefetch int) (<-chan amqp091.Delivery, endings, error) {
	deliveries, end, err := s.consumeWith(o, prefetch, amqp091.Table{cancelOnFailover: true})
	if e, ok := errors.AsType[*amqp091.Error](err); ok && strings.Contains(e.Reason, cancelOnFailover) {
		return s.consumeWith(o, prefetch, nil)
	}
	return deliveries, end, err
}

func (s *session) consumeWith(o *Options, prefetch int, args amqp091.Table) (<-chan amqp091.Delivery, endings, error) {
	end := endings{make(chan *amqp091.Error, 1), make(chan *amqp091.Error, 1), make(chan string, 1)}
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, end, fmt.Errorf("open channel: %w", err)
	}
	s.ch = ch
	s.conn.NotifyClose(end.conn)
	ch.NotifyClose(end.channel)
	ch.NotifyCancel(end.cancel)
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return nil, end, fmt.Errorf("set prefetch %d: %w", prefetch, err)
	}
	if err := link.Declare(ch, o.Broker()); err != nil {
		return nil, end, err
	}
	deliveries, err := ch.Consume(o.Queue, "", false, o.Alone(), false, false, args)
	if err != nil {
		return nil, end, fmt.Errorf("consume: %w", err)
	}
	return deliveries, end, nil
}

// pump ends when the client closes deliveries: a closed channel or connection,
// or a consumer that the broker cancelled. A delivery read from the closed
// channel would be an empty phantom; range never yields it.
func (s *session) pump(deliveries <-chan amqp091.Delivery, ended endings) {
	for d := range deliveries {
		s.push(&d)
	}
	s.mu.Lock()
	s.reason = ended.why(s.meter)
	s.pending = nil
	s.mu.Unlock()
	close(s.done)
}

func (e endings) why(m *meter) error {
	if m.fitting() > 0 {
		return errHeld
	}
	select {
	case err := <-e.channel:
		if err != nil {
			return fmt.Errorf("channel closed: %w", err)
		}
	case err := <-e.conn:
		if err != nil {
			return fmt.Errorf("connection closed: %w", err)
		}
	case <-e.cancel:
		return errors.New("consumer cancelled by the broker (queue deleted or moved)")
	default:
	}
	return net.ErrClosed
}

func (s *session) push(d *amqp091.Delivery) {
	m := link.Message(d, s.queue, s.base+d.DeliveryTag)
	s.mu.Lock()
	s.sizes[d.DeliveryTag%uint64(len(s.sizes))] = uint32(len(d.Body))
	first := len(s.pending) == 0
	if len(s.pending) == cap(s.pending) {
		s.pending = append(make([]node.Message, 0, len(s.pending)+chunk), s.pending...)
	}
	s.pending = append(s.pending, m)
	s.mu.Unlock()
	if first {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// take returns what has arrived, at most maxBatch messages, nil if nothing has.
// The slice belongs to the caller.
func (s *session) take() []node.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.pending), maxBatch)
	if n == 0 {
		return nil
	}
	batch := s.pending[:n:n]
	s.pending = s.pending[n:] // what is appended next lies behind the batch, in the same chunk
	s.handed += uint64(n)
	return batch
}

// settle forgets the deliveries up to tag and tells whether the broker must hear
// of it.
func (s *session) settle(tag uint64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tag > s.handed {
		return false, fmt.Errorf("ack of message %d: only %d were handed over", s.base+tag, s.base+s.handed)
	}
	if tag <= s.acked || s.reason != nil {
		return false, nil
	}
	var bodies int64
	for t := s.acked + 1; t <= tag; t++ {
		bodies += int64(s.sizes[t%uint64(len(s.sizes))])
	}
	s.meter.release(int64(tag-s.acked), bodies)
	s.acked = tag
	return true, nil
}

// last returns the highest seq that the session may have used.
func (s *session) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base + s.handed
}

// useful reports whether the session has brought anything that was stored.
func (s *session) useful() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked > 0
}

func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// abort cuts the connection without a farewell.
func (s *session) abort() {
	s.meter.close()
	_ = s.meter.Close()
}

// close ends the session; the broker takes back what is unacknowledged. It
// returns when nothing of the session is left.
func (s *session) close() {
	s.meter.close()
	_ = s.conn.CloseDeadline(time.Now().Add(closeGrace)) // an error means that it is closed already
	_ = s.meter.Close()
	<-s.done
}
