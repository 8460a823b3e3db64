package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
)

// Errors by which [Examine] tells what a broker refuses.
var (
	ErrLogin   = errors.New("the broker refuses this user")
	ErrVhost   = errors.New("the broker refuses this virtual host")
	ErrMissing = errors.New("there is no such queue or exchange")
)

// Examination is what one broker says of itself and of what it was asked for.
type Examination struct {
	Product, Version string // such as RabbitMQ and 3.10.8
	Queues           []QueueState
	Exchanges        []ExchangeState
}

// QueueState is one queue as a broker sees it.
type QueueState struct {
	Name      string
	Messages  int   // ready to be delivered
	Consumers int   // of any program
	Err       error // why it cannot be used, nil if it can; [ErrMissing]: it is not there
}

// ExchangeState is one exchange as a broker sees it.
type ExchangeState struct {
	Name string
	Err  error // as in [QueueState]
}

// Examine looks at b's queues and exchanges of these names, in this order. It
// declares nothing and consumes nothing; each is asked for on a channel of its own,
// because a missing one ends the channel. Errors never hold a password. Away: no
// answer; Fatal: the broker refuses, with [ErrLogin] or [ErrVhost] where it says so.
func Examine(ctx context.Context, b link.Broker, queues, exchanges []string) (*Examination, error) {
	var line net.Conn
	conn, err := link.Open(ctx, b, link.Options{Name: "millrace doctor", Wrap: func(c net.Conn) net.Conn { line = c; return c }})
	if err != nil {
		return nil, classifyOpen(err)
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(closeGrace)) }()
	defer context.AfterFunc(ctx, func() { _ = line.Close() })() // a broker that falls silent answers no call
	x := &Examination{Product: property(conn, "product"), Version: property(conn, "version")}
	for _, name := range queues {
		x.Queues = append(x.Queues, queueState(conn, name))
	}
	for _, name := range exchanges {
		err := onChannel(conn, func(ch *amqp091.Channel) error {
			return ch.ExchangeDeclarePassive(name, "direct", false, false, false, false, nil) // passive: the kind is not looked at
		})
		x.Exchanges = append(x.Exchanges, ExchangeState{name, err})
	}
	if conn.IsClosed() {
		return nil, node.AsAway(fmt.Errorf("broker %s: %w", b, errors.Join(errors.New("the connection broke"), context.Cause(ctx))))
	}
	return x, nil
}

func queueState(conn *amqp091.Connection, name string) QueueState {
	s := QueueState{Name: name}
	s.Err = onChannel(conn, func(ch *amqp091.Channel) error {
		q, err := ch.QueueDeclarePassive(name, false, false, false, false, nil)
		s.Messages, s.Consumers = q.Messages, q.Consumers
		return err
	})
	return s
}

func onChannel(conn *amqp091.Connection, do func(*amqp091.Channel) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	err = do(ch)
	if e, ok := errors.AsType[*amqp091.Error](err); ok && e.Code == amqp091.NotFound {
		return fmt.Errorf("%w (%w)", ErrMissing, err)
	}
	if err == nil {
		err = ch.Close()
	}
	return err
}

func property(conn *amqp091.Connection, name string) string {
	text, _ := conn.Properties[name].(string) // a broker need not say it
	return text
}

// classifyOpen tells a broker that refuses from one that does not answer. A broker
// may refuse a password by closing the line, which the client tells as such.
func classifyOpen(err error) error {
	e, ok := errors.AsType[*amqp091.Error](err)
	switch {
	case errors.Is(err, amqp091.ErrSASL), errors.Is(err, amqp091.ErrCredentials), ok && e.Server && e.Code == amqp091.AccessRefused:
		return node.AsFatal(fmt.Errorf("%w: %w", ErrLogin, err))
	case ok && e.Server && e.Code == amqp091.NotAllowed:
		return node.AsFatal(fmt.Errorf("%w: %w", ErrVhost, err))
	}
	return node.AsAway(err)
}
