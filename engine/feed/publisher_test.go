package feed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/testserver"
)

// rig is one fresh queue on the shared broker and a publisher's ledger.
type rig struct {
	t         *testing.T
	url       string
	queue     string
	ch        *amqp.Channel
	confirmed []string
	returned  []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, url: testserver.SharedRabbitMQ(t).AMQPURL(), queue: fmt.Sprintf("feed-%016x", rand.Uint64())}
	conn, err := amqp.Dial(r.url)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if r.ch, err = conn.Channel(); err != nil {
		t.Fatalf("channel: %v", err)
	}
	t.Cleanup(func() { _, _ = r.ch.QueueDelete(r.queue, false, false, false) })
	return r
}

// publisher returns a publisher whose confirms are noted in the ledger.
func (r *rig) publisher(url string, window int) *Publisher {
	r.t.Helper()
	p, err := NewPublisher(PublisherConfig{
		URLs: []string{url}, Name: r.t.Name(), Window: window,
		OnConfirm: func(m *node.Message) { r.confirmed = append(r.confirmed, string(m.Body)) },
		OnReturn:  func(m *node.Message, _ string) { r.returned = append(r.returned, string(m.Body)) },
	})
	if err != nil {
		r.t.Fatalf("NewPublisher: %v", err)
	}
	r.t.Cleanup(func() { _ = p.Close() })
	return p
}

func (r *rig) declare(p *Publisher) {
	r.t.Helper()
	if err := p.Declare(r.t.Context(), link.Queue{Name: r.queue, Create: true, Durable: true}); err != nil {
		r.t.Fatalf("Declare: %v", err)
	}
}

func (r *rig) publish(p *Publisher, from, to int, key string) {
	r.t.Helper()
	for i := from; i < to; i++ {
		if err := p.Publish(r.t.Context(), &node.Message{RoutingKey: key, MessageID: fmt.Sprint(i), Body: fmt.Appendf(nil, "m%d", i)}); err != nil {
			r.t.Fatalf("Publish: %v", err)
		}
	}
}

func (r *rig) flush(p *Publisher) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		r.t.Fatalf("Flush: %v", err)
	}
}

// stored empties the queue.
func (r *rig) stored() []amqp.Delivery {
	r.t.Helper()
	var out []amqp.Delivery
	for {
		d, ok, err := r.ch.Get(r.queue, true)
		if err != nil {
			r.t.Fatalf("get: %v", err)
		}
		if !ok {
			return out
		}
		out = append(out, d)
	}
}

func TestPublisherConfirmsWhatTheBrokerKeeps(t *testing.T) {
	const n = 5000
	r := newRig(t)
	p := r.publisher(r.url, 100)
	r.declare(p)
	r.publish(p, 0, n, r.queue)
	r.flush(p)
	got := r.stored()
	if len(got) != n || len(r.confirmed) != n {
		t.Fatalf("%d stored, %d confirmed, want %d", len(got), len(r.confirmed), n)
	}
	for i := range got {
		if want := fmt.Sprintf("m%d", i); string(got[i].Body) != want || r.confirmed[i] != want {
			t.Fatalf("place %d: stored %q, confirmed %q", i, got[i].Body, r.confirmed[i])
		}
		if got[i].DeliveryMode != amqp.Persistent || got[i].MessageId != fmt.Sprint(i) {
			t.Fatalf("stored as %+v", got[i])
		}
	}
	if s := p.Stats(); s != (Stats{Confirmed: n}) {
		t.Errorf("stats %+v", s)
	}
}

func TestPublisherTellsReturnsFromConfirms(t *testing.T) {
	r := newRig(t)
	p := r.publisher(r.url, 50)
	r.declare(p)
	for i := range 200 {
		key := r.queue
		if i%3 == 0 {
			key = "no-such-queue-" + r.queue
		}
		r.publish(p, i, i+1, key)
	}
	r.flush(p)
	if len(r.returned) != 67 || len(r.confirmed) != 133 || len(r.stored()) != 133 {
		t.Fatalf("%d returned, %d confirmed, want 67 and 133", len(r.returned), len(r.confirmed))
	}
	if r.returned[1] != "m3" || r.confirmed[1] != "m2" {
		t.Errorf("returned %v, confirmed %v", r.returned[:3], r.confirmed[:3])
	}
}

func TestPublisherKeepsHeadersAndTime(t *testing.T) {
	r := newRig(t)
	p := r.publisher(r.url, 0)
	r.declare(p)
	at := time.Unix(1_700_000_000, 0)
	err := p.Publish(t.Context(), &node.Message{
		RoutingKey: r.queue, Timestamp: at, ContentType: "text/csv", Body: []byte("x"),
		Headers: []event.Header{{Name: "n", Value: event.Int(3)}, {Name: "b", Value: event.Bytes([]byte{1})}, {Name: "t", Value: event.Time(at.UnixMilli())}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.flush(p)
	d := r.stored()[0]
	when, ok := d.Headers["t"].(time.Time)
	if d.Headers["n"] != int64(3) || !ok || !when.Equal(at) || !d.Timestamp.Equal(at) || d.ContentType != "text/csv" {
		t.Errorf("stored as %+v", d)
	}
}

func TestMissingExchangeEndsPublishing(t *testing.T) {
	r := newRig(t)
	p := r.publisher(r.url, 10)
	var err error
	for range 1000 {
		if err = p.Publish(t.Context(), &node.Message{Exchange: "no-such-exchange", RoutingKey: "k", Body: []byte("x")}); err != nil {
			break
		}
	}
	if node.ClassOf(err) != node.Fatal || !strings.Contains(err.Error(), "no-such-exchange") {
		t.Fatalf("Publish = %v, want a fatal error that names the exchange", err)
	}
}

func TestPublisherWrongPassword(t *testing.T) {
	r := newRig(t)
	p := r.publisher(strings.Replace(r.url, "guest:guest", "guest:s3cret", 1), 10)
	err := p.Publish(t.Context(), &node.Message{RoutingKey: "q"})
	if node.ClassOf(err) != node.Fatal || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("Publish = %v, want fatal and no password", err)
	}
}

func TestClosedPublisher(t *testing.T) {
	r := newRig(t)
	p := r.publisher(r.url, 10)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), &node.Message{RoutingKey: "q"}); err == nil {
		t.Fatal("a closed publisher publishes")
	}
}

// TestFaultPublisherDropped10Times: every message is stored, and its first copies
// are in order; a confirmed one is never missing.
func TestFaultPublisherDropped10Times(t *testing.T) {
	const n = 5000
	r := newRig(t)
	line := testserver.Proxy(t, testserver.SharedRabbitMQ(t).Addr())
	p := r.publisher("amqp://guest:guest@"+line.Addr()+"/", 200)
	r.declare(p)
	for i := range 10 {
		r.publish(p, i*n/10, (i+1)*n/10, r.queue)
		line.Drop()
	}
	r.flush(p)
	seen, next := map[string]bool{}, 0
	for _, d := range r.stored() {
		if body := string(d.Body); !seen[body] {
			if want := fmt.Sprintf("m%d", next); body != want {
				t.Fatalf("first copy of %q comes where %q was expected", body, want)
			}
			seen[body] = true
			next++
		}
	}
	if next != n {
		t.Fatalf("%d messages stored, want %d", next, n)
	}
	if len(r.confirmed) != n || p.Stats().Resent == 0 {
		t.Errorf("%d confirmed, want %d; %d resent, want some", len(r.confirmed), n, p.Stats().Resent)
	}
}

func TestRunPublishesAPlant(t *testing.T) {
	r := newRig(t)
	p := r.publisher(r.url, 0)
	r.declare(p)
	plant := load(t, "plant2")
	plant.Queue = r.queue
	var told int
	got, err := Run(t.Context(), plant.Replay(ReplayOptions{}), p, RunOptions{Progress: func(Progress) { told++ }})
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	if got.Messages != 3000 || got.Records != 9000 || got.Total != 9000 || got.Confirmed != 3000 || got.Returned != 0 || told == 0 {
		t.Errorf("progress %+v, told %d times", got, told)
	}
	if n := len(r.stored()); n != 3000 {
		t.Errorf("%d messages stored", n)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r := newRig(t)
	p := r.publisher(r.url, 0)
	r.declare(p)
	plant := load(t, "plant1")
	plant.Queue = r.queue
	ctx, cancel := context.WithCancel(t.Context())
	got, err := Run(ctx, plant.Replay(ReplayOptions{Loop: true}), p, RunOptions{Rate: 500, Every: time.Millisecond, Progress: func(now Progress) {
		if now.Records > 20 {
			cancel()
		}
	}})
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	if stored := len(r.stored()); got.Confirmed != got.Messages || stored != got.Messages {
		t.Errorf("%d published, %d confirmed, %d stored", got.Messages, got.Confirmed, stored)
	}
}
