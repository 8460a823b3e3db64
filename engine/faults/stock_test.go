package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/testserver"
)

// What a stock consumer makes of what the engine's own bears.

// counting counts what a marshaler is given.
type counting struct {
	wamqp.DefaultMarshaler
	given *atomic.Int64
}

func (c counting) Unmarshal(d amqp091.Delivery) (*message.Message, error) {
	c.given.Add(1)
	return c.DefaultMarshaler.Unmarshal(d)
}

// stock subscribes to a queue with watermill-amqp as it comes.
func (r *rig) stock(name string, given *atomic.Int64) <-chan *message.Message {
	r.t.Helper()
	cfg := wamqp.NewDurableQueueConfig(r.amqp)
	cfg.Marshaler = counting{given: given}
	cfg.TopologyBuilder = asItIs{}
	sub, err := wamqp.NewSubscriber(cfg, watermill.NopLogger{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := sub.Close(); err != nil {
			r.t.Error(err)
		}
	})
	messages, err := sub.Subscribe(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return messages
}

// asItIs takes a queue as the test has declared it.
type asItIs struct{ wamqp.DefaultTopologyBuilder }

func (asItIs) BuildTopology(*amqp091.Channel, string, string, wamqp.Config, watermill.LoggerAdapter) error {
	return nil
}

// TestFaultControlStockConsumerMakesPhantoms: watermill-amqp hands over an empty
// message that nobody has sent once its queue is deleted.
func TestFaultControlStockConsumerMakesPhantoms(t *testing.T) {
	r := newRig(t, setup{})
	messages := r.stock(queue(0), new(atomic.Int64))
	r.onChannel(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDelete(queue(0), false, false, false)
		return err
	})
	testserver.Eventually(t, time.Minute, "a phantom", func() error {
		select {
		case m := <-messages:
			if len(m.Payload) > 0 {
				t.Fatalf("received %q from a queue that never had anything", m.Payload)
			}
			return nil
		default:
			return errors.New("none: the protection is no longer needed")
		}
	})
	r.declareQueues()
}

// redelivered is a queue whose messages go round by a second queue when they are
// refused, so that RabbitMQ itself writes an array of tables into their headers.
const redelivered, round = "master.plant5", "round.plant5"

// headersOf are the headers under which a program of a plant publishes.
var headersOf = amqp091.Table{
	"attempt": int32(7), "batch": []any{"a", int64(2), true}, "site": amqp091.Table{"hall": "north", "line": int16(3)},
	"made": time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
}

// refuse publishes message m-0 and refuses it until RabbitMQ has brought it the
// fourth time, then leaves it in its queue.
func (r *rig) refuse() {
	r.t.Helper()
	r.onChannel(func(ch *amqp091.Channel) error {
		back := func(to string) amqp091.Table {
			return amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": to}
		}
		waiting := back(redelivered)
		waiting["x-message-ttl"] = int32(1)
		_, err := ch.QueueDeclare(redelivered, true, false, false, false, back(round))
		if err == nil {
			_, err = ch.QueueDeclare(round, true, false, false, false, waiting)
		}
		if err == nil {
			err = ch.Publish("", redelivered, true, false, amqp091.Publishing{
				MessageId: "m-0", Headers: headersOf, Body: reading("m-0", 0), DeliveryMode: amqp091.Persistent,
			})
		}
		for refusals := 0; err == nil && refusals < 4; refusals++ {
			d := r.fetch(ch, redelivered)
			err = d.Nack(false, refusals == 3) // the last time it stays
		}
		return err
	})
}

// fetch takes one message from a queue.
func (r *rig) fetch(ch *amqp091.Channel, name string) (d amqp091.Delivery) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "a message", func() error {
		var ok bool
		var err error
		if d, ok, err = ch.Get(name, false); err == nil && !ok {
			err = errors.New("none")
		}
		return err
	})
	return d
}

// headerColumns keep the headers, each in a column of its type.
const headerColumns = `        - { name: attempt, from: 'headers["attempt"]' }
        - { name: made, from: 'headers["made"]' }
        - { name: batch, from: 'headers["batch"]', type: json }
        - { name: site, from: 'headers["site"]', type: json }
        - { name: deaths, from: 'headers["x-death"]', type: json }
`

// TestFaultRedeliveredHeadersKeepTheirTypes: a message that was refused three times
// and has headers of every kind, RabbitMQ's own among them, is one row, and the
// headers keep their types.
func TestFaultRedeliveredHeadersKeepTheirTypes(t *testing.T) {
	nodes := strings.Replace(usual(5), sinkNode, sinkNode+headerColumns, 1)
	r := newRig(t, setup{nodes: nodes})
	r.exec("ALTER TABLE readings ADD attempt INT, ADD made DATETIME(3), ADD batch JSON, ADD site JSON, ADD deaths JSON")
	r.refuse()
	l := newLedger()
	l.published["m-0"], l.confirmed["m-0"] = true, true
	e := r.start("headers")
	p := proof{name: "redelivery_headers", faults: 3, verdict: r.settle(l)}
	prove(t, p)
	r.keepsAll(e)
	var attempt int
	var made, batch, site, deaths string
	err := r.db.QueryRow("SELECT attempt, made, batch, site, deaths FROM readings").Scan(&attempt, &made, &batch, &site, &deaths)
	if err != nil {
		t.Fatal(err)
	}
	if attempt != 7 || !strings.HasPrefix(made, "2026-03-01 12:00:00") || batch != `["a",2,true]` || site != `{"hall":"north","line":3}` {
		t.Errorf("headers %d, %s, %s, %s; want those that were sent", attempt, made, batch, site)
	}
	var rounds []struct {
		Count  int
		Queue  string
		Reason string
	}
	if err := json.Unmarshal([]byte(deaths), &rounds); err != nil || len(rounds) != 2 || rounds[0].Count != 3 {
		t.Errorf("x-death %s, %v; want three rounds through two queues", deaths, err)
	}
}

// TestFaultControlStockConsumerLoopsOnHeaders: watermill-amqp cannot read such a
// message, and has the broker send it again for ever.
func TestFaultControlStockConsumerLoopsOnHeaders(t *testing.T) {
	const enough = 20
	r := newRig(t, setup{})
	r.refuse()
	var given atomic.Int64
	messages := r.stock(redelivered, &given)
	testserver.Eventually(t, time.Minute, "an endless loop", func() error {
		select {
		case m := <-messages:
			t.Fatalf("received %q: the protection is no longer needed", m.Payload)
		default:
		}
		if n := given.Load(); n < enough {
			return fmt.Errorf("delivered %d times", n)
		}
		return nil
	})
}
