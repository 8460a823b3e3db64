package runtime

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	amqpsink "github.com/millrace/millrace/engine/sink/amqp"
	filesink "github.com/millrace/millrace/engine/sink/file"
	mqttsink "github.com/millrace/millrace/engine/sink/mqtt"
	sqlsink "github.com/millrace/millrace/engine/sink/sql"
	stocksink "github.com/millrace/millrace/engine/sink/stock"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
)

// sinkRun is one sink of the plan, open.
type sinkRun struct {
	gen  *generation
	plan plan.SinkRun
	sink node.Sink
}

func (g *generation) openSinks(ctx context.Context) error {
	for _, s := range g.plan.Sinks {
		run := &sinkRun{gen: g, plan: s}
		what := fmt.Sprintf("waiting for sink %q", s.ID)
		err := g.patiently(ctx, what, func() (err error) {
			run.sink, err = g.buildSink(ctx, s)
			return err
		})
		if err != nil {
			return fmt.Errorf("sink %q: %w", s.ID, err)
		}
		g.closers = append(g.closers, run.sink.Close)
		if g.replay != nil {
			run.sink = g.replay.wrap(s.ID, run.sink)
		}
		_, positioned := run.sink.(node.Positioned)
		for _, name := range streamsOf(s.Edges) {
			if err := g.register(ctx, s.ID, name, positioned); err != nil {
				return err
			}
		}
		g.sinks = append(g.sinks, run)
	}
	return nil
}

func (g *generation) buildSink(ctx context.Context, s plan.SinkRun) (node.Sink, error) {
	switch opts := s.Spec.With.(type) {
	case *sqlsink.Options:
		return sqlsink.Open(ctx, g.sqlConfig(s, opts))
	case *filesink.Options:
		return filesink.Open(ctx, filesink.Config{
			Options: *opts, Pipeline: g.spec.Name, Generation: g.name, Node: s.ID,
			Passing: g.embedded != nil && g.embedded.redis != nil, Log: g.Logger,
		})
	case *amqpsink.Options:
		return g.amqpSink(s.ID, opts)
	case *mqttsink.Options:
		return mqttsink.New(mqttsink.Config{
			Options: *opts, URLs: []string{g.spec.Connections[opts.Connection].Address().Reveal()}, Name: g.spec.Name + "." + s.ID, Log: g.Logger,
		})
	case *stocksink.RedisOptions:
		return stocksink.RedisStream(stocksink.RedisConfig{RedisOptions: *opts, URL: g.address(g.spec, opts.Connection), Log: g.Logger})
	default:
		return nil, fmt.Errorf("no sink is built for options of type %T", opts)
	}
}

func (g *generation) amqpSink(id string, opts *amqpsink.Options) (node.Sink, error) {
	conn := g.spec.Connections[opts.Connection]
	if conn.Embedded() {
		return nil, node.AsFatal(fmt.Errorf("connection %q is embedded: embedded queues carry the built-in data only", opts.Connection))
	}
	cfg := amqpsink.Config{Options: *opts, URLs: []string{conn.Address().Reveal()}, Name: g.spec.Name + "." + id, Log: g.Logger}
	if opts.Driver == amqpsink.DriverStock {
		return stocksink.AMQP(cfg)
	}
	return amqpsink.New(cfg)
}

func (g *generation) sqlConfig(s plan.SinkRun, opts *sqlsink.Options) sqlsink.Config {
	cfg := sqlsink.Config{
		DSN: g.dsn(g.spec, opts.Connection), Pipeline: g.spec.Name, Generation: g.name, Node: s.ID,
		Streams: streamsOf(s.Edges), Options: *opts, Logger: g.Logger,
	}
	if g.replay != nil {
		cfg = g.replay.sqlConfig(cfg)
	}
	return cfg
}

// run reads and writes under lease until ctx ends.
func (s *sinkRun) run(ctx context.Context, lease *stream.Lease) error {
	g := s.gen
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	rest := noRest
	if _, transactions := s.sink.(node.Positioned); transactions {
		rest = storeRest
	}
	readers, err := g.readers(ctx, lease, s.plan.ID, streamsOf(s.plan.Edges), rest, s.start(lease), func(err error) { stop(err) })
	if err != nil {
		return err
	}
	err = stage.RunSink(ctx, stage.SinkConfig{
		Config: stage.Config{ID: s.plan.ID, Generation: g.name, Readers: readers, Observer: g.observer(), Logger: g.Logger},
		Sink:   s.sink, Edges: s.plan.Edges, Letters: leased{g.log, lease}, Retry: policyOf(s.plan.Spec.Retry),
		Order: orderOf(s.plan.Spec), Blockers: g.log,
	})
	return cause(ctx, err)
}

// start begins where the sink itself says that it stands, and tells the log so; a
// sink without a position of its own begins where the log says.
func (s *sinkRun) start(lease *stream.Lease) startFunc {
	fromLog := s.gen.fromLog(s.plan.ID)
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
		start := s.gen.origin(name, lane)
		if s.plan.Spec.Start == spec.Now && s.gen.name == Live {
			start = at // it never wanted what was before
		}
		own, err := positioned.Position(ctx, name, lane, start)
		if err != nil || own == at {
			return own, err
		}
		if err := s.gen.log.Align(ctx, lease, s.gen.reader(s.plan.ID), name, lane, own); err != nil || own.Epoch == s.gen.log.Epoch() {
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
