package amqpsink

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sinktest"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

func fresh(prefix string) string { return fmt.Sprintf("%s-%016x", prefix, rand.Uint64()) }

// good returns a reading with an id of its own.
func good(n int) *event.Event {
	root := &event.Event{RootID: fmt.Sprint("root-", n), Key: "k", Time: 1_700_000_000_000 + int64(n)}
	e := root.Derive("decode", n, 0)
	e.Record = &event.Record{Fields: []event.Field{{Name: "device", Value: event.String("d1")}, {Name: "value", Value: event.Decimal("1.50")}}}
	return e
}

// bare returns an event for which no routing key can be computed.
func bare(n int) *event.Event {
	e := good(n)
	e.Record = &event.Record{}
	return e
}

// rabbit is the suite's harness: a queue that is bound to an exchange of its own.
type rabbit struct {
	url, name string // of exchange and queue
	ch        *amqp091.Channel
	read      []event.ID
}

func newRabbit(t *testing.T, server *testserver.RabbitServer) *rabbit {
	t.Helper()
	h := &rabbit{url: server.AMQPURL(), name: fresh("sink")}
	conn, err := amqp091.Dial(h.url)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if h.ch, err = conn.Channel(); err != nil {
		t.Fatalf("channel: %v", err)
	}
	_, err = h.ch.QueueDeclare(h.name, true, false, false, false, nil)
	err = errors.Join(err, h.ch.ExchangeDeclare(h.name, "topic", true, false, false, false, nil), h.ch.QueueBind(h.name, "d.#", h.name, false, nil))
	if err != nil {
		t.Fatalf("declare: %v", err)
	}
	t.Cleanup(func() {
		_, _ = h.ch.QueueDelete(h.name, false, false, false)
		_ = h.ch.ExchangeDelete(h.name, false, false)
	})
	return h
}

func (h *rabbit) Features() sinktest.Features              { return sinktest.Features{Ordered: true} }
func (h *rabbit) Good(_ *testing.T, n int) *event.Event    { return good(n) }
func (h *rabbit) Bad(_ *testing.T, n int) *event.Event     { return bare(n) }
func (h *rabbit) Open(t *testing.T, _, _ string) node.Sink { return h.open(t, nil) }

func (h *rabbit) open(t *testing.T, change func(*Config)) *Sink {
	t.Helper()
	cfg := Config{Options: Options{Exchange: h.name, RoutingKey: "'d.' + device"}, URLs: []string{h.url}, Name: t.Name()}
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

// take removes everything from the queue.
func (h *rabbit) take(t *testing.T) []amqp091.Delivery {
	t.Helper()
	var out []amqp091.Delivery
	for {
		d, ok, err := h.ch.Get(h.name, true)
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
		id, err := event.ParseID(d.MessageId)
		if err != nil {
			t.Fatalf("message id: %v", err)
		}
		h.read = append(h.read, id)
	}
	return h.read
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness { return newRabbit(t, testserver.SharedRabbitMQ(t)) })
}

func unitOf(events ...*event.Event) *node.Unit {
	return &node.Unit{Stream: "s", Last: event.Position{Epoch: 1, Ms: rand.Uint64()}, Events: events}
}

func write(t *testing.T, s *Sink, u *node.Unit) {
	t.Helper()
	if err := s.Write(t.Context(), u); err != nil {
		t.Fatalf("Write = %v", err)
	}
}

func TestMessage(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	s := h.open(t, func(c *Config) {
		c.Headers = map[string]string{"double": "value * 2", "none": "nothing", "site": "'added'"}
	})
	e := good(1)
	e.Plugin = "scale@1.0.0#12345678"
	e.Headers = []event.Header{{Name: "site", Value: event.Int(7)}, {Name: "n", Value: event.Int(-7)}, {Name: "CC", Value: event.String("elsewhere")}}
	write(t, s, unitOf(e))
	d := h.take(t)[0]
	if string(d.Body) != `{"device":"d1","value":1.50}` || d.ContentType != "application/json" || d.MessageId != e.ID.String() ||
		d.DeliveryMode != amqp091.Persistent || d.Timestamp.Unix() != e.Time/1000 || d.RoutingKey != "d.d1" {
		t.Errorf("published as %+v, body %s", d, d.Body)
	}
	want := map[string]any{"root_id": "root-1", "key": "k", "plugin": e.Plugin, "site": "added", "n": int64(-7), "double": 3.0}
	for name, v := range want {
		if d.Headers[name] != v {
			t.Errorf("header %s = %v, want %v", name, d.Headers[name], v)
		}
	}
	if len(d.Headers) != len(want) {
		t.Errorf("headers %v, want %v", d.Headers, want)
	}
}

// TestUnroutableIsRejected holds the sink to what becomes of a unit of which no queue
// takes a part: that is named, and its neighbours are published once.
func TestUnroutableIsRejected(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	s := h.open(t, func(c *Config) { c.RoutingKey = "device" })
	lost := func(n int) *event.Event {
		e := good(n)
		e.Record = e.Record.With("device", event.String("nobody"))
		return e
	}
	kept := func(n int) *event.Event {
		e := good(n)
		e.Record = e.Record.With("device", event.String("d.x"))
		return e
	}
	u := unitOf(kept(0), lost(1), kept(2), lost(3))
	err := s.Write(t.Context(), u)
	rejected, ok := errors.AsType[*node.RejectedError](err)
	if !ok || len(rejected.Rejects) != 2 || rejected.Rejects[0].Index != 1 || rejected.Rejects[1].Index != 3 ||
		rejected.Rejects[0].Code != "unroutable" || !strings.Contains(rejected.Rejects[0].Text, "NO_ROUTE") || !s.Status().Ready {
		t.Fatalf("Write = %v", err)
	}
	u.Events = []*event.Event{u.Events[0], u.Events[2]}
	write(t, s, u)
	if ids := h.Stored(t); len(ids) != 2 || ids[0] != u.Events[0].ID || ids[1] != u.Events[1].ID {
		t.Errorf("the queue got %v", ids)
	}
	no := false
	s = h.open(t, func(c *Config) { c.RoutingKey, c.Mandatory = "device", &no })
	write(t, s, unitOf(lost(4)))
}

func TestExchangeByExpression(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	s := h.open(t, func(c *Config) { c.Exchange, c.ExchangeFrom = "", "to" })
	to := func(n int, exchange string) *event.Event {
		e := good(n)
		e.Record = e.Record.With("to", event.String(exchange))
		return e
	}
	u := unitOf(to(0, h.name), to(1, fresh("none")), to(2, h.name))
	err := s.Write(t.Context(), u)
	rejected, ok := errors.AsType[*node.RejectedError](err)
	if !ok || len(rejected.Rejects) != 1 || rejected.Rejects[0].Index != 1 || rejected.Rejects[0].Code != "no_exchange" {
		t.Fatalf("Write = %v", err)
	}
	u.Events = []*event.Event{u.Events[0], u.Events[2]}
	write(t, s, u)
	if ids := h.Stored(t); len(ids) != 2 {
		t.Errorf("the queue got %v", ids)
	}
}

func TestMissingTargetIsAwayNotLost(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	for name, o := range map[string]Options{"queue": {Queue: fresh("none")}, "exchange": {Exchange: fresh("none")}} {
		s := h.open(t, func(c *Config) { c.Options = o })
		err := s.Write(t.Context(), unitOf(good(1)))
		if node.ClassOf(err) != node.Away || !strings.Contains(err.Error(), "NOT_FOUND") || s.Status().Ready {
			t.Errorf("%s: Write = %v (%v), want away and the reason", name, err, node.ClassOf(err))
		}
	}
}

// TestQueueDeletedUnderWay deletes the queue between two units, and makes it again.
func TestQueueDeletedUnderWay(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	s := h.open(t, func(c *Config) { c.Options = Options{Queue: h.name} })
	write(t, s, unitOf(good(0)))
	if _, err := h.ch.QueueDelete(h.name, false, false, false); err != nil {
		t.Fatal(err)
	}
	u := unitOf(good(1), good(2))
	for range 2 {
		if err := s.Write(t.Context(), u); node.ClassOf(err) != node.Away {
			t.Fatalf("Write = %v (%v), want away", err, node.ClassOf(err))
		}
	}
	if _, err := h.ch.QueueDeclare(h.name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	write(t, s, u)
	if ids := h.Stored(t); len(ids) != 2 {
		t.Errorf("the new queue got %v", ids)
	}
	s = h.open(t, func(c *Config) { c.Options = Options{Queue: fresh("made"), Declare: true} })
	write(t, s, unitOf(good(3)))
	_, _ = h.ch.QueueDelete(s.cfg.Queue, false, false, false)
}

func TestWalksTheBrokers(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	s := h.open(t, func(c *Config) { c.URLs = []string{"amqp://127.0.0.1:1/," + h.url} })
	write(t, s, unitOf(good(0)))
	s = h.open(t, func(c *Config) { c.URLs = []string{"amqp://u:s3cret@127.0.0.1:1/"} })
	err := s.Write(t.Context(), unitOf(good(0)))
	if node.ClassOf(err) != node.Away || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Write = %v", err)
	}
	_ = s.Close()
	if err := s.Write(t.Context(), unitOf(good(0))); !errors.Is(err, ErrClosed) {
		t.Errorf("Write of a closed sink = %v", err)
	}
}

func TestOptionsCheck(t *testing.T) {
	for field, o := range map[string]Options{
		"queue": {}, "routing_key": {Exchange: "e", RoutingKey: "1 +"}, "declare": {Exchange: "e", Declare: true},
		"driver": {Queue: "q", Driver: "fast"}, "exchange_from": {ExchangeFrom: "1 +"}, "headers.CC": {Queue: "q", Headers: map[string]string{"CC": "1"}},
		"headers.a": {Queue: "q", Headers: map[string]string{"a": "1 +"}},
	} {
		if errs := o.Check(); len(errs) != 1 || errs[0].Field != field {
			t.Errorf("Check of %+v = %v, want one error of %s", o, errs, field)
		}
	}
	o := Options{Exchange: "e", Queue: "q", Driver: DriverStock, Headers: map[string]string{"a": "1"}}
	if errs := o.Check(); len(errs) != 2 {
		t.Errorf("Check of %+v = %v, want two errors", o, errs)
	}
	_, err := New(Config{Options: Options{Queue: "q"}, URLs: []string{"http://u:s3cret@h/"}})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("New = %v", err)
	}
}
