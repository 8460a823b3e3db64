package amqpsink

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/testserver"
)

// limit is how long a test waits for what must happen.
const limit = time.Minute

// persist writes u until it is stored.
func persist(t *testing.T, s *Sink, u *node.Unit) {
	t.Helper()
	testserver.Eventually(t, limit, "a stored unit", func() error {
		err := s.Write(t.Context(), u)
		if err != nil && node.ClassOf(err) != node.Away {
			t.Fatalf("Write = %v (%v)", err, node.ClassOf(err))
		}
		return err
	})
}

// missing counts the events that the queue does not hold.
func missing(t *testing.T, h *rabbit, events []*event.Event) (n int) {
	t.Helper()
	stored := map[event.ID]bool{}
	for _, id := range h.Stored(t) {
		stored[id] = true
	}
	for _, e := range events {
		if !stored[e.ID] {
			n++
		}
	}
	return n
}

// TestFaultConnectionDropped drops the connection under load again and again: what
// was written is there, in the order of first appearance.
func TestFaultConnectionDropped(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	line := testserver.Proxy(t, testserver.SharedRabbitMQ(t).Addr())
	s := h.open(t, func(c *Config) { c.URLs = []string{"amqp://guest:guest@" + line.Addr() + "/"} })
	var all []*event.Event
	var drops []*time.Timer
	for i := range 60 {
		u := unitOf()
		if i%4 == 3 { // while the unit is on its way, or soon after
			drops = append(drops, time.AfterFunc(rand.N(8*time.Millisecond), line.Drop))
		}
		for range 200 {
			u.Events = append(u.Events, good(len(all)))
			all = append(all, u.Events[len(u.Events)-1])
		}
		persist(t, s, u)
	}
	for _, d := range drops {
		d.Stop()
	}
	if n := missing(t, h, all); n > 0 {
		t.Errorf("%d events of %d are lost", n, len(all))
	}
	at, seen := 0, map[event.ID]bool{}
	for _, id := range h.read {
		if !seen[id] && at < len(all) && id != all[at].ID {
			t.Fatalf("event %d came out of order", at)
		}
		if !seen[id] {
			seen[id] = true
			at++
		}
	}
	t.Logf("%d messages for %d events", len(h.read), len(all))
}

// TestFaultDroppedControl publishes without waiting for confirms: the same count sees
// the loss.
func TestFaultDroppedControl(t *testing.T) {
	h := newRabbit(t, testserver.SharedRabbitMQ(t))
	line := testserver.Proxy(t, testserver.SharedRabbitMQ(t).Addr())
	brokers, err := link.Parse([]string{"amqp://guest:guest@" + line.Addr() + "/"})
	if err != nil {
		t.Fatal(err)
	}
	var all []*event.Event
	testserver.Eventually(t, limit, "a loss", func() error {
		conn, err := link.Open(t.Context(), brokers[0], link.Options{})
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		ch, err := conn.Channel()
		if err != nil {
			return err
		}
		for range 2000 {
			e := good(len(all))
			body := amqp091.Publishing{MessageId: e.ID.String(), Body: e.Record.AppendJSON(nil), DeliveryMode: amqp091.Persistent}
			if err := ch.Publish(h.name, "d.x", true, false, body); err != nil {
				break // what came before counts as written
			}
			all = append(all, e)
		}
		line.Drop()
		if missing(t, h, all) == 0 {
			return fmt.Errorf("none of %d is lost", len(all))
		}
		return nil
	})
}

// TestFaultBrokerRestarted ends the broker between units and under way.
func TestFaultBrokerRestarted(t *testing.T) {
	server := testserver.RabbitMQ(t)
	h := newRabbit(t, server)
	server.Settle(t)
	s := h.open(t, nil)
	var all []*event.Event
	unit := func() *node.Unit {
		u := unitOf()
		for range 500 {
			u.Events = append(u.Events, good(len(all)))
			all = append(all, u.Events[len(u.Events)-1])
		}
		return u
	}
	for range 2 {
		write(t, s, unit())
		server.Kill()
		u := unit()
		if err := s.Write(t.Context(), u); node.ClassOf(err) != node.Away {
			t.Fatalf("Write without a broker = %v (%v)", err, node.ClassOf(err))
		}
		server.Start()
		persist(t, s, u)
	}
	again := &rabbit{url: h.url, name: h.name}
	conn, err := amqp091.Dial(h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if again.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	if n := missing(t, again, all); n > 0 {
		t.Errorf("%d events of %d are lost", n, len(all))
	}
}
