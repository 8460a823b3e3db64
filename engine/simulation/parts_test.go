package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/ingest"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
	jsontransform "github.com/millrace/millrace/engine/transform/json"
)

// The pipeline: queue -> journal -> decode, number (re-keyed by device) ->
// readings -> table.
const (
	lanes       = 2
	leaseTime   = 2 * time.Second
	sourceID    = "in"
	stageReader = "number@live"
	sinkID      = "rows"
	sinkReader  = "rows@live"
	readings    = "readings"
)

var (
	identity = must(expr.CompileIdentity("message_id ?? payload.id"))
	byDevice = must(expr.Compile("device"))
	retry    = stage.RetryPolicy{Max: 2, Initial: 100 * time.Millisecond, Cap: time.Second, Multiplier: 2}
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// leased is the log as one part sees it.
type leased struct {
	log   *stream.Log
	lease *stream.Lease
}

func (l leased) Append(ctx context.Context, r stream.AppendRequest) (event.Position, error) {
	return l.log.Append(ctx, l.lease, r)
}

func (l leased) StoreDeadLetters(ctx context.Context, letters []stream.DeadLetter) error {
	return l.log.StoreDeadLetters(ctx, l.lease, letters)
}

func (l leased) LoadState(ctx context.Context, node string, keys []string) (map[string][]byte, error) {
	return l.log.LoadState(ctx, node, keys)
}

func (e *engine) runSource(ctx context.Context, lease *stream.Lease) error {
	identify := identity.Identity
	if e.w.control == identityOff {
		identify = nil
	}
	in, err := ingest.New(ingest.Config{
		Pipeline: "sim", Node: sourceID, Source: &source{e: e, b: e.w.broker}, Log: leased{e.log, lease}, Lanes: lanes,
		Incarnation: e.log.Incarnation(), Identify: identify, FrameEvents: 4, Observer: silent{}, Logger: e.w.logger,
	})
	if err != nil {
		return err
	}
	return in.Run(ctx)
}

func (e *engine) runStage(ctx context.Context, lease *stream.Lease) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	from := func(ctx context.Context, name string, lane int) (event.Position, error) {
		return e.log.Position(ctx, stageReader, name, lane)
	}
	readers, err := e.readers(ctx, lease, stageReader, stream.Journal, from, stop)
	if err != nil {
		return err
	}
	decode, err := jsontransform.New("decode", &jsontransform.Options{})
	if err != nil {
		return err
	}
	number := stage.ChainNode{ID: "number", Edges: []plan.Edge{{Node: "decode"}}, Key: byDevice, Stream: readings, Transform: numbering{}, Retry: retry}
	if e.w.control == positionApart {
		number.Transform, number.Stream = apart{e: e, lease: lease}, ""
	}
	err = stage.RunTransforms(ctx, stage.TransformConfig{
		Config: stage.Config{ID: "number", Generation: "live", Readers: readers, Observer: silent{}, Logger: e.w.logger},
		Nodes:  []stage.ChainNode{{ID: "decode", Edges: []plan.Edge{{Node: sourceID, Stream: stream.Journal}}, Transform: decode, Retry: retry}, number},
		Lanes:  lanes, States: leased{e.log, lease},
	})
	return cause(ctx, err)
}

func (e *engine) runSink(ctx context.Context, lease *stream.Lease) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var s node.Sink = positionedSink{sink{e}}
	if e.w.control == sinkPositionOff {
		s = sink{e}
	}
	readers, err := e.readers(ctx, lease, sinkReader, readings, e.sinkStart(s, lease), stop)
	if err != nil {
		return err
	}
	err = stage.RunSink(ctx, stage.SinkConfig{
		Config: stage.Config{ID: sinkID, Generation: "live", Readers: readers, Observer: silent{}, Logger: e.w.logger},
		Sink:   s, Edges: []plan.Edge{{Node: "number", Stream: readings}}, Letters: leased{e.log, lease}, Retry: retry,
	})
	return cause(ctx, err)
}

type startFunc func(ctx context.Context, name string, lane int) (event.Position, error)

// sinkStart begins where the sink itself stands and tells the log so.
func (e *engine) sinkStart(s node.Sink, lease *stream.Lease) startFunc {
	return func(ctx context.Context, name string, lane int) (event.Position, error) {
		at, err := e.log.Position(ctx, sinkReader, name, lane)
		positioned, ok := s.(node.Positioned)
		if err != nil || !ok {
			return at, err
		}
		own, err := positioned.Position(ctx, name, lane, event.Position{Epoch: e.log.Epoch()})
		if err != nil || own == at {
			return own, err
		}
		return own, e.log.Align(ctx, lease, sinkReader, name, lane, own)
	}
}

func (e *engine) readers(ctx context.Context, lease *stream.Lease, reader, name string, start startFunc, stop context.CancelCauseFunc) ([]stage.Reader, error) {
	var list []stage.Reader
	for lane := range lanes {
		at, err := start(ctx, name, lane)
		if err != nil {
			return nil, err
		}
		sub, err := stream.NewLaneSubscriber(stream.SubscriberConfig{
			Log: e.log, Lease: lease, Reader: reader, Stream: name, Lane: lane, Start: at, MaxEvents: 8,
			Logger: e.w.logger, OnStop: func(err error) { stop(err) },
		})
		if err != nil {
			return nil, err
		}
		list = append(list, stage.Reader{Stream: name, Lane: lane, Topic: stream.TopicOf(name, lane), Subscriber: sub})
	}
	return list, nil
}

func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
		return c
	}
	if errors.Is(err, context.Canceled) || ctx.Err() != nil && node.ClassOf(err) == node.Away {
		return nil
	}
	return err
}

// numbering counts the events of each device in keyed state and writes the count
// into the record: it shows whether state and outputs are stored as one.
type numbering struct{}

// StateVersion implements [node.Stateful].
func (numbering) StateVersion() string { return "1" }

// StateKeys implements [node.Stateful].
func (numbering) StateKeys(in *node.Batch) []string {
	var keys []string
	for _, ev := range in.Events {
		device, _ := ev.Record.Get("device")
		keys = append(keys, device.Text())
	}
	return keys
}

// Process implements [node.Transform].
func (numbering) Process(_ context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	for i, ev := range in.Events {
		if v, _ := ev.Record.Get("poison"); v.Text() == crashing {
			return nil, errors.New("the node fails at this event")
		}
		device, _ := ev.Record.Get("device")
		seen := append([]byte(nil), in.State.Get(device.Text())...)
		seen = append(seen, '|')
		in.State.Put(device.Text(), seen)
		out := ev.Derive("number", 0, 0)
		out.Record = ev.Record.With("nth", event.Int(int64(len(seen))))
		results[i].Outputs = []*event.Event{out}
	}
	return results, nil
}

// Close implements [node.Transform].
func (numbering) Close() error { return nil }

// apart is the mistake of a stage that appends its outputs itself and leaves its
// commit nothing but the position.
type apart struct {
	numbering
	e     *engine
	lease *stream.Lease
}

// Process implements [node.Transform].
func (a apart) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	results, err := a.numbering.Process(ctx, in)
	if err != nil {
		return nil, err
	}
	a.e.appending <- struct{}{} // a mutex held over a call would stop the clock
	defer func() { <-a.e.appending }()
	for i := range results {
		for _, ev := range results[i].Outputs {
			device, _ := ev.Record.Get("device")
			ev.Key = device.Text()
			f := event.Frame{Events: []*event.Event{ev}}
			frame, err := f.Encode(nil, event.None)
			if err != nil {
				return nil, err
			}
			if _, err := a.e.log.Append(ctx, a.lease, stream.AppendRequest{
				Stream: readings, Lane: stream.LaneOf(ev.Key, lanes), Frame: frame, Events: 1,
			}); err != nil {
				return nil, err
			}
		}
		results[i].Outputs = nil
	}
	return results, nil
}

// silent hears what happens and says nothing.
type silent struct{}

func (silent) Ingested(string, int, int, time.Duration)       {}
func (silent) Repeated(string, int)                           {}
func (silent) Unidentified(string, int)                       {}
func (silent) Held(string, string, int, error)                {}
func (silent) DeadLettered(string, node.Class, int)           {}
func (silent) Processed(string, int, int, int, time.Duration) {}
func (silent) Retried(string, node.Class, error)              {}
func (silent) Stored(string, *node.Unit, time.Time)           {}
