package amqp

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/testserver"
)

func brokerAt(t *testing.T, url string) link.Broker {
	t.Helper()
	brokers, err := link.Parse([]string{url})
	if err != nil {
		t.Fatal(err)
	}
	return brokers[0]
}

// TestExamineQueues: a missing queue ends its channel, not the look at the others;
// nothing is declared, and an exclusive consumer is counted, not disturbed.
func TestExamineQueues(t *testing.T) {
	b := newBroker(t)
	b.declare(t, nil)
	b.publish(t, make([]amqp091.Publishing, 3)...)
	look := func() *Examination {
		x, err := Examine(t.Context(), brokerAt(t, b.url), []string{"missing", b.queue, "missing too"}, []string{"amq.topic", "no exchange"})
		if err != nil {
			t.Fatalf("Examine = %v", err)
		}
		return x
	}
	for range 2 { // what is missing is not made by looking for it
		x := look()
		if x.Product != "RabbitMQ" || x.Version == "" || !errors.Is(x.Queues[0].Err, ErrMissing) || !errors.Is(x.Queues[2].Err, ErrMissing) {
			t.Errorf("examined %+v", x)
		}
		if q := x.Queues[1]; q != (QueueState{Name: b.queue, Messages: 3}) {
			t.Errorf("queue %+v; want 3 messages", q)
		}
		if x.Exchanges[0].Err != nil || !errors.Is(x.Exchanges[1].Err, ErrMissing) {
			t.Errorf("exchanges %+v", x.Exchanges)
		}
	}
	deliveries, err := b.channel(t).Consume(b.queue, "", false, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-deliveries
	if q := look().Queues[1]; q.Consumers != 1 || q.Err != nil {
		t.Errorf("queue %+v; want 1 consumer", q)
	}
}

// TestExamineRefusals: wrong password, wrong virtual host, nobody there, and
// somebody who says nothing; no error holds the password.
func TestExamineRefusals(t *testing.T) {
	server := testserver.SharedRabbitMQ(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for url, want := range map[string]struct {
		class node.Class
		is    error
	}{
		"amqp://guest:hidden-word@" + server.Addr() + "/":          {node.Fatal, ErrLogin},
		server.AMQPURL() + "no-such-host":                          {node.Fatal, ErrVhost},
		"amqp://guest:hidden-word@127.0.0.1:1/":                    {node.Away, nil},
		"amqp://guest:hidden-word@" + silent.Addr().String() + "/": {node.Away, context.DeadlineExceeded},
	} {
		patience := limit // a broker answers a wrong password late
		if want.is == context.DeadlineExceeded {
			patience = limit / 200
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := Examine(ctx, brokerAt(t, url), []string{"q"}, nil)
		cancel()
		if err == nil || node.ClassOf(err) != want.class || want.is != nil && !errors.Is(err, want.is) || strings.Contains(err.Error(), "hidden-word") {
			t.Errorf("Examine = %v (%s); want %s, %v, and no password", err, node.ClassOf(err), want.class, want.is)
		}
	}
}
