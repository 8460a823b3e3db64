package runtime

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	sqlsink "github.com/millrace/millrace/engine/sink/sql"
	stocksink "github.com/millrace/millrace/engine/sink/stock"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
)

// sinkRun is one sink of the plan, open.
type sinkRun struct {
	engine *Engine
	plan   plan.SinkRun
	sink   node.Sink
}

func (e *Engine) openSinks(ctx context.Context) error {
	for _, s := range e.Plan.Sinks {
		run := &sinkRun{engine: e, plan: s}
		what := fmt.Sprintf("waiting for sink %q", s.ID)
		err := e.patiently(ctx, what, func() (err error) {
			run.sink, err = e.buildSink(ctx, s)
			return err
		})
		if err != nil {
			return fmt.Errorf("sink %q: %w", s.ID, err)
		}
		e.closers = append(e.closers, run.sink.Close)
		_, positioned := run.sink.(node.Positioned)
		for _, name := range streamsOf(s.Edges) {
			if err := e.log.RegisterReader(ctx, e.reader(s.ID), name, positioned); err != nil {
				return err
			}
		}
		e.sinks = append(e.sinks, run)
	}
	return nil
}

func (e *Engine) buildSink(ctx context.Context, s plan.SinkRun) (node.Sink, error) {
	switch opts := s.Spec.With.(type) {
	case *sqlsink.Options:
		return sqlsink.Open(ctx, sqlsink.Config{
			DSN: e.dsn(opts.Connection), Pipeline: e.Pipeline.Name, Generation: e.Generation, Node: s.ID,
			Streams: streamsOf(s.Edges), Options: *opts, Logger: e.Logger,
		})
	case *stocksink.AMQPOptions:
		conn := e.Pipeline.Connections[opts.Connection]
		if conn.Embedded() {
			return nil, node.AsFatal(fmt.Errorf("connection %q is embedded: embedded queues carry the built-in data only", opts.Connection))
		}
		return stocksink.AMQP(stocksink.AMQPConfig{
			AMQPOptions: *opts, URLs: []string{conn.Address().Reveal()}, Name: e.Pipeline.Name + "." + s.ID, Log: e.Logger,
		})
	case *stocksink.RedisOptions:
		return stocksink.RedisStream(stocksink.RedisConfig{RedisOptions: *opts, URL: e.address(opts.Connection), Log: e.Logger})
	default:
		return nil, fmt.Errorf("no sink is built for options of type %T", opts)
	}
}

// run reads and writes under lease until ctx ends.
func (s *sinkRun) run(ctx context.Context, lease *stream.Lease) error {
	e := s.engine
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	readers, err := e.readers(ctx, lease, s.plan.ID, streamsOf(s.plan.Edges), s.start(lease), func(err error) { stop(err) })
	if err != nil {
		return err
	}
	err = stage.RunSink(ctx, stage.SinkConfig{
		Config: stage.Config{ID: s.plan.ID, Generation: e.Generation, Readers: readers, Observer: e.recorder, Logger: e.Logger},
		Sink:   s.sink, Edges: s.plan.Edges, Letters: leased{e.log, lease}, Retry: policyOf(s.plan.Spec.Retry),
	})
	return cause(ctx, err)
}

// start begins where the sink itself says that it stands, and tells the log so; a
// sink without a position of its own begins where the log says.
func (s *sinkRun) start(lease *stream.Lease) startFunc {
	fromLog := s.engine.fromLog(s.plan.ID)
	positioned, ok := s.sink.(node.Positioned)
	if !ok {
		return fromLog
	}
	return func(ctx context.Context, name string, lane int) (event.Position, error) {
		at, err := fromLog(ctx, name, lane)
		if err != nil {
			return at, err
		}
		// A sink that has lost its position is filled again from the oldest event that
		// the log still has, never from where the lost one stood.
		own, err := positioned.Position(ctx, name, lane, event.Position{Epoch: s.engine.log.Epoch()})
		if err != nil || own == at {
			return own, err
		}
		if err := s.engine.log.Align(ctx, lease, s.engine.reader(s.plan.ID), name, lane, own); err != nil || own.Epoch == s.engine.log.Epoch() {
			return own, err
		}
		placed, err := fromLog(ctx, name, lane)
		if err != nil {
			return placed, err
		}
		return placed, s.rejoin(ctx, name, lane, own, placed)
	}
}

// rejoin takes the sink to the place that the log has found for it after it lost a
// part of itself, which a person has accepted.
func (s *sinkRun) rejoin(ctx context.Context, name string, lane int, own, placed event.Position) error {
	sink, ok := s.sink.(node.Rejoiner)
	if !ok {
		return node.AsFatal(fmt.Errorf("sink %q stands at %s and cannot go on at %s", s.plan.ID, own, placed))
	}
	return sink.Rejoin(ctx, name, lane, own, placed)
}
