package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/replay"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// replays runs the replays that the log keeps, those of earlier runs included. Of
// several engines of a pipeline the one with the lease runs them; each answers.
type replays struct {
	engine *Engine

	mu   sync.Mutex
	runs map[string]*replayRun // by name; guarded by mu
}

var _ replay.Runner = (*replays)(nil)

const (
	replayTick    = 250 * time.Millisecond // how often wishes are looked at
	pausedAtMost  = 24 * time.Hour         // a paused replay pins the journal
	replaysLease  = "replays@" + Live
	stoppedPaused = "it was paused for longer than " + "24 hours, and kept the journal from being trimmed"
)

// run runs replays under lease until ctx ends.
func (r *replays) run(ctx context.Context, _ *stream.Lease) error {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		all, err := replay.All(ctx, r.engine.log)
		if err != nil && ctx.Err() == nil {
			r.engine.Logger.Warn("cannot look at the replays", "error", err)
		}
		for _, w := range all {
			if !w.Cleared {
				r.tend(ctx, &work, w)
			}
		}
		if !lifecycle.Sleep(ctx, replayTick) {
			return nil
		}
	}
}

// tend starts a replay that does not run here yet, and hands the user's wish on.
func (r *replays) tend(ctx context.Context, work *sync.WaitGroup, w replay.Wanted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.runs[w.Name]
	if run == nil {
		run = newReplayRun(r.engine, w.Replay)
		r.runs[w.Name] = run
		work.Go(func() {
			run.run(ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.runs, w.Name)
		})
	}
	run.want(w.Want)
}

// Start implements [replay.Runner].
func (r *replays) Start(ctx context.Context, req replay.Request) (*replay.Status, error) {
	now := time.Now()
	if err := req.Check(now); err != nil {
		return nil, replay.Mistake{Err: err}
	}
	if req.Text == "" { // the plan that runs, as it is now: a reload must not change the replay
		running := r.engine.pipeline()
		req.File, req.Text = filepath.Base(running.File), running.Text()
	}
	if _, err := replay.Get(ctx, r.engine.log, req.Name); err == nil {
		return nil, replay.Mistake{Err: fmt.Errorf("there is a replay %q: take another --name, or remove it with engine replay rm %[1]s", req.Name)}
	} else if !errors.Is(err, replay.ErrNone) {
		return nil, err
	}
	if _, _, err := r.engine.planOf(&req); err != nil {
		return nil, replay.Mistake{Err: err}
	}
	rec := &replay.Replay{Request: req, Generation: replay.GenerationOf(req.Name, now), Begun: now.UTC(), State: replay.Running}
	if req.Paused {
		rec.State, rec.PausedAt = replay.Paused, now.UTC()
	}
	from, to := req.Bounds(now)
	for lane := range r.engine.log.Lanes() {
		first, err1 := r.engine.log.MarkBefore(ctx, stream.Journal, lane, from)
		last, err2 := r.engine.log.MarkBefore(ctx, stream.Journal, lane, to)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		rec.Stretch = append(rec.Stretch, replay.Lane{From: first, To: last})
	}
	// Kept first: whatever happens from here on, somebody knows that it is to be cleared up.
	run := newReplayRun(r.engine, rec)
	if err := errors.Join(run.save(ctx), run.pin(ctx)); err != nil {
		return nil, err
	}
	return r.Status(ctx, req.Name)
}

// planOf makes the plan of a request: its file's, without what it leaves out. The
// error lists all that is wrong with the file.
func (e *Engine) planOf(req *replay.Request) (*spec.Pipeline, *plan.Plan, error) {
	d, err := planned(spec.Parse(req.File, []byte(req.Text), catalog.Builtin(), os.LookupEnv))
	if err != nil {
		return nil, nil, err
	}
	p := d.file
	if err := e.fits(req, p); err != nil {
		return nil, nil, err
	}
	kept := d.plan.Only(keptNodes(req, p))
	if len(kept.Sinks)+len(kept.Charts) == 0 {
		return nil, nil, errors.New("no sink is left of the plan: see --node and --sink")
	}
	return p, kept, nil
}

// fits refuses a file whose replay would not be one of this engine's journal.
func (e *Engine) fits(req *replay.Request, p *spec.Pipeline) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.Name != e.pipeline().Name {
		bad("%s is pipeline %q, the engine runs %q", req.File, p.Name, e.pipeline().Name)
	}
	if p.Lanes != e.pipeline().Lanes {
		bad("%s says lanes: %d, the journal has %d", req.File, p.Lanes, e.pipeline().Lanes)
	}
	for _, id := range append([]string{req.Node}, req.Sinks...) {
		if id != "" && p.Node(id) == nil {
			bad("%s has no node %q", req.File, id)
		}
	}
	if len(errs) == 0 && req.Mode == replay.Live {
		errs = append(errs, e.sameNodes(req, p))
	}
	return errors.Join(errs...)
}

// sameNodes refuses a live replay through other nodes than those that made the rows:
// event ids follow from node ids, and every row would come a second time.
func (e *Engine) sameNodes(req *replay.Request, p *spec.Pipeline) error {
	running := e.pipeline()
	theirs, ours := keptNodes(req, p), keptNodes(req, running)
	var errs []error
	for i := range p.Nodes {
		if id := p.Nodes[i].ID; theirs(id) && (running.Node(id) == nil || !ours(id)) {
			errs = append(errs, fmt.Errorf("node %q does not stand there in the running pipeline: a live replay through it would store rows anew; use --sinks shadow", id))
		}
	}
	for i := range running.Nodes {
		if id := running.Nodes[i].ID; ours(id) && !theirs(id) {
			errs = append(errs, fmt.Errorf("node %q of the running pipeline is missing: a live replay without it would store rows anew; use --sinks shadow", id))
		}
	}
	return errors.Join(errs...)
}

// keptNodes tells the nodes of p that a replay runs: those between the sources and
// the sinks that it fills and, if a node is named, on a way through that node.
func keptNodes(req *replay.Request, p *spec.Pipeline) func(id string) bool {
	graph := p.Graph()
	var sinks []string
	for i := range p.Nodes {
		if n := &p.Nodes[i]; n.Sink != "" && filled(req, n) {
			sinks = append(sinks, n.ID)
		}
	}
	kept := map[string]bool{}
	if req.Node != "" && !graph.Has(req.Node) {
		return func(string) bool { return false }
	}
	for _, id := range missingFrom(graph.Nodes(), graph.Unused(sinks...)) {
		kept[id] = true
	}
	if req.Node != "" {
		above := missingFrom(graph.Nodes(), graph.Unused(req.Node))
		below := missingFrom(graph.Nodes(), graph.Unreachable(req.Node))
		way := map[string]bool{}
		for _, id := range append(above, below...) {
			way[id] = kept[id]
		}
		kept = way
	}
	return func(id string) bool { return kept[id] }
}

// missingFrom lists the names that are not in others.
func missingFrom(names, others []string) (list []string) {
	skip := map[string]bool{}
	for _, o := range others {
		skip[o] = true
	}
	for _, n := range names {
		if !skip[n] {
			list = append(list, n)
		}
	}
	return list
}

// serveLive serves the charts of the replay that the query names, while it runs.
func (r *replays) serveLive(w http.ResponseWriter, q *http.Request) {
	query := q.URL.Query()
	name := query.Get("replay")
	r.mu.Lock()
	run := r.runs[name]
	r.mu.Unlock()
	if run != nil {
		if hub := run.charts.Load(); hub != nil {
			query.Del("replay")
			q = q.Clone(q.Context())
			q.URL.RawQuery = query.Encode()
			hub.ServeHTTP(w, q)
			return
		}
	}
	if found, err := replay.Get(q.Context(), r.engine.log, name); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
	} else if found.Over() {
		w.WriteHeader(http.StatusNoContent) // a viewer does not come again
	} else {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the replay is starting", http.StatusServiceUnavailable)
	}
}

// List implements [replay.Runner].
func (r *replays) List(ctx context.Context) ([]replay.Status, error) {
	all, err := replay.All(ctx, r.engine.log)
	var list []replay.Status
	for _, w := range all {
		s, wrong := r.statusOf(ctx, w)
		list, err = append(list, *s), errors.Join(err, wrong)
	}
	return list, err
}

// Status implements [replay.Runner].
func (r *replays) Status(ctx context.Context, name string) (*replay.Status, error) {
	w, err := replay.Get(ctx, r.engine.log, name)
	if err != nil {
		return nil, err
	}
	return r.statusOf(ctx, w)
}

func (r *replays) statusOf(ctx context.Context, w replay.Wanted) (*replay.Status, error) {
	s := &replay.Status{Replay: *w.Replay, Events: w.Total()}
	s.Text = "" // the file is long, and whoever asks knows it
	if w.State == replay.Done {
		s.Read = s.Events
	}
	if w.Over() {
		return s, nil
	}
	for _, h := range r.engine.recorder.Holds() {
		if strings.Contains(h.Stage, "@"+w.Generation) {
			s.Held = append(s.Held, h.Stage+": "+h.Reason)
		}
	}
	at, err := newReplayRun(r.engine, w.Replay).progress(ctx)
	if err != nil { // its places may just have been forgotten, because it is over
		if now, wrong := replay.Get(ctx, r.engine.log, w.Name); wrong == nil && now.Over() {
			return r.statusOf(ctx, now)
		}
	}
	s.Read, s.Waiting = at.read, at.waiting
	return s, err
}

// Want implements [replay.Runner].
func (r *replays) Want(ctx context.Context, name, state string) error {
	w, err := replay.Get(ctx, r.engine.log, name)
	if err != nil {
		return err
	}
	if w.Over() {
		return replay.Mistake{Err: fmt.Errorf("replay %q has ended: %s", name, w.State)}
	}
	return replay.Want(ctx, r.engine.log, name, state)
}

// Remove implements [replay.Runner].
func (r *replays) Remove(ctx context.Context, name string) error {
	w, err := replay.Get(ctx, r.engine.log, name)
	if err != nil {
		return err
	}
	if !w.Cleared {
		return replay.Mistake{Err: fmt.Errorf("replay %q has not ended: stop it first", name)}
	}
	if err := newReplayRun(r.engine, w.Replay).dropTables(ctx); err != nil {
		return err
	}
	return replay.Drop(ctx, r.engine.log, name)
}
