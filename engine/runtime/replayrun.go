package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/replay"
	sqlsink "github.com/millrace/millrace/engine/sink/sql"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// replayRun is one replay at work.
type replayRun struct {
	engine *Engine
	rec    *replay.Replay
	gate   *gate
	wanted atomic.Pointer[string]
	counts map[string]*atomic.Int64 // events by sink
	charts atomic.Pointer[live.Hub] // while it runs
}

func newReplayRun(e *Engine, rec *replay.Replay) *replayRun {
	return &replayRun{
		engine: e, rec: rec, counts: map[string]*atomic.Int64{},
		gate: &gate{rate: rec.Rate, behind: e.liveIsBehind, paused: rec.State == replay.Paused},
	}
}

// liveIsBehind reports whether a live reader is late, as the log has seen it last.
func (e *Engine) liveIsBehind() bool {
	return slices.ContainsFunc(e.log.Stats().Readers, func(r stream.ReaderStats) bool {
		return r.Seconds > behindAfter.Seconds() && strings.HasSuffix(r.Reader, "@"+Live)
	})
}

// want notes what a user wants of the replay; "" is nothing new.
func (r *replayRun) want(state string) {
	if state != "" {
		r.wanted.Store(&state)
	}
}

func (r *replayRun) wish() string {
	if w := r.wanted.Load(); w != nil {
		return *w
	}
	return ""
}

// run runs the replay until it is over or ctx ends; it then goes on another time.
func (r *replayRun) run(ctx context.Context) {
	log := r.engine.Logger.With("replay", r.rec.Name)
	if !r.rec.Over() {
		r.engine.marked.add("replay", fmt.Sprintf("replay %s runs", r.rec.Name))
		log.Info("replay runs", "generation", r.rec.Generation, "events", r.rec.Total())
		err := r.attempt(ctx)
		if ctx.Err() != nil && !r.rec.Over() {
			return
		}
		if err != nil {
			r.rec.State, r.rec.Error = replay.Failed, err.Error()
		}
		r.rec.Ended = time.Now().UTC()
		r.engine.marked.add("replay", fmt.Sprintf("replay %s: %s", r.rec.Name, r.rec.State))
		log.Info("replay has ended", "state", r.rec.State, "error", r.rec.Error)
	}
	r.until(ctx, "write down how it ended", r.save)
	r.until(ctx, "clear up", r.forget)
	r.rec.Cleared = true
	r.until(ctx, "write down that it is cleared up", r.save)
}

// until does something again and again until it succeeds or ctx ends.
func (r *replayRun) until(ctx context.Context, what string, do func(context.Context) error) {
	for ctx.Err() == nil {
		err := do(ctx)
		if err == nil {
			return
		}
		r.engine.Logger.Warn("replay waits, trying again", "replay", r.rec.Name, "for", what, "error", err)
		lifecycle.Sleep(ctx, restartPause)
	}
}

func (r *replayRun) save(ctx context.Context) error { return replay.Save(ctx, r.engine.log, r.rec) }

// attempt opens the replay's generation and runs it to its end. A replay that cannot
// be opened has failed; one that was broken off by ctx has not.
func (r *replayRun) attempt(ctx context.Context) (err error) {
	g, err := r.generation()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := r.open(ctx, g); err != nil {
		return err
	}
	hub, err := r.engine.hub(g.plan.Charts)
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	parts.Go(func() { g.run(work) })
	parts.Go(func() {
		r.charts.Store(hub)
		defer r.charts.Store(nil)
		_ = hub.Run(work) // it ends with the replay
	})
	state := r.watch(ctx)
	stop()
	parts.Wait()
	if state == replay.Done {
		err = r.results(ctx, g)
	}
	if state != "" && err == nil {
		r.rec.State = state
	}
	return err
}

// generation makes the replay's generation; it opens nothing.
func (r *replayRun) generation() (*generation, error) {
	p, made, err := r.engine.planOf(&r.rec.Request)
	if err != nil {
		return nil, err
	}
	g := &generation{
		Engine: r.engine, name: r.rec.Generation, spec: p, plan: made.For(r.rec.Generation),
		stretch: &stretch{gate: r.gate}, replay: r,
	}
	g.say = func(what string) { r.engine.recorder.Held("replay@"+r.rec.Generation, "", -1, errors.New(what)) }
	for _, l := range r.rec.Stretch {
		g.stretch.after = append(g.stretch.after, l.From.At)
		g.stretch.until = append(g.stretch.until, l.To.At)
	}
	return g, nil
}

// pin makes the replay's streams and gives its readers their places: from then on
// nothing of its stretch is trimmed.
func (r *replayRun) pin(ctx context.Context) error {
	g, err := r.generation()
	if err != nil {
		return err
	}
	if err := g.log.EnsureStreams(ctx, g.plan.StreamNames()); err != nil {
		return err
	}
	for _, in := range g.inputs() {
		if err := g.register(ctx, in.id, in.stream, false); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayRun) open(ctx context.Context, g *generation) error {
	err := g.patiently(ctx, "streams of the replay", func() error { return r.pin(ctx) })
	if err == nil {
		err = g.openStages(ctx)
	}
	if err == nil {
		err = r.stateful(g)
	}
	if err == nil {
		err = g.openSinks(ctx)
	}
	r.engine.recorder.Held("replay@"+r.rec.Generation, "", -1, nil)
	return err
}

// stateful refuses to begin in the middle where states would be wrong: those of a
// replay are empty at its start.
func (r *replayRun) stateful(g *generation) error {
	whole := !slices.ContainsFunc(r.rec.Stretch, func(l replay.Lane) bool { return l.From.At.Seq > 0 })
	for _, s := range g.stages {
		for _, n := range s.nodes {
			if _, ok := node.StatefulOf(n.Transform); ok && !whole && r.rec.Mode == replay.Live {
				return fmt.Errorf("node %q keeps states, which begin empty: a live replay through it must begin at the journal's very start, and that is trimmed or was not asked for (--from earliest)", n.ID)
			}
		}
	}
	return nil
}

// watch waits until the replay is done or stopped and returns which, "" if ctx ended.
func (r *replayRun) watch(ctx context.Context) string {
	for {
		if r.obey(ctx) == replay.Stopped {
			return replay.Stopped
		}
		if at, err := r.progress(ctx); err == nil && at.done {
			return replay.Done
		}
		if !lifecycle.Sleep(ctx, replayTick) {
			return ""
		}
	}
}

// obey does what the user wants, and stops a replay that was paused for too long.
func (r *replayRun) obey(ctx context.Context) (state string) {
	state = r.rec.State
	wish := r.wish()
	switch {
	case wish == replay.Stopped:
		return replay.Stopped
	case state == replay.Paused && time.Since(r.rec.PausedAt) > pausedAtMost:
		r.rec.Error = stoppedPaused
		return replay.Stopped
	case wish == "" || wish == state:
		return state
	}
	r.gate.pause(wish == replay.Paused)
	r.rec.State, r.rec.PausedAt = wish, time.Time{}
	if wish == replay.Paused {
		r.rec.PausedAt = time.Now().UTC()
	}
	if err := r.save(ctx); err != nil {
		r.engine.Logger.Warn("cannot keep the state of the replay", "replay", r.rec.Name, "error", err)
	}
	return wish
}

// came is how far a replay has come.
type came struct {
	read, waiting int64
	done          bool
}

// progress asks the log. Streams are asked in the order in which events go through
// them: what was not waiting in one cannot have come from one asked before.
func (r *replayRun) progress(ctx context.Context) (came, error) {
	g, err := r.generation()
	if err != nil {
		return came{}, err
	}
	at := came{read: r.rec.Total(), done: true}
	for _, in := range g.inputs() {
		if in.stream == stream.Journal {
			read, done, err := r.journal(ctx, g.reader(in.id))
			if err != nil {
				return at, err
			}
			at.read, at.done = min(at.read, read), at.done && done
			continue
		}
		lag, err := g.log.Lag(ctx, g.reader(in.id), in.stream)
		if err != nil {
			return at, err
		}
		at.waiting += lag
	}
	at.done = at.done && at.waiting == 0
	return at, nil
}

// input is a stream that a stage or sink reads.
type input struct{ id, stream string }

// inputs lists what is read, the journal first, then as events go.
func (g *generation) inputs() (list []input) {
	for _, s := range g.plan.Stages {
		for _, name := range s.Inputs {
			list = append(list, input{s.ID, name})
		}
	}
	for _, s := range g.plan.Sinks {
		for _, name := range streamsOf(s.Edges) {
			list = append(list, input{s.ID, name})
		}
	}
	return list
}

// journal returns how many events of the stretch a reader has passed, and whether
// that is all.
func (r *replayRun) journal(ctx context.Context, reader string) (read int64, done bool, err error) {
	done = true
	for lane, l := range r.rec.Stretch {
		at, err := r.engine.log.Position(ctx, reader, stream.Journal, lane)
		if err != nil {
			return 0, false, err
		}
		if at.Seq >= l.To.At.Seq {
			read += max(l.To.Events-l.From.Events, 0)
			continue
		}
		done = false
		mark, err := r.engine.log.MarkAt(ctx, stream.Journal, lane, at)
		if err != nil {
			return 0, false, err
		}
		read += max(mark.Events-l.From.Events, 0)
	}
	return read, done, nil
}

// results counts and compares what the sinks have got.
func (r *replayRun) results(ctx context.Context, g *generation) error {
	letters, err := dlq.List(ctx, g.log, dlq.Filter{Generation: g.name}, "", 0)
	if err != nil {
		return err
	}
	r.rec.Results, r.rec.Letters = nil, letters.Total
	for _, s := range g.sinks {
		facts := replay.SinkFacts{Sink: s.plan.ID, Events: r.counts[s.plan.ID].Load()}
		if sink, ok := inner(s.sink).(*sqlsink.Sink); ok && r.rec.Mode != replay.Live {
			live := s.plan.Spec.With.(*sqlsink.Options).Table
			facts.Table = r.table(live)
			compared, err := sink.Compare(ctx, live, sqlsink.CompareOptions{
				Tolerance: r.rec.Tolerance, Partial: r.rec.Node != "" || r.rec.Key != "" || r.rec.EventTime != "",
			})
			if err != nil {
				return fmt.Errorf("compare %s with %s: %w", facts.Table, live, err)
			}
			if facts.Comparison, err = json.Marshal(compared); err != nil {
				return fmt.Errorf("compare %s with %s: %w", facts.Table, live, err)
			}
		}
		r.rec.Results = append(r.rec.Results, facts)
	}
	return nil
}

// table names the replay's own table in the place of a live one.
func (r *replayRun) table(live string) string { return live + "__replay_" + r.rec.Name }

// sqlConfig makes a live sink's configuration the replay's.
func (r *replayRun) sqlConfig(cfg sqlsink.Config) sqlsink.Config {
	if r.rec.Mode == replay.Live {
		cfg.Overwrite = r.rec.Overwrite
		return cfg
	}
	cfg.Like, cfg.Options.Table = cfg.Options.Table, r.table(cfg.Options.Table)
	return cfg
}

// forget removes the replay's places, streams, states and, of mode none, tables.
func (r *replayRun) forget(ctx context.Context) error {
	g, err := r.generation()
	if err != nil { // its file is none any more, such as for want of a variable
		return r.engine.log.ForgetGeneration(ctx, r.rec.Generation, nil)
	}
	var nodes []string
	for _, s := range g.plan.Stages {
		for _, n := range s.Nodes {
			nodes = append(nodes, n.ID)
		}
	}
	if err := g.log.ForgetGeneration(ctx, r.rec.Generation, nodes); err != nil {
		return err
	}
	if r.rec.Mode == replay.None {
		if _, err := dlq.Drop(ctx, g.log, dlq.Filter{Generation: g.name}, false); err != nil {
			return err
		}
	}
	return r.eachTable(ctx, g, func(s *sqlsink.Sink) error {
		if r.rec.Mode == replay.None {
			return errors.Join(s.Forget(ctx), s.DropTable(ctx))
		}
		return s.Forget(ctx)
	})
}

// dropTables drops the shadow tables.
func (r *replayRun) dropTables(ctx context.Context) error {
	g, err := r.generation()
	if err != nil || r.rec.Mode != replay.Shadow {
		return nil
	}
	return r.eachTable(ctx, g, func(s *sqlsink.Sink) error { return s.DropTable(ctx) })
}

// eachTable opens every SQL sink of the replay for do.
func (r *replayRun) eachTable(ctx context.Context, g *generation, do func(*sqlsink.Sink) error) error {
	for _, s := range g.plan.Sinks {
		opts, ok := s.Spec.With.(*sqlsink.Options)
		if !ok {
			continue
		}
		sink, err := sqlsink.Open(ctx, g.sqlConfig(s, opts))
		if node.ClassOf(err) == node.Fatal { // then the replay could not fill it either
			r.engine.Logger.Warn("cannot open a sink to clear up after the replay", "replay", r.rec.Name, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(do(sink), sink.Close()); err != nil {
			return err
		}
	}
	return nil
}

// filled reports whether a replay of this kind fills the sink.
func filled(req *replay.Request, n *spec.Node) bool {
	switch {
	case len(req.Sinks) > 0:
		return slices.Contains(req.Sinks, n.ID)
	case plan.IsChart(n):
		return req.Mode == replay.Shadow
	}
	return n.Type != nil && n.Type.Idempotent
}
