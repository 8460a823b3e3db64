package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/spec"
)

// brokerWithin is how long a broker may take to say what it has.
const brokerWithin = 5 * time.Second

// askBroker refuses a source whose queue is not on a broker that answers, or that it
// does not let in. A broker that is away says nothing about the file.
func (e *Engine) askBroker(ctx context.Context, file *spec.Pipeline, id string) error {
	opts, ok := file.Node(id).With.(*amqp.Options)
	if !ok || file.Connections[opts.Connection].Embedded() {
		return nil
	}
	brokers, err := link.Parse([]string{file.Connections[opts.Connection].Address().Reveal()})
	if err != nil {
		return fmt.Errorf("source %q: %w", id, err)
	}
	var refused []error
	for _, b := range brokers {
		err := askFor(ctx, b, opts)
		if err == nil {
			return nil
		}
		if node.ClassOf(err) != node.Away {
			refused = append(refused, fmt.Errorf("source %q: queue %s on %s: %w", id, opts.Queue, b, err))
		}
	}
	return errors.Join(refused...)
}

func askFor(ctx context.Context, b link.Broker, opts *amqp.Options) error {
	ctx, done := context.WithTimeout(ctx, brokerWithin)
	defer done()
	x, err := amqp.Examine(ctx, b, []string{opts.Queue}, nil)
	if err != nil {
		return err
	}
	if err := x.Queues[0].Err; err != nil && !(opts.Declare && errors.Is(err, amqp.ErrMissing)) {
		return node.AsFatal(err)
	}
	return nil
}
