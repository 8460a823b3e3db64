package stocksink

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sinktest"
	amqpsink "github.com/millrace/millrace/engine/sink/amqp"
	"github.com/millrace/millrace/engine/testserver"
)

func fresh(prefix string) string { return fmt.Sprintf("%s-%016x", prefix, rand.Uint64()) }

// good returns a reading with an id of its own.
func good(n int) *event.Event {
	root := &event.Event{RootID: fmt.Sprint("root-", n), Key: "k", Time: 1_700_000_000_000 + int64(n)}
	e := root.Derive("decode", n, 0)
	e.Record = &event.Record{Fields: []event.Field{{Name: "device", Value: event.String("d1")}, {Name: "value", Value: event.Decimal("1.50")}}}
	return e
}

func ids(t *testing.T, texts []string) []event.ID {
	t.Helper()
	var out []event.ID
	for _, text := range texts {
		id, err := event.ParseID(text)
		if err != nil {
			t.Fatalf("message id: %v", err)
		}
		out = append(out, id)
	}
	return out
}

// rabbit is the suite's harness of `sink: amqp` with `driver: stock`.
type rabbit struct {
	url, queue string
	ch         *amqp091.Channel
	read       []string
}

func newRabbit(t *testing.T) *rabbit {
	t.Helper()
	h := &rabbit{url: testserver.SharedRabbitMQ(t).AMQPURL(), queue: fresh("sink")}
	conn, err := amqp091.Dial(h.url)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if h.ch, err = conn.Channel(); err != nil {
		t.Fatalf("channel: %v", err)
	}
	if _, err := h.ch.QueueDeclare(h.queue, true, false, false, false, nil); err != nil {
		t.Fatalf("declare: %v", err)
	}
	t.Cleanup(func() { _, _ = h.ch.QueueDelete(h.queue, false, false, false) })
	return h
}

func (h *rabbit) Features() sinktest.Features              { return sinktest.Features{Ordered: true} }
func (h *rabbit) Good(_ *testing.T, n int) *event.Event    { return good(n) }
func (h *rabbit) Bad(*testing.T, int) *event.Event         { return nil }
func (h *rabbit) Open(t *testing.T, _, _ string) node.Sink { return h.open(t, nil) }

func (h *rabbit) open(t *testing.T, change func(*amqpsink.Config)) *Sink {
	t.Helper()
	cfg := amqpsink.Config{Options: amqpsink.Options{Queue: h.queue, Driver: amqpsink.DriverStock}, URLs: []string{h.url}, Name: t.Name()}
	if change != nil {
		change(&cfg)
	}
	s, err := AMQP(cfg)
	if err != nil {
		t.Fatalf("AMQP: %v", err)
	}
	return s
}

// take removes everything from the queue.
func (h *rabbit) take(t *testing.T) []amqp091.Delivery {
	t.Helper()
	var out []amqp091.Delivery
	for {
		d, ok, err := h.ch.Get(h.queue, true)
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		if !ok {
			return out
		}
		out = append(out, d)
	}
}

func (h *rabbit) Stored(t *testing.T) []event.ID {
	for _, d := range h.take(t) {
		h.read = append(h.read, d.MessageId)
	}
	return ids(t, h.read)
}

func TestAMQPConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness { return newRabbit(t) })
}

func unitOf(events ...*event.Event) *node.Unit { return &node.Unit{Stream: "s", Events: events} }

func TestAMQPMessage(t *testing.T) {
	h := newRabbit(t)
	s := h.open(t, nil)
	defer s.Close()
	e := good(1)
	e.Plugin = "scale@1.0.0#12345678"
	e.Headers = []event.Header{{Name: "site", Value: event.Int(7)}}
	if err := s.Write(t.Context(), unitOf(e)); err != nil {
		t.Fatalf("Write: %v", err)
	}
	d := h.take(t)[0]
	if string(d.Body) != `{"device":"d1","value":1.50}` || d.ContentType != "application/json" || d.MessageId != e.ID.String() ||
		d.DeliveryMode != amqp091.Persistent || d.Timestamp.Unix() != e.Time/1000 {
		t.Errorf("published as %+v, body %s", d, d.Body)
	}
	for name, want := range map[string]string{"root_id": "root-1", "key": "k", "plugin": e.Plugin, "site": "7"} {
		if d.Headers[name] != want {
			t.Errorf("header %s = %v, want %s", name, d.Headers[name], want)
		}
	}
}

func TestAMQPRoutingKeyByExpression(t *testing.T) {
	h := newRabbit(t)
	if err := h.ch.QueueBind(h.queue, h.queue+".d1.#", "amq.topic", false, nil); err != nil {
		t.Fatal(err)
	}
	s := h.open(t, func(c *amqpsink.Config) {
		c.Options = amqpsink.Options{Exchange: "amq.topic", RoutingKey: fmt.Sprintf("'%s.' + device", h.queue)}
	})
	defer s.Close()
	if err := s.Write(t.Context(), unitOf(good(1), good(2))); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if got := h.take(t); len(got) != 2 || got[0].RoutingKey != h.queue+".d1" {
		t.Errorf("%d messages arrived by routing key", len(got))
	}
	bare := good(3)
	bare.Record = &event.Record{}
	err := s.Write(t.Context(), unitOf(good(4), bare))
	if node.ClassOf(err) != node.Rejected || len(h.take(t)) != 0 {
		t.Errorf("Write of an event without a key = %v, want it rejected and nothing published", err)
	}
}

func TestAMQPMissingTargetIsAwayNotLost(t *testing.T) {
	h := newRabbit(t)
	for name, o := range map[string]amqpsink.Options{"queue": {Queue: fresh("none")}, "exchange": {Exchange: fresh("none")}} {
		s := h.open(t, func(c *amqpsink.Config) { c.Options = o })
		err := s.Write(t.Context(), unitOf(good(1)))
		if node.ClassOf(err) != node.Away || !strings.Contains(err.Error(), "NOT_FOUND") {
			t.Errorf("%s: Write = %v (%v), want away and the reason", name, err, node.ClassOf(err))
		}
		if s.Status().Ready {
			t.Errorf("%s: a sink that cannot write is ready", name)
		}
		_ = s.Close()
	}
}

func TestAMQPDeclares(t *testing.T) {
	h := newRabbit(t)
	if _, err := h.ch.QueueDelete(h.queue, false, false, false); err != nil {
		t.Fatal(err)
	}
	s := h.open(t, func(c *amqpsink.Config) { c.Declare = true })
	defer s.Close()
	if err := s.Write(t.Context(), unitOf(good(1))); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if got := h.take(t); len(got) != 1 {
		t.Errorf("%d messages in the declared queue", len(got))
	}
}

func TestFaultAMQPGoesOnAfterADroppedConnection(t *testing.T) {
	h := newRabbit(t)
	line := testserver.Proxy(t, testserver.SharedRabbitMQ(t).Addr())
	s := h.open(t, func(c *amqpsink.Config) { c.URLs = []string{"amqp://guest:guest@" + line.Addr() + "/"} })
	defer s.Close()
	if err := s.Write(t.Context(), unitOf(good(0))); err != nil {
		t.Fatalf("Write: %v", err)
	}
	for i := range 4 {
		line.Drop()
		u := unitOf(good(i + 1))
		testserver.Eventually(t, time.Minute, "a stored unit", func() error {
			err := s.Write(t.Context(), u)
			if err != nil && node.ClassOf(err) != node.Away {
				t.Fatalf("Write = %v (%v)", err, node.ClassOf(err))
			}
			return err
		})
	}
	if got := h.Stored(t); len(got) < 5 {
		t.Errorf("%d messages stored of 5", len(got))
	}
}

// redisTarget is the suite's harness of `sink: redisstream`.
type redisTarget struct {
	url, key string
	client   *redis.Client
}

func newRedisTarget(t *testing.T) redisTarget {
	t.Helper()
	h := redisTarget{url: testserver.SharedRedis(t).Database(t), key: fresh("out")}
	options, err := redis.ParseURL(h.url)
	if err != nil {
		t.Fatal(err)
	}
	h.client = redis.NewClient(options)
	t.Cleanup(func() { _ = h.client.Close() })
	return h
}

func (h redisTarget) Features() sinktest.Features           { return sinktest.Features{Ordered: true} }
func (h redisTarget) Good(_ *testing.T, n int) *event.Event { return good(n) }
func (h redisTarget) Bad(*testing.T, int) *event.Event      { return nil }

func (h redisTarget) Open(t *testing.T, _, _ string) node.Sink {
	s, err := RedisStream(RedisConfig{RedisOptions: RedisOptions{Stream: h.key}, URL: h.url})
	if err != nil {
		t.Fatalf("RedisStream: %v", err)
	}
	return s
}

func (h redisTarget) Stored(t *testing.T) []event.ID {
	t.Helper()
	entries, err := h.client.XRange(t.Context(), h.key, "-", "+").Result()
	if err != nil {
		t.Fatalf("xrange: %v", err)
	}
	var texts []string
	for _, e := range entries {
		texts = append(texts, e.Values[redisstream.UUIDHeaderKey].(string))
	}
	return ids(t, texts)
}

func TestRedisConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness { return newRedisTarget(t) })
}

func TestRedisEntryIsReadByWatermill(t *testing.T) {
	h := newRedisTarget(t)
	s := h.Open(t, "", "")
	defer s.Close()
	e := good(1)
	if err := s.Write(t.Context(), unitOf(e)); err != nil {
		t.Fatalf("Write: %v", err)
	}
	entries, err := h.client.XRange(t.Context(), h.key, "-", "+").Result()
	if err != nil || len(entries) != 1 {
		t.Fatalf("xrange = %v, %v", entries, err)
	}
	msg, err := redisstream.DefaultMarshallerUnmarshaller{}.Unmarshal(entries[0].Values)
	if err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	if msg.UUID != e.ID.String() || !json.Valid(msg.Payload) || msg.Metadata["root_id"] != e.RootID {
		t.Errorf("message %+v, payload %s", msg, msg.Payload)
	}
}

func TestOptionsCheck(t *testing.T) {
	if errs := (&RedisOptions{Stream: "mr:{charts}:s:journal:0"}).Check(); len(errs) != 1 {
		t.Errorf("Check of the engine's own stream = %v, want one error", errs)
	}
	for field, o := range map[string]RedisOptions{"stream": {}, "max_len": {Stream: "s", MaxLen: -1}, "driver": {Stream: "s", Driver: "x"}} {
		if errs := o.Check(); len(errs) != 1 || errs[0].Field != field {
			t.Errorf("Check of %+v = %v, want one error of %s", o, errs, field)
		}
	}
}

func TestURLsAreUnprinted(t *testing.T) {
	_, err := AMQP(amqpsink.Config{Options: amqpsink.Options{Queue: "q"}, URLs: []string{"http://u:s3cret@h/"}})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("AMQP = %v", err)
	}
	_, err = RedisStream(RedisConfig{RedisOptions: RedisOptions{Stream: "s"}, URL: "http://u:s3cret@h/"})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("RedisStream = %v", err)
	}
}
