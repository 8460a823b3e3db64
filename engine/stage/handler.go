package stage

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// deadLetterTopic names watermill's poison topic. Nothing is published there: a
// poisoned event becomes one more effect of its unit's commit.
const deadLetterTopic = "dead-letters"

// part is a run of events of one unit on its way through the middlewares; it
// travels in the message's context.
type part struct {
	unit    *node.Unit
	events  []*event.Event
	effects *stream.Effects // of the whole unit
	attempt int
	err     error // of the last run
}

type partKey struct{}

func partOf(msg *message.Message) *part { return msg.Context().Value(partKey{}).(*part) }

// lane handles the units of one (input stream, lane) of a transform stage:
// bisect( poison( retry( chain ))).
type lane struct {
	chain   *chain
	retrier *retrier
	observe Observer
	work    context.Context // outlives the router's, so that a unit in flight is finished
	inner   message.HandlerFunc
}

func newLane(work context.Context, c *chain, r *retrier) (*lane, error) {
	l := &lane{chain: c, retrier: r, observe: c.observe, work: work}
	poison, err := middleware.PoisonQueueWithFilter(deadLetterPublisher{l}, deadLetterTopic, l.poisonous)
	if err != nil {
		return nil, err
	}
	l.inner = poison(r.middleware(l.runPart))
	return l, nil
}

// handle takes one unit's message and stages its effects; it returns an error only
// when the stage is stopping.
func (l *lane) handle(msg *message.Message) error {
	d, ok := stream.DeliveryFrom(msg)
	if !ok {
		return errors.New("message carries no unit")
	}
	var effects stream.Effects
	l.chain.states.begin(d.Unit)
	p := &part{unit: d.Unit, events: d.Unit.Events, effects: &effects}
	if err := l.handlePart(msg.Context(), msg.UUID, p); err != nil {
		return err
	}
	effects.State = l.chain.states.changes()
	d.Stage(effects)
	return nil
}

// handlePart runs p through the middlewares. What can never be processed as a
// whole is cut in halves until the guilty event stands alone and is poisoned.
func (l *lane) handlePart(ctx context.Context, uuid string, p *part) error {
	msg := message.NewMessage(uuid, nil)
	msg.SetContext(context.WithValue(ctx, partKey{}, p))
	_, err := l.inner(msg)
	if err == nil || len(p.events) < 2 || !divisible(err) || l.retrier.stopping.Err() != nil {
		return err
	}
	half := len(p.events) / 2
	for _, events := range [][]*event.Event{p.events[:half], p.events[half:]} {
		if err := l.handlePart(ctx, uuid, &part{unit: p.unit, events: events, effects: p.effects}); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) runPart(msg *message.Message) ([]*message.Message, error) {
	p := partOf(msg)
	p.attempt++
	p.err = l.chain.run(l.work, p.unit, p.events, p.effects)
	if p.err == nil {
		return nil, nil
	}
	return nil, &partError{single: len(p.events) == 1, err: p.err}
}

// divisible reports whether cutting the unit can help.
func divisible(err error) bool {
	c := node.ClassOf(err)
	return c == node.Rejected || c == node.Unsure
}

// poisonous lets a single event's final error through to the dead letters, but
// nothing that a shutdown caused.
func (l *lane) poisonous(err error) bool {
	if l.retrier.stopping.Err() != nil || errors.Is(err, context.Canceled) || !divisible(err) {
		return false
	}
	e, ok := errors.AsType[*partError](err)
	return !ok || e.single
}

// partError tells the poison filter, which sees only the error, whether one event
// stands alone.
type partError struct {
	single bool
	err    error
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// deadLetterPublisher is watermill's poison publisher: it stages the one event of
// the message's part as a dead letter.
type deadLetterPublisher struct{ lane *lane }

func (d deadLetterPublisher) Publish(_ string, messages ...*message.Message) error {
	for _, msg := range messages {
		p := partOf(msg)
		p.effects.DeadLetters = append(p.effects.DeadLetters, d.lane.poisoned(p, msg.Metadata.Get(middleware.ReasonForPoisonedKey)))
	}
	return nil
}

func (deadLetterPublisher) Close() error { return nil }

func (l *lane) poisoned(p *part, reason string) stream.DeadLetter {
	n := &l.chain.nodes[0]
	if e, ok := errors.AsType[*node.Error](p.err); ok {
		for i := range l.chain.nodes {
			if l.chain.nodes[i].ID == e.Node {
				n = &l.chain.nodes[i]
			}
		}
	}
	class := node.ClassOf(p.err)
	dl := l.chain.deadLetter(n, p.unit, p.events[0], class, node.Reject{Record: -1, Code: "gave_up", Text: reason})
	dl.Attempt = p.attempt
	l.observe.DeadLettered(n.ID, class, 1)
	return dl
}
