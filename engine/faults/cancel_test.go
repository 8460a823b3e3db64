package faults

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/testserver"
)

// Consumers that the broker ends: their queue is deleted, or they do not
// acknowledge in time. A careless client reads an empty message then, which nobody
// has sent.

// impatient is a broker that waits one second for an acknowledgement, and looks
// every second.
func impatient(t *testing.T) *testserver.RabbitServer {
	t.Helper()
	broker := testserver.RabbitMQ(t, testserver.WithManagement(), testserver.Conf("consumer_timeout", "1000"))
	if _, err := broker.Ctl("eval", "application:set_env(rabbit, channel_tick_interval, 1000)."); err != nil {
		t.Fatal(err)
	}
	return broker
}

// onChannel runs f on a channel of its own.
func (r *rig) onChannel(f func(ch *amqp091.Channel) error) {
	r.t.Helper()
	conn, err := amqp091.Dial(r.amqp)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = f(ch)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// timeOut lets a consumer run into the broker's timeout: Redis stands still, so that
// nothing can be acknowledged. It returns when that was over.
func (r *rig) timeOut(broker *testserver.RabbitServer, publish func()) time.Time {
	r.t.Helper()
	timeouts := func() int { return strings.Count(broker.Log(), "timed out waiting for delivery acknowledgement") }
	before := timeouts()
	r.redis.Pause()
	publish()
	testserver.Eventually(r.t, time.Minute, "the end of the broker's patience", func() error {
		if timeouts() == before {
			return errors.New("no consumer has timed out")
		}
		return nil
	})
	r.redis.Resume()
	return time.Now()
}

// recreate deletes a queue and declares it again, at once or when the engine has
// missed it. It returns when it was there again.
func (r *rig) recreate(e *engine, name string, missed bool) time.Time {
	r.t.Helper()
	r.onChannel(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
	if missed {
		r.awaitReason(e, name)
	}
	r.declareQueues()
	return time.Now()
}

// noPhantoms checks that the engine took what was sent and nothing else.
func (r *rig) noPhantoms(e *engine, sent int) {
	r.t.Helper()
	r.awaitMetric(e, "millrace_ingested_events_total", float64(sent)) // counted once the log has answered
	taken, dead := r.metric(e, "millrace_ingested_events_total"), r.metric(e, "millrace_dead_letters_total")
	if int(taken) != sent || dead > 0 {
		r.t.Errorf("%.0f events of %d messages, %.0f dead letters", taken, sent, dead)
	}
}

// TestFaultBasicCancelBringsNoPhantom ends the engine's consumers 20 times: 18
// times their queue is deleted and declared again, twice the broker's patience
// ends. No empty message becomes an event or a dead letter, and the consumers come
// back by themselves.
func TestFaultBasicCancelBringsNoPhantom(t *testing.T) {
	const cycles, burst = 20, 40
	broker := impatient(t)
	r := newRig(t, setup{rabbit: broker})
	l := newLedger()
	p := proof{name: "basic_cancel_no_phantom", faults: cycles, alive: 20 * time.Second}
	e := r.start("cancel")
	sent := 0
	publish := func() {
		r.burst(l, sent, sent+burst)
		sent += burst
	}
	publish()
	for i := range cycles {
		r.awaitRows(sent) // what the queue holds beyond that goes with it
		var over time.Time
		if i%10 == 9 {
			over = r.timeOut(broker, publish)
		} else {
			over = r.recreate(e, queue(i), i%2 == 0)
			publish()
		}
		r.awaitRows(sent)
		p.took = append(p.took, time.Since(over))
	}
	p.verdict = r.settle(l)
	prove(t, p)
	r.noPhantoms(e, sent)
}
