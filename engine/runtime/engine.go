// Package runtime runs one pipeline: it opens the servers that the pipeline names
// (or their embedded stand-ins), starts what the plan lists, downstream first,
// and ends it upstream first. It is the only package that knows every part; it
// handles no event itself.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/reload"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/status"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/tap"
)

// Live is the generation of a pipeline's live run; its name is part of every
// reader's name.
const Live = "live"

// Config describes one run of a pipeline.
type Config struct {
	Pipeline *spec.Pipeline
	Plan     *plan.Plan
	EngineID string         // names this engine among several; default the host's name
	Listen   string         // host:port of the HTTP server; default 127.0.0.1:8080
	Access   httpapi.Access // who may ask it
	Version  string
	Logger   *slog.Logger

	// Generation other than "" or [Live] reads the journal from its start through
	// streams and positions of its own, and takes nothing in.
	Generation string

	// OnReload, if set, hears of every reload that was not asked for over HTTP. It must
	// not block for long.
	OnReload func(*reload.Result)

	// OnListening is called once, with the address that the HTTP server listens on.
	OnListening func(addr string)
}

// Engine is one run of a pipeline. Create it with [New] and call Run once.
type Engine struct {
	Config
	log      *stream.Log
	live     later // the live hub
	charts   later // its snapshots
	dlq      later // the dead letters
	taps     later // of what nodes hand on
	plugins  later // versions of plugins
	tapped   *tap.Taps
	reloaded later // the reloads' API
	host     *pluginhost.Host
	hosting  atomic.Pointer[pluginhost.Host] // host, once it is there
	recorder *metrics.Recorder
	does     *status.Source
	watched  *watched // what viewers may follow beside charts
	marked   markList
	embedded *embeddedServers
	defined  atomic.Pointer[definition] // what runs now
	crew     crew
	drawn    atomic.Pointer[drawing]  // what draws the charts now
	draw     func(*live.Hub) *drawing // runs a hub as long as the engine serves
	redrive  *redriver
	reloads  *reloader
	replays  *replays
	replayed later // the replays' API
	phase    phase
	fatal    chan error // capacity 1: the first reason to stop
	closers  []func() error
}

// New returns an engine that is ready to run; it starts nothing.
func New(c Config) (*Engine, error) {
	var err error
	if c.EngineID, err = defaultID(c.EngineID); err != nil {
		return nil, err
	}
	if c.Generation == "" {
		c.Generation = Live
	}
	if c.Generation != Live {
		c.EngineID += "@" + c.Generation // or it would take the live run's leases over
		c.Plan = c.Plan.For(c.Generation)
		c.Plan.Charts = nil
	}
	e := &Engine{Config: c, recorder: metrics.New(), fatal: make(chan error, 1)}
	e.defined.Store(&definition{c.Pipeline, c.Plan})
	e.does = e.status()
	e.marked.add("start", "engine "+c.Version+" began")
	e.reloads = newReloader(e)
	e.replays = &replays{engine: e, runs: map[string]*replayRun{}}
	return e, nil
}

// defaultID returns id, or the host's name if there is none.
func defaultID(id string) (string, error) {
	if id != "" {
		return id, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("engine id: %w", err)
	}
	return name, nil
}

// Run runs the pipeline until ctx ends, then drains: sources first, then stages,
// then sinks. It returns nil after a clean drain, and otherwise the reason why the
// pipeline could not go on. When it returns nothing that it started is left.
func (e *Engine) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.lock(); err != nil {
		return err
	}
	stopped, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go e.stopOnFatal(stopped, stop)

	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	var services errgroup.Group
	if err := e.open(stopped, background, &services); err != nil {
		endBackground()
		return errors.Join(cause(stopped, err), services.Wait())
	}
	e.phase.set("")
	e.runAll(stopped)
	endBackground()
	return errors.Join(cause(stopped, nil), services.Wait())
}

// cause returns why the run stopped: the fatal error if there is one, else err
// unless it only says that ctx ended, or for which server it was then waiting.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
		return c
	}
	if errors.Is(err, context.Canceled) || ctx.Err() != nil && node.ClassOf(err) == node.Away {
		return nil
	}
	return err
}

func (e *Engine) stopOnFatal(ctx context.Context, stop context.CancelCauseFunc) {
	select {
	case err := <-e.fatal:
		e.Logger.Error("pipeline stops", "reason", err)
		stop(err)
	case <-ctx.Done():
	}
}

// fail stops the pipeline; the first reason counts.
func (e *Engine) fail(err error) {
	select {
	case e.fatal <- err:
	default:
	}
}

// pipeline is the file that runs now, and plan what it is run by.
func (e *Engine) pipeline() *spec.Pipeline { return e.defined.Load().file }
func (e *Engine) plan() *plan.Plan         { return e.defined.Load().plan }

// runAll runs everything until ctx ends, and ends it upstream first.
func (e *Engine) runAll(ctx context.Context) {
	var replays, reloads sync.WaitGroup
	if e.Generation == Live {
		replays.Go(func() { e.keep(ctx, replaysLease, e.replays.run) })
		reloads.Go(func() { e.reloads.run(ctx) })
	} else {
		close(e.reloads.ended)
	}
	e.crew.run(ctx, reloads.Wait, func() {
		replays.Wait()
		e.redrive.close()
	})
}

func (e *Engine) close() error { return closeAll(e.closers) }

// closeAll closes what was opened last first.
func closeAll(closers []func() error) error {
	var errs []error
	for _, c := range slices.Backward(closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
