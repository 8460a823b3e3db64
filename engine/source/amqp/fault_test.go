package amqp

import (
	"context"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/testserver"
)

// TestFaultConnectionDropped20Times drops the connection under load. Every
// confirmed message arrives, first arrivals are in order, and nothing that was
// never published does.
func TestFaultConnectionDropped20Times(t *testing.T) {
	const n, drops = 20_000, 20
	b := newBroker(t)
	b.declare(t, nil)
	line := testserver.Proxy(t, testserver.SharedRabbitMQ(t).Addr())
	s := b.source(t, func(c *Config) {
		c.Prefetch = 300
		c.URLs = []string{"amqp://guest:guest@" + line.Addr() + "/"}
	})
	b.publish(t, bodies(0, n)...)

	l := &ledger{}
	for dropped := 0; !l.complete(t, n); {
		batch := next(t, s)
		l.take(batch)
		if dropped < drops && len(l.order) >= (dropped+1)*n/(drops+2) {
			line.Drop()
			dropped++
			continue // what was just received was never acknowledged
		}
		if err := s.Ack(batch[len(batch)-1].Seq); err != nil {
			t.Fatalf("Ack = %v", err)
		}
	}
	repeats := 0
	for body, times := range l.arrived {
		if !strings.HasPrefix(body, "m") {
			t.Fatalf("phantom message %q", body)
		}
		repeats += times - 1
	}
	if repeats == 0 {
		t.Error("no message came twice: the drops hit nothing, the test proves nothing")
	}
}

// TestFaultDeadLineIsGivenUp cuts the line without closing it: only the
// heartbeat can tell. Close must not wait for it.
func TestFaultDeadLineIsGivenUp(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	line := testserver.Proxy(t, testserver.SharedRabbitMQ(t).Addr())
	s := b.source(t, func(c *Config) { c.URLs = []string{"amqp://guest:guest@" + line.Addr() + "/"} })
	b.publish(t, bodies(0, 1)...)
	batch := next(t, s)
	line.Cut()
	if err := s.Ack(batch[0].Seq); err != nil {
		t.Fatalf("Ack on a dead line = %v, want nil: the message comes again", err)
	}
	if err := s.Suspend(t.Context()); err != nil {
		t.Fatalf("Suspend on a dead line = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Receive(ctx)
		ended <- err
	}()
	cancel()
	if err := <-ended; err == nil || node.ClassOf(err) == node.Fatal {
		t.Fatalf("Receive on a dead line = %v, want it to end with its context", err)
	}
	line.Restore()
	if m := next(t, s)[0]; string(m.Body) != "m0" || !m.Redelivered {
		t.Fatalf("received %q (redelivered %v), want m0 again", m.Body, m.Redelivered)
	}
}
