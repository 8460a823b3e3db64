package amqp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

func TestQueueDeletedIsNeverRecreated(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	s := b.source(t, nil)
	b.publish(t, bodies(0, 3)...)
	l := &ledger{}
	for !l.complete(t, 3) {
		l.take(next(t, s))
	}
	b.delete(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	batches := make(chan []node.Message, 100)
	ended := make(chan error, 1)
	go func() {
		for {
			batch, err := s.Receive(ctx)
			if err != nil {
				ended <- err
				return
			}
			batches <- batch
		}
	}()
	eventually(t, "a status that names the missing queue", func() bool {
		st := s.Status()
		return !st.Ready && strings.Contains(st.Reason, "NOT_FOUND") && strings.Contains(st.Reason, b.queue)
	})
	if _, err := b.channel(t).QueueDeclarePassive(b.queue, true, false, false, false, nil); err == nil {
		t.Fatal("the deleted queue exists again: the source has created it")
	}
	if len(batches) != 0 {
		t.Fatalf("phantom messages from a deleted queue: %+v", <-batches)
	}
	b.declare(t, nil)
	b.publish(t, bodies(3, 6)...)
	for !l.complete(t, 6) {
		l.take(<-batches)
	}
	cancel()
	<-ended
}

func TestServerCancelGivesNoPhantom(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	s := b.source(t, nil)
	b.publish(t, bodies(0, 1)...)
	next(t, s)
	for range 5 {
		b.delete(t) // the broker sends basic.cancel
		b.declare(t, nil)
		b.publish(t, bodies(7, 8)...)
		if batch := next(t, s); len(batch) != 1 || string(batch[0].Body) != "m7" {
			t.Fatalf("after basic.cancel: %+v, want the one message m7", batch)
		}
	}
}

func TestDeclareCreatesAndBinds(t *testing.T) {
	b := newBroker(t)
	s := b.source(t, func(c *Config) {
		c.Declare, c.QueueType = true, "quorum"
		c.Bind = []Bind{{Exchange: "amq.topic", Key: b.queue + ".#"}}
	})
	got := make(chan []node.Message, 1)
	go func() { got <- next(t, s) }()
	eventually(t, "a ready source", func() bool { return s.Status().Ready })
	x := amqp091.Publishing{Body: []byte("x")}
	if err := b.ch.PublishWithContext(t.Context(), "amq.topic", b.queue+".a.b", true, false, x); err != nil {
		t.Fatalf("publish: %v", err)
	}
	m := (<-got)[0]
	if m.Exchange != "amq.topic" || m.RoutingKey != b.queue+".a.b" || m.Queue != b.queue {
		t.Fatalf("message came as %+v", m)
	}
}

func TestDeclareMismatchIsFatal(t *testing.T) {
	b := newBroker(t)
	b.declare(t, amqp091.Table{amqp091.QueueTypeArg: "quorum"})
	s := b.source(t, func(c *Config) { c.Declare, c.QueueType = true, "classic" })
	_, err := s.Receive(t.Context())
	if node.ClassOf(err) != node.Fatal || !strings.Contains(err.Error(), "PRECONDITION_FAILED") || !strings.Contains(err.Error(), b.queue) {
		t.Fatalf("Receive = %v (class %v), want fatal, naming the queue and the mismatch", err, node.ClassOf(err))
	}
}

const password = "hunter2-s3cret"

func TestWrongPasswordIsFatalAndUnprinted(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	var logs bytes.Buffer
	s := b.source(t, func(c *Config) {
		c.URLs = []string{strings.Replace(b.url, "guest:guest", "guest:"+password, 1)}
		c.Log = slog.New(slog.NewTextHandler(&logs, nil))
	})
	_, err := s.Receive(t.Context())
	if node.ClassOf(err) != node.Fatal {
		t.Fatalf("Receive = %v (class %v), want fatal", err, node.ClassOf(err))
	}
	if all := err.Error() + s.Status().Reason + logs.String(); strings.Contains(all, password) {
		t.Fatalf("the password is in print: %s", all)
	}
}

func TestBadURLIsUnprinted(t *testing.T) {
	for _, u := range []string{"amqp://u:" + password + "@[bad", "http://u:" + password + "@host/", "amqp://u:" + password + "@host:notaport/", "", " , "} {
		_, err := New(Config{Options: Options{Queue: "q"}, URLs: []string{u}})
		if err == nil {
			t.Errorf("New took a bad URL")
		} else if strings.Contains(err.Error(), password) {
			t.Errorf("the password is in print: %v", err)
		}
	}
}

func TestFirstURLDead(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	s := b.source(t, func(c *Config) { c.URLs = []string{"amqp://guest:guest@127.0.0.1:1/, " + b.url} })
	b.publish(t, bodies(0, 1)...)
	if got := next(t, s); string(got[0].Body) != "m0" {
		t.Fatalf("received %q", got[0].Body)
	}
}

func TestExclusiveConsumerElsewhereIsWaitedFor(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	b.publish(t, bodies(0, 1)...)
	first, second := b.source(t, nil), b.source(t, nil)
	next(t, first)
	got := make(chan []node.Message, 1)
	go func() { got <- next(t, second) }()
	eventually(t, "a status that names the other consumer", func() bool {
		return strings.Contains(second.Status().Reason, "exclusive")
	})
	if err := first.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	if m := (<-got)[0]; string(m.Body) != "m0" || !m.Redelivered {
		t.Fatalf("the second consumer received %+v, want m0 redelivered", m)
	}
}

func TestHeadersOfEveryType(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	at := time.Unix(1_700_000_000, 0)
	b.publish(t, amqp091.Publishing{
		Body: []byte("x"), Timestamp: at, ContentEncoding: "gzip", Type: "reading", CorrelationId: "c-1",
		Headers: amqp091.Table{
			"i8": int8(-1), "u8": byte(200), "i16": int16(-300), "i32": int32(1 << 30), "i64": int64(1 << 60),
			"f": float32(0.5), "d": 0.1, "yes": true, "none": nil, "s": "text", "raw": []byte{0, 255}, "at": at,
			"dec": amqp091.Decimal{Scale: 3, Value: 5}, "neg": amqp091.Decimal{Scale: 2, Value: -12345},
			"tab": amqp091.Table{"b": []any{int32(1), "x", nil, amqp091.Table{"c": false}}, "a": 1.5},
		},
	})
	m := next(t, b.source(t, nil))[0]
	want := map[string]event.Value{
		"i8": event.Int(-1), "u8": event.Int(200), "i16": event.Int(-300), "i32": event.Int(1 << 30), "i64": event.Int(1 << 60),
		"f": event.Float(0.5), "d": event.Float(0.1), "yes": event.Bool(true), "none": event.Null, "s": event.String("text"),
		"raw": event.Bytes([]byte{0, 255}), "at": event.Time(at.UnixMilli()),
		"dec": event.Decimal("0.005"), "neg": event.Decimal("-123.45"),
		"tab":               event.JSON(`{"a":1.5,"b":[1,"x",null,{"c":false}]}`),
		link.HeaderEncoding: event.String("gzip"), link.HeaderType: event.String("reading"), link.HeaderCorrelation: event.String("c-1"),
	}
	for name, v := range want {
		if got := headerOf(m, name); got != v {
			t.Errorf("header %s = %v %q, want %v %q", name, got.Kind(), got.Format(), v.Kind(), v.Format())
		}
	}
	if len(m.Headers) != len(want) {
		t.Errorf("%d headers, want %d: %v", len(m.Headers), len(want), m.Headers)
	}
	if !m.Timestamp.Equal(at) {
		t.Errorf("timestamp = %v, want %v", m.Timestamp, at)
	}
}

func TestAckBeyondWhatWasHandedOverIsAnError(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	s := b.source(t, nil)
	b.publish(t, bodies(0, 2)...)
	batch := next(t, s)
	if err := s.Ack(batch[len(batch)-1].Seq + 5); err == nil {
		t.Fatal("Ack of a message that was never handed over succeeded")
	}
}

func TestOptionsCheck(t *testing.T) {
	no := false
	tests := []struct {
		name  string
		o     Options
		field string
	}{
		{"no queue", Options{}, "queue"},
		{"prefetch too large", Options{Queue: "q", Prefetch: 70000}, "prefetch"},
		{"bytes too few", Options{Queue: "q", MaxInflightBytes: 10}, "max_inflight_bytes"},
		{"unknown driver", Options{Queue: "q", Driver: "fast"}, "driver"},
		{"unknown queue type", Options{Queue: "q", Declare: true, QueueType: "stream"}, "queue_type"},
		{"durable without declare", Options{Queue: "q", Durable: &no}, "declare"},
		{"quorum that is not durable", Options{Queue: "q", Declare: true, QueueType: "quorum", Durable: &no}, "durable"},
		{"binding without exchange", Options{Queue: "q", Declare: true, Bind: []Bind{{Key: "x"}}}, "bind[0].exchange"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found bool
			for _, e := range tt.o.Check() {
				found = found || e.Field == tt.field && !e.Warning
			}
			if !found {
				t.Errorf("Check = %v, want an error of field %s", tt.o.Check(), tt.field)
			}
		})
	}
	if errs := (&Options{Queue: "q", Identity: "message_id"}).Check(); len(errs) != 0 {
		t.Errorf("Check of good options = %v", errs)
	}
}

func ExampleNew() {
	_, err := New(Config{Options: Options{Queue: ""}, URLs: []string{"redis://user:secret@host/"}})
	fmt.Println(err)
	// Output:
	// source amqp: queue: a queue's name has 1 to 255 bytes, this one 0
	// broker URL 1: not a usable amqp:// or amqps:// URL (reserved characters in a password must be percent-encoded)
}

func TestFollowOptions(t *testing.T) {
	for rule, c := range map[string]struct {
		o     Options
		wrong string // field
	}{
		"all of them":             {Options{Queue: "q", Identity: "message_id", Follow: FollowReplica, Management: "http://u:p@h:15672", RequireSynchronised: true, Sequence: "headers.seq", Producer: "headers.plant"}, ""},
		"no address":              {Options{Queue: "q", Identity: "message_id", Follow: FollowReplica, Management: "amqp://h"}, "management"},
		"nothing to follow":       {Options{Queue: "q", Identity: "message_id", Management: "http://h"}, "management"},
		"nobody to ask":           {Options{Queue: "q", Identity: "message_id", Follow: FollowReplica, RequireSynchronised: true}, "require_synchronised"},
		"a producer of no number": {Options{Queue: "q", Identity: "message_id", Producer: "headers.plant"}, "producer"},
	} {
		wrong := c.o.Check()
		if c.wrong == "" && len(wrong) > 0 || c.wrong != "" && (len(wrong) != 1 || wrong[0].Field != c.wrong) {
			t.Errorf("%s: %v", rule, wrong)
		}
	}
	if note := (&Options{Queue: "q", Identity: "message_id", Follow: FollowReplica}).PlanNote(); note == "" || (&Options{}).PlanNote() != "" {
		t.Errorf("note %q", note)
	}
}
