package stream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

type deliveryKey struct{}

// DeliveryFrom returns the unit that a [LaneSubscriber]'s message stands for.
func DeliveryFrom(msg *message.Message) (*Delivery, bool) {
	d, ok := msg.Context().Value(deliveryKey{}).(*Delivery)
	return d, ok
}

// newMessage makes the message of a unit. That of a single event looks like the
// event, for handlers that know nothing of units; any other one is empty and
// named by its last entry.
func newMessage(u *node.Unit) *message.Message {
	if len(u.Events) != 1 {
		return message.NewMessage(u.Last.String(), nil)
	}
	ev := u.Events[0]
	msg := message.NewMessage(ev.RootID, ev.Payload)
	for _, h := range ev.Headers {
		msg.Metadata.Set(h.Name, h.Value.Format())
	}
	return msg
}

// FramePublisher appends each message as a frame of one event. The message's
// UUID is the event's root id, its metadata become headers. It may be used
// concurrently; messages of one call keep their order.
type FramePublisher struct {
	log    *Log
	lease  *Lease
	source string

	mu sync.Mutex // keeps calls in order
}

var _ message.Publisher = (*FramePublisher)(nil)

// NewFramePublisher returns a publisher that appends under le; messages get
// their identities as those of a source with the lease's name, so that one that
// is published again within the identity window is stored once.
func NewFramePublisher(l *Log, le *Lease) *FramePublisher {
	return &FramePublisher{log: l, lease: le, source: le.name}
}

// Publish appends messages to the lane that topic names (see [TopicOf]) and
// returns once all are durable. After an error some may be stored; publishing
// all of them again stores the rest.
func (p *FramePublisher) Publish(topic string, messages ...*message.Message) error {
	stream, number, err := parseTopic(topic)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, msg := range messages {
		if err := p.publish(stream, number, msg); err != nil {
			return err
		}
	}
	return nil
}

// Close does nothing: the log and the lease are the owner's.
func (p *FramePublisher) Close() error { return nil }

func (p *FramePublisher) publish(stream string, number int, msg *message.Message) error {
	id := event.NewIdentity(p.log.cfg.Pipeline, p.source, msg.UUID)
	frame, err := messageFrame(id, p.source, msg)
	if err != nil {
		return err
	}
	_, err = p.log.Append(context.WithoutCancel(msg.Context()), p.lease, AppendRequest{
		Stream: stream, Lane: number, Frame: frame, Events: 1,
		Source: p.source + "@" + stream, Identities: []event.Identity{id},
	})
	if _, known := errors.AsType[*KnownError](err); known {
		return nil // an earlier call stored it
	}
	return err
}

// messageFrame encodes msg as a frame of one event.
func messageFrame(id event.Identity, source string, msg *message.Message) ([]byte, error) {
	now := time.Now().UnixMilli()
	ev := &event.Event{
		ID: event.RootID(id, 0), RootID: msg.UUID, Payload: msg.Payload, Ingested: now,
		Source: event.Source{Node: source, MessageID: msg.UUID},
	}
	if ev.Payload == nil {
		ev.Payload = []byte{}
	}
	for k, v := range msg.Metadata {
		ev.Headers = append(ev.Headers, event.Header{Name: k, Value: event.String(v)})
	}
	f := event.Frame{Events: []*event.Event{ev}}
	return f.Encode(nil, event.None)
}
