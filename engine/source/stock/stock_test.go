package stock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sourcetest"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/testserver"
)

const limit = time.Minute

func fresh(prefix string) string { return fmt.Sprintf("%s-%016x", prefix, rand.Uint64()) }

// embedded is the suite's harness of an embedded queue.
type embedded struct {
	queues *Queues
	name   string
}

func (h embedded) Features() sourcetest.Features {
	return sourcetest.Features{Inflight: 1, OneByOne: true, Redelivers: true}
}

func (h embedded) Publish(t *testing.T, messages ...node.Message) {
	for _, m := range messages {
		if err := h.queues.Publish(t.Context(), h.name, m); err != nil && t.Context().Err() == nil {
			t.Errorf("Publish = %v", err)
		}
	}
}

func (h embedded) Open(*testing.T) node.Source { return h.queues.Source(h.name) }

func TestEmbeddedConformance(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Harness {
		q := NewQueues(nil)
		t.Cleanup(func() {
			if err := q.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
		return embedded{q, "master.plant1"}
	})
}

// rabbit is the suite's harness of `driver: stock`.
type rabbit struct {
	url, queue string
	ch         *amqp091.Channel
}

func newRabbit(t *testing.T) rabbit {
	t.Helper()
	h := rabbit{url: testserver.SharedRabbitMQ(t).AMQPURL(), queue: fresh("stock")}
	conn, err := amqp091.Dial(h.url)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if h.ch, err = conn.Channel(); err != nil {
		t.Fatalf("channel: %v", err)
	}
	if err := h.ch.Confirm(false); err != nil {
		t.Fatalf("confirm: %v", err)
	}
	h.declare(t)
	t.Cleanup(func() { h.delete(t) })
	return h
}

func (h rabbit) declare(t *testing.T) {
	t.Helper()
	if _, err := h.ch.QueueDeclare(h.queue, true, false, false, false, nil); err != nil {
		t.Fatalf("declare: %v", err)
	}
}

func (h rabbit) delete(t *testing.T) {
	t.Helper()
	if _, err := h.ch.QueueDelete(h.queue, false, false, false); err != nil {
		t.Errorf("delete: %v", err)
	}
}

func (h rabbit) Features() sourcetest.Features {
	return sourcetest.Features{Inflight: 1, OneByOne: true, Redelivers: true}
}

func (h rabbit) Publish(t *testing.T, messages ...node.Message) {
	for _, m := range messages {
		p := amqp091.Publishing{Body: m.Body, ContentType: m.ContentType, MessageId: m.MessageID, Headers: amqp091.Table{}}
		for _, hd := range m.Headers {
			p.Headers[hd.Name] = hd.Value.Any()
		}
		c, err := h.ch.PublishWithDeferredConfirm("", h.queue, true, false, p)
		if err != nil {
			t.Errorf("publish: %v", err)
			return
		}
		c.Wait()
	}
}

func (h rabbit) Open(t *testing.T) node.Source {
	s, err := AMQP(amqp.Config{Options: amqp.Options{Queue: h.queue, Prefetch: 100}, URLs: []string{h.url}, Name: t.Name()})
	if err != nil {
		t.Fatalf("AMQP: %v", err)
	}
	return s
}

func TestAMQPConformance(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Harness { return newRabbit(t) })
}

func TestAMQPDeletedQueueIsNotRecreatedAndGivesNoPhantom(t *testing.T) {
	h := newRabbit(t)
	s := h.Open(t)
	t.Cleanup(func() { _ = s.Close() })
	h.Publish(t, node.Message{Body: []byte("m0")})
	acked(t, s)
	h.delete(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if batch, err := s.Receive(ctx); err == nil {
		t.Fatalf("received %+v from a deleted queue", batch)
	}
	h.declare(t)
	h.Publish(t, node.Message{Body: []byte("m1")})
	if m := acked(t, s); string(m.Body) != "m1" || m.Queue != h.queue {
		t.Fatalf("received %+v, want m1", m)
	}
}

// acked receives one message and acknowledges it.
func acked(t *testing.T, s node.Source) node.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	batch, err := s.Receive(ctx)
	if err != nil {
		t.Fatalf("Receive = %v (status %+v)", err, s.Status())
	}
	if err := s.Ack(batch[len(batch)-1].Seq); err != nil {
		t.Fatalf("Ack = %v", err)
	}
	return batch[0]
}

func TestAMQPWrongPasswordIsFatalAndUnprinted(t *testing.T) {
	h := newRabbit(t)
	h.url = strings.Replace(h.url, "guest:guest", "guest:s3cret", 1)
	_, err := h.Open(t).Receive(t.Context())
	if node.ClassOf(err) != node.Fatal || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("Receive = %v (class %v), want fatal and no password", err, node.ClassOf(err))
	}
}

// stream is the suite's harness of a foreign Redis stream.
type stream struct {
	url, key string
	client   *redis.Client
}

func newStream(t *testing.T) stream {
	t.Helper()
	h := stream{url: testserver.SharedRedis(t).Database(t), key: fresh("stream")}
	options, err := redis.ParseURL(h.url)
	if err != nil {
		t.Fatalf("parse URL: %v", err)
	}
	h.client = redis.NewClient(options)
	t.Cleanup(func() { _ = h.client.Close() })
	return h
}

func (h stream) Features() sourcetest.Features {
	return sourcetest.Features{Inflight: 1, OneByOne: true, Redelivers: true}
}

// Publish writes as a foreign watermill program does.
func (h stream) Publish(t *testing.T, messages ...node.Message) {
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: h.client}, nil)
	if err != nil {
		t.Errorf("publisher: %v", err)
		return
	}
	for _, m := range messages {
		msg := message.NewMessage(m.MessageID, m.Body)
		for _, hd := range m.Headers {
			msg.Metadata[hd.Name] = hd.Value.Format()
		}
		if m.ContentType != "" {
			msg.Metadata[metaContentType] = m.ContentType
		}
		if err := pub.Publish(h.key, msg); err != nil {
			t.Errorf("publish: %v", err)
		}
	}
}

func (h stream) Open(t *testing.T) node.Source {
	s, err := RedisStream(RedisConfig{RedisOptions: RedisOptions{Stream: h.key}, URL: h.url, Name: "test.foreign"})
	if err != nil {
		t.Fatalf("RedisStream: %v", err)
	}
	return s
}

func TestRedisStreamConformance(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Harness { return newStream(t) })
}

func TestForeignOneEventStream(t *testing.T) {
	h := newStream(t)
	h.Publish(t, node.Message{Body: []byte(`{"v":1}`), MessageID: "id-1", Headers: []event.Header{{Name: "site", Value: event.String("north")}}})
	s := h.Open(t)
	t.Cleanup(func() { _ = s.Close() })
	m := acked(t, s)
	if string(m.Body) != `{"v":1}` || m.MessageID != "id-1" || m.Queue != h.key || len(m.Headers) != 1 || m.Headers[0].Value != event.String("north") {
		t.Fatalf("received %+v", m)
	}
	if left, err := h.client.XPending(t.Context(), h.key, "millrace.test.foreign").Result(); err != nil {
		t.Fatalf("pending: %v", err)
	} else if left.Count > 1 { // the last ack is on its way
		t.Errorf("%d entries pending", left.Count)
	}
}

// TestForeignEntryWithoutWatermillFields: one such entry ends a plain watermill
// subscription for ever.
func TestForeignEntryWithoutWatermillFields(t *testing.T) {
	h := newStream(t)
	if err := h.client.XAdd(t.Context(), &redis.XAddArgs{Stream: h.key, Values: []any{"temp", "21.5", "unit", "C"}}).Err(); err != nil {
		t.Fatalf("xadd: %v", err)
	}
	h.Publish(t, node.Message{Body: []byte("after"), MessageID: "id"})
	s := h.Open(t)
	t.Cleanup(func() { _ = s.Close() })
	if m := acked(t, s); string(m.Body) != `{"temp":"21.5","unit":"C"}` || m.ContentType != "application/json" {
		t.Fatalf("received %q (%s)", m.Body, m.ContentType)
	}
	if m := acked(t, s); string(m.Body) != "after" {
		t.Fatalf("received %q, want what came after", m.Body)
	}
}

func TestRedisURLIsUnprinted(t *testing.T) {
	_, err := RedisStream(RedisConfig{RedisOptions: RedisOptions{Stream: "s"}, URL: "http://u:s3cret@host/", Name: "n"})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("RedisStream = %v, want an error without the password", err)
	}
}

func TestQueuesPublishWaitsForAReader(t *testing.T) {
	q := NewQueues(nil)
	defer q.Close()
	done := make(chan error, 1)
	go func() { done <- q.Publish(context.Background(), "q", node.Message{Body: []byte("m0")}) }()
	select {
	case err := <-done:
		t.Fatalf("Publish without a reader returned %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s := q.Source("q")
	defer s.Close()
	if m := acked(t, s); string(m.Body) != "m0" {
		t.Fatalf("received %q", m.Body)
	}
	if err := <-done; err != nil {
		t.Fatalf("Publish = %v", err)
	}
}

func TestQueuesEndPublishers(t *testing.T) {
	q := NewQueues(nil)
	s := q.Source("q")
	done := make(chan error, 2)
	go func() { done <- q.Publish(context.Background(), "q", node.Message{Body: []byte("m0")}) }()
	if _, err := s.Receive(t.Context()); err != nil { // and no ack
		t.Fatalf("Receive = %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	if err := <-done; err == nil {
		t.Error("Publish of a message that nobody acknowledged succeeded")
	}
	if err := q.Publish(context.Background(), "q", node.Message{}); err == nil {
		t.Error("Publish after Close succeeded")
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestRedisOptionsCheck(t *testing.T) {
	for field, o := range map[string]RedisOptions{
		"stream": {}, "start": {Stream: "s", Start: "later"}, "driver": {Stream: "s", Driver: "fast"}, "identity": {Stream: "s", Identity: "1 +"},
	} {
		var found bool
		for _, e := range o.Check() {
			found = found || e.Field == field && !e.Warning
		}
		if !found {
			t.Errorf("Check of %+v = %v, want an error of field %s", o, o.Check(), field)
		}
	}
}

// TestControlPlainWatermill shows what the adapters above protect from: left to its
// defaults, watermill-amqp hands over empty messages that nobody sent once its
// queue is deleted.
func TestControlPlainWatermill(t *testing.T) {
	h := newRabbit(t)
	plain := wamqp.NewDurableQueueConfig(h.url)
	sub, err := wamqp.NewSubscriber(plain, watermill.NopLogger{})
	if err != nil {
		t.Fatalf("subscriber: %v", err)
	}
	messages, err := sub.Subscribe(t.Context(), h.queue)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	h.Publish(t, node.Message{Body: []byte("m0")})
	(<-messages).Ack()
	h.delete(t)
	select {
	case phantom := <-messages:
		if len(phantom.Payload) != 0 {
			t.Errorf("received %q from a deleted queue", phantom.Payload)
		}
	case <-time.After(limit):
		t.Error("no phantom message: the protection is no longer needed")
	}
	if err := sub.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	h.declare(t) // for the cleanup
}
