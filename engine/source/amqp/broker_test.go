package amqp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/testserver"
)

const limit = time.Minute

// broker is a direct connection to the shared server and one fresh queue name.
type broker struct {
	url   string
	queue string
	conn  *amqp091.Connection
	ch    *amqp091.Channel
}

// newBroker connects and names a queue; it declares none.
func newBroker(t testing.TB) *broker {
	t.Helper()
	b := &broker{url: testserver.SharedRabbitMQ(t).AMQPURL(), queue: fmt.Sprintf("q-%016x", rand.Uint64())}
	var err error
	if b.conn, err = amqp091.Dial(b.url); err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = b.conn.Close() })
	b.ch = b.channel(t)
	if err := b.ch.Confirm(false); err != nil {
		t.Fatalf("confirm mode: %v", err)
	}
	t.Cleanup(func() { b.delete(t) })
	return b
}

func (b *broker) channel(t testing.TB) *amqp091.Channel {
	t.Helper()
	ch, err := b.conn.Channel()
	if err != nil {
		t.Fatalf("channel: %v", err)
	}
	return ch
}

func (b *broker) declare(t testing.TB, args amqp091.Table) {
	t.Helper()
	if _, err := b.ch.QueueDeclare(b.queue, true, false, false, false, args); err != nil {
		t.Fatalf("declare %s: %v", b.queue, err)
	}
}

func (b *broker) delete(t testing.TB) {
	t.Helper()
	if _, err := b.ch.QueueDelete(b.queue, false, false, false); err != nil {
		t.Errorf("delete %s: %v", b.queue, err)
	}
}

// publish sends messages and returns once the broker has confirmed all of them.
func (b *broker) publish(t testing.TB, messages ...amqp091.Publishing) {
	t.Helper()
	for len(messages) > 0 {
		n := min(len(messages), 1000)
		b.confirmed(t, messages[:n])
		messages = messages[n:]
	}
}

func (b *broker) confirmed(t testing.TB, messages []amqp091.Publishing) {
	t.Helper()
	var waits []*amqp091.DeferredConfirmation
	for _, m := range messages {
		c, err := b.ch.PublishWithDeferredConfirm("", b.queue, true, false, m)
		if err != nil {
			t.Fatalf("publish: %v", err)
		}
		waits = append(waits, c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, w := range waits {
		if ok, err := w.WaitContext(ctx); err != nil || !ok {
			t.Fatalf("confirm = %v, %v", ok, err)
		}
	}
}

func bodies(from, to int) []amqp091.Publishing {
	var out []amqp091.Publishing
	for i := from; i < to; i++ {
		out = append(out, amqp091.Publishing{Body: fmt.Appendf(nil, "m%d", i), MessageId: fmt.Sprint("id-", i), DeliveryMode: 2})
	}
	return out
}

// source opens a source of b's queue that is closed with the test.
func (b *broker) source(t testing.TB, change func(*Config)) *Source {
	t.Helper()
	cfg := Config{Options: Options{Queue: b.queue, Identity: "message_id"}, URLs: []string{b.url}, Name: t.Name()}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// harness runs the conformance suite.
type harness struct {
	*broker
	prefetch int
}

func (h harness) publishAll(t testing.TB, messages []node.Message) {
	var out []amqp091.Publishing
	for _, m := range messages {
		p := amqp091.Publishing{Body: m.Body, ContentType: m.ContentType, MessageId: m.MessageID, Headers: amqp091.Table{}}
		for _, hd := range m.Headers {
			p.Headers[hd.Name] = hd.Value.Any()
		}
		out = append(out, p)
	}
	h.broker.publish(t, out...)
}

// ledger keeps what was confirmed and what arrived, for a verdict at the end.
type ledger struct {
	mu      sync.Mutex
	arrived map[string]int // first arrivals by body, with their place
	order   []string
}

func (l *ledger) take(batch []node.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.arrived == nil {
		l.arrived = map[string]int{}
	}
	for _, m := range batch {
		if l.arrived[string(m.Body)]++; l.arrived[string(m.Body)] == 1 {
			l.order = append(l.order, string(m.Body))
		}
	}
}

// complete reports whether m0..m<n-1> have arrived, and fails on a first arrival
// out of order.
func (l *ledger) complete(t testing.TB, n int) bool {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, body := range l.order {
		if want := fmt.Sprintf("m%d", i); body != want {
			t.Fatalf("first arrival %d is %q, want %q", i, body, want)
		}
	}
	return len(l.order) == n
}

// next receives a batch or fails after the limit.
func next(t testing.TB, s *Source) []node.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	batch, err := s.Receive(ctx)
	if err != nil {
		t.Fatalf("Receive = %v (status %+v)", err, s.Status())
	}
	return batch
}

// eventually polls until ok or the limit.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s did not happen within %v", what, limit)
		case <-tick.C:
		}
	}
}

func headerOf(m node.Message, name string) event.Value {
	for _, h := range m.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return event.Null
}
