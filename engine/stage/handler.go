package stage

import (
	"context"
	"errors"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
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
	from    string          // the node that takes the events in; "": those that read the unit's stream
	without []string        // nodes that take in nothing: their share is handled apart
	effects *stream.Effects // of the whole unit
	attempt int

	// Of the last run: its error, the node that failed and what that was given.
	err    error
	failed *ChainNode
	inputs []*event.Event
}

// rest is p without the node that failed and what stands behind it.
func (p *part) rest() *part {
	return &part{unit: p.unit, events: p.events, from: p.from, without: append(slices.Clone(p.without), p.failed.ID), effects: p.effects}
}

// alone reports whether the failing node was given p's one event and nothing else.
func (p *part) alone() bool {
	return len(p.events) == 1 && len(p.inputs) == 1 && p.inputs[0] == p.events[0]
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
	l.chain.states.begin(d)
	l.chain.order.begin()
	p := &part{unit: d.Unit, events: d.Unit.Events, effects: &effects}
	if err := l.handlePart(msg.Context(), msg.UUID, p); err != nil {
		return err
	}
	effects.State = l.chain.states.changes()
	if entry := &l.chain.nodes[0]; l.chain.generation == plan.Redriven && l.chain.order.applies(entry.Order) {
		effects.Released = released(entry.ID, d.Unit.Events)
	}
	d.Stage(effects)
	return nil
}

// handlePart runs p through the middlewares. What can never be processed as a
// whole is divided until one input of the failing node stands alone and is
// poisoned; everything that does not pass through that node goes on.
func (l *lane) handlePart(ctx context.Context, uuid string, p *part) error {
	msg := message.NewMessage(uuid, nil)
	msg.SetContext(context.WithValue(ctx, partKey{}, p))
	if _, err := l.inner(msg); err != nil && (!divisible(err) || l.retrier.stopping.Err() != nil) {
		return err
	}
	for _, smaller := range l.divide(p) {
		if err := l.handlePart(ctx, uuid, smaller); err != nil {
			return err
		}
	}
	return nil
}

// divide returns what is still to be run of p after its last run.
func (l *lane) divide(p *part) []*part {
	switch {
	case p.err == nil:
		return nil
	case len(p.events) > 1:
		half := len(p.events) / 2
		first, second := *p, *p
		first.events, second.events = p.events[:half], p.events[half:]
		first.attempt, second.attempt = 0, 0
		return []*part{&first, &second}
	case p.alone():
		return []*part{p.rest()} // the event itself is poisoned
	default:
		return []*part{p.rest(), {unit: p.unit, events: p.inputs, from: p.failed.ID, effects: p.effects}}
	}
}

func (l *lane) runPart(msg *message.Message) ([]*message.Message, error) {
	p := partOf(msg)
	p.attempt++
	p.err = l.chain.run(l.work, p)
	if p.err == nil {
		return nil, nil
	}
	return nil, &partError{alone: p.alone(), err: p.err}
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
	return !ok || e.alone
}

// partError tells the poison filter, which sees only the error, whether one input
// of the failing node stands alone.
type partError struct {
	alone bool
	err   error
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
	class := node.ClassOf(p.err)
	dl := l.chain.deadLetter(p.failed, p.unit, p.events[0], class, node.Reject{Record: -1, Code: "gave_up", Text: reason, Maker: node.MakerOf(p.err)})
	dl.Attempt = p.attempt
	if dl.Strict {
		l.chain.order.accepted[nodeKey{p.failed.ID, p.events[0].Key}] = true
	}
	l.observe.DeadLettered(p.failed.ID, class, 1)
	return dl
}
