package amqpsink

import (
	"context"
	"errors"
	"fmt"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/sink/taken"
)

// window is how many messages are on their way unconfirmed.
const window = 1000

// laneKey names one lane of one input stream.
type laneKey struct {
	stream string
	number int
}

// lane is one lane's channel, so that confirms and order are its own, and what of its
// present unit the broker has confirmed. It is used by one goroutine at a time.
type lane struct {
	sink    *Sink
	line    *line // nil: none
	ch      *amqp091.Channel
	returns chan amqp091.Return

	taken taken.Unit // what of its present unit the broker has
}

// publish sends what of a unit the broker does not have yet, and returns when all of
// it is confirmed.
func (l *lane) publish(ctx context.Context, u *node.Unit, all []outgoing) error {
	l.taken.Begin(u)
	if err := l.ready(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, l.line.cut)()
	left, rejects, err := l.targets(all)
	for len(left) > 0 && err == nil {
		n := min(len(left), window)
		var more []node.EventReject
		more, err = l.send(ctx, left[:n])
		left, rejects = left[n:], append(rejects, more...)
	}
	if err == nil && len(rejects) > 0 {
		return &node.RejectedError{Rejects: inOrder(rejects)}
	}
	return err
}

// ready sees to it that there is a channel. Without one it takes the present
// connection, or the next that a broker gives.
func (l *lane) ready(ctx context.Context) error {
	if l.ch != nil && !l.ch.IsClosed() && !l.line.conn.IsClosed() {
		return nil
	}
	l.ch = nil
	at, err := l.sink.connect(ctx)
	if err != nil {
		return err
	}
	ch, err := at.conn.Channel()
	if err != nil {
		return fmt.Errorf("broker %s: open channel: %w", at.broker, err)
	}
	if err := errors.Join(l.sink.lookUp(ch), ch.Confirm(false)); err != nil {
		_ = ch.Close()
		return fmt.Errorf("broker %s: %w", at.broker, err)
	}
	l.line, l.ch = at, ch
	l.returns = ch.NotifyReturn(make(chan amqp091.Return, window)) // all of a window fit: the client never waits
	return nil
}

// targets leaves out what the broker has already, and rejects events whose exchange
// does not exist: published to it they would close the channel.
func (l *lane) targets(all []outgoing) (left []outgoing, rejects []node.EventReject, err error) {
	for _, m := range all {
		if l.taken.Has(m.id) {
			continue
		}
		there := true
		if l.sink.form.exchangeFrom != nil {
			if there, err = l.line.exchange(m.exchange); err != nil {
				return nil, nil, err
			}
		}
		if !there {
			rejects = append(rejects, node.EventReject{Index: m.index, Reject: *reject("no_exchange", "there is no exchange %q", m.exchange)})
			continue
		}
		left = append(left, m)
	}
	return left, rejects, nil
}

// send publishes at most a window and waits for all confirms.
func (l *lane) send(ctx context.Context, batch []outgoing) ([]node.EventReject, error) {
	confirms := make([]*amqp091.DeferredConfirmation, len(batch))
	for i, m := range batch {
		c, err := l.ch.PublishWithDeferredConfirm(m.exchange, m.key, l.sink.cfg.mandatory(), false, m.body)
		if err != nil {
			return nil, l.lost(ctx, err)
		}
		confirms[i] = c
	}
	refused := 0
	for i, c := range confirms {
		if c.Wait() {
			l.taken.Add(batch[i].id)
		} else {
			refused++
		}
	}
	returned := l.returned(batch) // a return comes before its confirm
	switch {
	case l.ch.IsClosed() || l.line.conn.IsClosed():
		return nil, l.lost(ctx, errors.New("connection or channel closed"))
	case refused > 0:
		return nil, fmt.Errorf("broker %s has refused %d of %d messages", l.line.broker, refused, len(batch))
	case l.sink.form.queue != "" && len(returned) > 0:
		l.drop() // the next attempt looks the queue up and tells what it has found
		return nil, fmt.Errorf("queue %q is gone", l.sink.form.queue)
	}
	return returned, nil
}

// returned takes the messages back that reached no queue.
func (l *lane) returned(batch []outgoing) []node.EventReject {
	var out []node.EventReject
	at := map[string]outgoing{}
	for {
		select {
		case r, ok := <-l.returns:
			if !ok {
				return out
			}
			if len(at) == 0 {
				for _, m := range batch {
					at[m.body.MessageId] = m
				}
			}
			m := at[r.MessageId]
			l.taken.Remove(m.id)
			out = append(out, node.EventReject{Index: m.index, Reject: *reject("unroutable",
				"no queue takes it: exchange %q, routing key %q (%d %s)", r.Exchange, r.RoutingKey, r.ReplyCode, r.ReplyText)})
		default:
			return out
		}
	}
}

// lost gives the reason why the channel went, as far as the broker has told one.
func (l *lane) lost(ctx context.Context, err error) error {
	if why := l.line.why(); why != nil {
		err = why
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	broker := l.line.broker
	l.drop()
	return fmt.Errorf("broker %s: %w", broker, err)
}

func (l *lane) drop() {
	if l.ch != nil {
		_ = l.ch.Close() // it may be closed already
		l.ch = nil
	}
}
