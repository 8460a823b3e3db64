package link

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Queue is what must be there before anybody consumes or publishes.
type Queue struct {
	Name    string
	Create  bool // false: only look it up
	Durable bool
	Type    string // "" leaves it to the broker
	Bind    []Binding
}

// Binding lets messages of an exchange reach a queue.
type Binding struct {
	Exchange string
	Key      string
}

// Declare makes sure that the queue exists. Without q.Create it only looks: a
// queue that somebody has deleted is never created again, empty. An error closes
// ch.
func Declare(ch *amqp.Channel, q Queue) error {
	if !q.Create {
		if _, err := ch.QueueDeclarePassive(q.Name, false, false, false, false, nil); err != nil {
			return lookUpError(err)
		}
		return nil
	}
	args := amqp.Table{}
	if q.Type != "" {
		args[amqp.QueueTypeArg] = q.Type
	}
	if _, err := ch.QueueDeclare(q.Name, q.Durable, false, false, false, args); err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	for _, b := range q.Bind {
		if err := ch.QueueBind(q.Name, b.Key, b.Exchange, false, nil); err != nil {
			return fmt.Errorf("bind to exchange %q with key %q: %w", b.Exchange, b.Key, err)
		}
	}
	return nil
}

// lookUpError says what to do about a queue that is not there.
func lookUpError(err error) error {
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.NotFound {
		return fmt.Errorf("there is no such queue yet: create it, or set declare: true (%w)", err)
	}
	return fmt.Errorf("look up: %w", err)
}
