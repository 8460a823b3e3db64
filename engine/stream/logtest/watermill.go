package logtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/millrace/millrace/engine/stream"
)

// RunWatermill runs the ordered half of watermill's universal suite: one message
// in flight, order kept, at least once. short takes fewer messages.
func RunWatermill(t *testing.T, database Database, short bool) {
	r := start(t, database(t), func(c *stream.Config) { c.Lanes = 1 })
	source := r.lease("source:suite")
	tests.TestPubSub(t, tests.Features{
		GuaranteedOrder: true,
		Persistent:      true,
		ForceShort:      short,
	}, func(*testing.T) (message.Publisher, message.Subscriber) {
		return &topicPublisher{FramePublisher: stream.NewFramePublisher(r.Log, source), r: r}, newTopicSubscriber(r.Log)
	}, nil)
}

// topicPublisher publishes to streams that come into being by their names.
type topicPublisher struct {
	*stream.FramePublisher
	r    *rig
	made sync.Map // names of streams that exist
}

func (p *topicPublisher) Publish(topic string, messages ...*message.Message) error {
	if _, ok := p.made.Load(topic); !ok {
		if err := p.r.EnsureStreams(context.Background(), []string{topic}); err != nil {
			return err
		}
		p.made.Store(topic, true)
	}
	return p.FramePublisher.Publish(stream.TopicOf(topic, 0), messages...)
}

// topicSubscriber is a stage in small: it takes the topic's lease when it can
// and hands on what a LaneSubscriber reads.
type topicSubscriber struct {
	log    *stream.Log
	ctx    context.Context //nolint:containedctx // of the subscriber's life
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newTopicSubscriber(l *stream.Log) *topicSubscriber {
	ctx, cancel := context.WithCancel(context.Background())
	return &topicSubscriber{log: l, ctx: ctx, cancel: cancel}
}

const suiteReader = "suite@live"

// SubscribeInitialize registers the reader before anything is published: what
// nobody is registered for may be trimmed.
func (s *topicSubscriber) SubscribeInitialize(topic string) error {
	if err := s.log.EnsureStreams(s.ctx, []string{topic}); err != nil {
		return err
	}
	return s.log.RegisterReader(s.ctx, suiteReader, topic, false)
}

func (s *topicSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.SubscribeInitialize(topic); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(s.ctx, cancel)
	out := make(chan *message.Message)
	s.wg.Go(func() {
		defer cancel()
		defer close(out)
		_ = s.read(ctx, topic, out) // ends with the subscriber or the suite notices
	})
	return out, nil
}

func (s *topicSubscriber) read(ctx context.Context, topic string, out chan<- *message.Message) error {
	le, err := s.log.Acquire(ctx, "stage:"+topic)
	if err != nil {
		return err
	}
	defer func() { _ = le.Release(context.WithoutCancel(ctx)) }()
	sub, err := stream.NewLaneSubscriber(stream.SubscriberConfig{
		Log: s.log, Lease: le, Reader: suiteReader, Stream: topic, MaxEvents: 1, Drain: 10 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	in, err := sub.Subscribe(ctx, stream.TopicOf(topic, 0))
	if err != nil {
		return err
	}
	for msg := range in {
		select {
		case out <- msg:
		case <-ctx.Done():
		}
	}
	return nil
}

func (s *topicSubscriber) Close() error {
	s.cancel()
	s.wg.Wait()
	return nil
}
