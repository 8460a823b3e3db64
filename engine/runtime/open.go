package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/reload"
	"github.com/millrace/millrace/engine/replay"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// open opens everything that the plan needs, the HTTP server first so that the page
// can say what is being waited for. Services live until background ends.
func (e *Engine) open(ctx, background context.Context, services *errgroup.Group) error {
	e.phase.set("starting")
	steps := []struct {
		what string
		do   func(ctx context.Context) error
	}{
		{"opening the page", func(ctx context.Context) error { return e.openHTTP(ctx, background, services) }},
		{"starting embedded servers", e.openEmbedded},
		{"waiting for the log", e.openLog},
		{"opening the live charts", func(context.Context) error { return e.openLive(background, services) }},
		{"starting plugins", e.openMain},
		{"waiting for the sinks", func(ctx context.Context) error { return e.openParts(ctx, plan.SinkPart) }},
		{"opening sources", func(ctx context.Context) error { return e.openParts(ctx, plan.SourcePart) }},
		{"opening the dead letters", e.openRedrive},
	}
	for _, s := range steps {
		e.phase.set(s.what)
		start := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		e.Logger.Debug(s.what, "took", time.Since(start))
	}
	services.Go(func() error { return e.embedded.feed(background, e.Logger) })
	services.Go(func() error { return e.log.Run(background) })
	services.Go(func() error { return e.host.Follow(background) })
	return nil
}

// openMain opens the stages of the engine's own generation, and what they need.
func (e *Engine) openMain(ctx context.Context) error {
	attach, err := pluginhost.ParseAttach(os.Getenv(pluginhost.AttachEnv))
	if err != nil {
		return err
	}
	e.host = pluginhost.New(pluginhost.Config{
		Dir: e.Pipeline.Plugins.Dir, Trial: e.Pipeline.Plugins.Trial, Attach: attach, Logger: e.Logger.With("part", "plugins"),
		Told: e.marked.plugin,
	})
	e.hosting.Store(e.host)
	e.plugins.set(routed(pluginhost.Routes(e.host)))
	e.closers = append(e.closers, e.crew.close, e.host.Close)
	return e.openParts(ctx, plan.StagePart)
}

// openParts opens all parts of one kind.
func (e *Engine) openParts(ctx context.Context, kind plan.PartKind) error {
	d := *e.defined.Load()
	for _, id := range d.plan.Parts(kind) {
		p, err := e.openPart(ctx, d, kind, id, opening{say: e.phase.set})
		if err != nil {
			return err
		}
		e.crew.add(p)
	}
	return nil
}

// LogConfig describes the log of p as p's file does. Its URL is only one to connect
// to if the log is on a real server.
func LogConfig(p *spec.Pipeline, engineID string, logger *slog.Logger) stream.Config {
	return stream.Config{
		URL: p.LogAddress().Reveal(), Pipeline: p.Name, EngineID: engineID, Lanes: p.Lanes, Strict: p.Durability == spec.Strict,
		MaxBytes: int64(p.Log.MaxBytes), Retention: p.Log.Retention, RetentionBytes: int64(p.Log.RetentionBytes),
		DeadRetention: p.Log.DeadRetention, DeadAlarm: int64(p.Log.DeadAlarm),
		IdentityWindow: p.Log.IdentityWindow, Logger: logger.With("part", "log"),
	}
}

func (e *Engine) openLog(ctx context.Context) error {
	cfg := LogConfig(e.Pipeline, e.EngineID, e.Logger)
	cfg.URL, cfg.OnFatal = e.logURL(), e.fail
	log, err := stream.Open(ctx, cfg)
	if err != nil {
		return err
	}
	e.log = log
	e.closers = append(e.closers, log.Close)
	e.recorder.WatchLog(e.logStats)
	e.recorder.WatchQueues(e.queueStats)
	e.replayed.set(routed(replay.Routes(e.replays)))
	e.reloaded.set(routed(reload.Routes(e.reloads)))
	return log.EnsureStreams(ctx, e.Plan.StreamNames())
}

func (e *Engine) logStats() metrics.LogStats {
	s := e.log.Stats()
	out := metrics.LogStats{
		At: s.At, Bytes: s.Bytes, MaxBytes: s.MaxBytes, HoursLeft: s.HoursLeft, DeadLetters: s.DeadLetters, DeadLetterBytes: s.DeadBytes,
		DeadLetterAlarm: s.DeadAlarm, DeadLettersCut: s.DeadCut,
	}
	for _, r := range s.Readers {
		out.Readers = append(out.Readers, metrics.ReaderLag{
			Reader: r.Reader, Stream: r.Stream, Lane: r.Lane, Events: r.Events, Seconds: r.Seconds, Position: r.Position,
		})
	}
	return out
}
