// Package stage runs what stands between two streams: a chain of transforms, or a
// sink. Each (stage, lane) is one handler of a watermill Router; each stage has a
// Router of its own, so that ending one touches no other. A unit is read under a
// lease, handled in memory, and everything it makes is stored by the one commit
// that its Ack causes. The package knows no server: units come from the
// subscribers it is given, and what it knows of the log is the unit's effects.
package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
)

// Observer hears what happened in a stage; every call is cheap and made from the
// lane's own goroutine.
type Observer interface {
	// Processed says that node took in events and made out, and how long it took.
	Processed(node string, in, out, rejected int, took time.Duration)
	// Retried says that a run of the node will be tried again after err.
	Retried(node string, class node.Class, err error)
	// DeadLettered says that the node gave up events.
	DeadLettered(node string, class node.Class, events int)
	// Stored says that a sink has made the unit durable.
	Stored(node string, u *node.Unit, at time.Time)
	// Held says why a lane of the stage stands still; a nil reason ends it.
	Held(stage, stream string, lane int, reason error)
}

// Reader is one lane of one input stream.
type Reader struct {
	Stream     string
	Lane       int
	Topic      string
	Subscriber message.Subscriber // one unit in flight; Ack commits
}

// Config is what transform stages and sink stages have in common.
type Config struct {
	ID         string // stage or sink id
	Generation string
	Readers    []Reader
	Observer   Observer
	Logger     *slog.Logger
	Drain      time.Duration // how long a unit in flight may take after the stop; default 10s
}

// TransformConfig describes a transform stage.
type TransformConfig struct {
	Config
	Nodes       []ChainNode
	Lanes       int // of the output streams
	Compression event.Compression
	KeyLimit    int // bytes of the longest key that a node may give; 0: no limit
	States      StateLoader
	Blockers    Blockers // may be nil if no node has strict order
}

// SinkConfig describes a sink stage.
type SinkConfig struct {
	Config
	Sink    node.Sink
	Edges   []plan.Edge
	Letters DeadLetterStore
	Retry   RetryPolicy

	Order    Order
	Blockers Blockers // may be nil if the order is not strict
}

// RunTransforms handles units until ctx ends, then finishes those in flight. When
// it returns nothing that it started is left.
func RunTransforms(ctx context.Context, c TransformConfig) error {
	policies := make(map[string]RetryPolicy, len(c.Nodes))
	for _, n := range c.Nodes {
		policies[n.ID] = n.Retry
	}
	return run(ctx, c.Config, func(work context.Context, number int, r Reader) (message.HandlerFunc, error) {
		ch := &chain{
			nodes: c.Nodes, number: number, lanes: c.Lanes, generation: c.Generation, compression: c.Compression, keyLimit: c.KeyLimit, observe: c.Observer,
			states: newLaneStates(c.States, c.Generation), order: newLaneOrder(c.Blockers, c.Generation), outputs: map[string][]*event.Event{},
		}
		l, err := newLane(work, ch, &retrier{
			policies: policies, fallback: c.Nodes[0].Retry, stopping: ctx, observe: c.Observer, hold: c.holder(r),
		})
		if err != nil {
			return nil, err
		}
		return func(msg *message.Message) ([]*message.Message, error) { return nil, l.handle(msg) }, nil
	})
}

// RunSink writes units to a sink until ctx ends, then finishes those in flight.
// When it returns nothing that it started is left; the sink stays open. It also
// ends, with the sink's error, when another engine has become a lane's writer
// ([node.ErrTakenOver]): whoever holds the lease has to ask the sink for its
// position anew before anything can be written.
func RunSink(ctx context.Context, c SinkConfig) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	err := run(ctx, c.Config, func(work context.Context, _ int, r Reader) (message.HandlerFunc, error) {
		l := &sinkLane{
			id: c.ID, generation: c.Generation, sink: c.Sink, edges: sinkEvents(c.Edges), letters: c.Letters,
			observe: c.Observer, work: work, end: end, strict: c.Order, order: newLaneOrder(c.Blockers, c.Generation),
		}
		rt := &retrier{fallback: c.Retry, stopping: ctx, observe: c.Observer, hold: c.holder(r)}
		return rt.middleware(l.write), nil
	})
	if cause := context.Cause(ctx); errors.Is(cause, node.ErrTakenOver) {
		return cause
	}
	return err
}

func (c Config) holder(r Reader) func(error) {
	return func(reason error) { c.Observer.Held(c.ID, r.Stream, r.Lane, reason) }
}

// run drives one Router with a handler per reader.
func run(ctx context.Context, c Config, handler func(work context.Context, number int, r Reader) (message.HandlerFunc, error)) error {
	if c.Drain == 0 {
		c.Drain = 10 * time.Second
	}
	work, done := lifecycle.Drainable(ctx, c.Drain)
	defer done()
	log := watermill.NewSlogLoggerWithLevelMapping(c.Logger.With("stage", c.ID), quiet)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: c.Drain + time.Second}, log)
	if err != nil {
		return fmt.Errorf("stage %q: %w", c.ID, err)
	}
	for number, r := range c.Readers {
		h, err := handler(work, number, r)
		if err != nil {
			return fmt.Errorf("stage %q: %s: %w", c.ID, r.Topic, err)
		}
		router.AddConsumerHandler(c.ID+"/"+r.Topic, r.Topic, r.Subscriber, func(msg *message.Message) error {
			_, err := h(msg)
			return err
		})
	}
	if err := router.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stage %q: %w", c.ID, err)
	}
	return nil
}

// quiet lowers what the Router tells about its own life; its errors stay errors.
var quiet = map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}
