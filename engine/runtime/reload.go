package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/reload"
	"github.com/millrace/millrace/engine/spec"
)

// reloader applies the engine's pipeline file again while the pipeline runs, one
// reload at a time (see [plan.Diff] for the order of its steps).
type reloader struct {
	engine *Engine
	asked  chan ask      // unbuffered: an ask is taken when the one before has been answered
	ended  chan struct{} // closed when nothing is reloaded any more
	settle time.Duration // what old parts have left must be read within that

	mu      sync.Mutex
	results []reload.Result // guarded by mu; newest first, at most keptResults
	count   int             // guarded by mu: reloads so far
}

// ask is one wish for a reload.
type ask struct {
	trigger string
	dry     bool
	answer  chan *reload.Result // capacity 1
}

var _ reload.Runner = (*reloader)(nil)

// keptResults is how many results are kept to be asked for.
const keptResults = 16

var errStopping = errors.New("the engine is stopping, nothing is reloaded any more")

func newReloader(e *Engine) *reloader {
	return &reloader{engine: e, asked: make(chan ask), ended: make(chan struct{}), settle: settleWithin}
}

// Reload applies the pipeline file that the engine was started with, as it is now. It
// waits until the engine runs. See [reload.Runner].
func (e *Engine) Reload(ctx context.Context, trigger string, dryRun bool) (*reload.Result, error) {
	return e.reloads.Reload(ctx, trigger, dryRun)
}

// Reload implements [reload.Runner].
func (r *reloader) Reload(ctx context.Context, trigger string, dryRun bool) (*reload.Result, error) {
	a := ask{trigger, dryRun, make(chan *reload.Result, 1)}
	select {
	case r.asked <- a:
	case <-r.ended:
		return nil, errStopping
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case result := <-a.answer:
		return result, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the reload goes on, see GET /api/v1/reload: %w", context.Cause(ctx))
	}
}

// Results implements [reload.Runner].
func (r *reloader) Results() []reload.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.results)
}

// run reloads when it is asked to, until ctx ends.
func (r *reloader) run(ctx context.Context) {
	defer close(r.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-r.asked:
			result := r.one(ctx, a)
			r.keep(result)
			a.answer <- result
		}
	}
}

// keep remembers a result and tells of it.
func (r *reloader) keep(result *reload.Result) {
	r.mu.Lock()
	r.results = append([]reload.Result{*result}, r.results[:min(len(r.results), keptResults-1)]...)
	r.mu.Unlock()
	e := r.engine
	e.recorder.Reloaded(string(result.Outcome))
	e.marked.add("reload", fmt.Sprintf("reload %s: %s", result.ID, result.Outcome))
	log := e.Logger.Info
	if result.Failed() {
		log = e.Logger.Error
	}
	log("reload", "id", result.ID, "outcome", result.Outcome, "trigger", result.Trigger, "file", result.File, "error", result.Error,
		"kept", result.Count(plan.Kept), "restarted", result.Count(plan.Restarted), "added", result.Count(plan.Added), "removed", result.Count(plan.Removed))
	if e.OnReload != nil && result.Trigger != reload.ByAPI {
		e.OnReload(result)
	}
}

// id names a reload in this engine and its logs.
func (r *reloader) id(at time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	return fmt.Sprintf("reload-%s-%d", at.UTC().Format("20060102T150405"), r.count)
}

// one does one reload from its file to its outcome.
func (r *reloader) one(ctx context.Context, a ask) *reload.Result {
	begun := time.Now()
	result := &reload.Result{ID: r.id(begun), Time: begun.UTC(), Trigger: a.trigger, File: r.engine.Pipeline.File, Nodes: []plan.NodeChange{}}
	defer func() { result.Seconds = time.Since(begun).Seconds() }()
	fail := func(outcome reload.Outcome, err error) *reload.Result {
		result.Outcome, result.Error = outcome, err.Error()
		return result
	}
	old := *r.engine.defined.Load()
	next, err := r.load()
	if err != nil {
		return fail(reload.Refused, err)
	}
	diff := plan.Compare(old.file, next.file, old.plan, next.plan)
	result.Nodes = diff.Nodes
	switch {
	case len(diff.Refused) > 0:
		return fail(reload.Refused, errors.New(strings.Join(diff.Refused, "\n")))
	case a.dry:
		result.Outcome = reload.Planned
		return result
	case !diff.Changes():
		r.engine.defined.Store(&next)
		result.Outcome = reload.Unchanged
		return result
	}
	x := newExchange(r.engine, old, next, diff)
	err = x.run(ctx)
	result.Paused, result.Notes = x.paused.Seconds(), x.notes
	switch {
	case err != nil && x.stopped:
		return fail(reload.RolledBack, err)
	case err != nil:
		return fail(reload.Refused, err)
	}
	result.Outcome = reload.Applied
	return result
}

// load reads and plans the engine's file. The error lists all that is wrong with it.
func (r *reloader) load() (definition, error) {
	file := r.engine.Pipeline.File
	if file == "-" || file == "" {
		return definition{}, errors.New("the pipeline was read from standard input, which cannot be read again; run it from a file")
	}
	p, diags := spec.Load(file, catalog.Builtin(), os.LookupEnv)
	return planned(p, diags)
}

// planned makes the plan of a file that was read. The error lists all that is wrong.
func planned(p *spec.Pipeline, diags []spec.Diagnostic) (definition, error) {
	var made *plan.Plan
	if p != nil {
		var more []spec.Diagnostic
		made, more = plan.Make(p)
		diags = append(diags, more...)
	}
	if made != nil {
		return definition{p, made}, nil
	}
	var lines []string
	for _, d := range diags {
		if d.Severity == spec.Error {
			lines = append(lines, d.String())
		}
	}
	return definition{}, errors.New(strings.Join(lines, "\n"))
}
