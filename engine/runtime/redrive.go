package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

// redriver drives dead letters again: for each failing node it runs, as long as
// events wait for it, a generation of its own (see [plan.Plan.Redrive]).
type redriver struct {
	engine *Engine
	ctx    context.Context    // ends with the engine's sources; changed only while nothing works
	cancel context.CancelFunc // ends ctx

	mu     sync.Mutex
	closed bool            // guarded by mu: nothing starts any more
	nodes  map[string]bool // guarded by mu: at work; true: look again for more before ending
	work   sync.WaitGroup
}

// openRedrive goes on with what waited when the engine ended last.
func (e *Engine) openRedrive(ctx context.Context) error {
	e.redrive = &redriver{engine: e, closed: true}
	e.dlq.set(routed(dlq.Routes(e.log, e.redrive, e.redactions)))
	return e.redrive.open(ctx)
}

// open begins, or goes on after [redriver.close], with what waits. ctx bounds all
// work.
func (r *redriver) open(ctx context.Context) error {
	e := r.engine
	r.mu.Lock()
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.nodes, r.closed = map[string]bool{}, false
	r.mu.Unlock()
	if e.Generation != Live {
		return nil
	}
	r.Follow()
	waiting, err := r.waiting(ctx)
	for id, events := range waiting {
		if e.pipeline().Node(id) == nil {
			e.Logger.Warn("dead letters wait to be driven again by a node that the pipeline has no more", "node", id, "events", events)
			continue
		}
		r.Drive(id)
	}
	return err
}

// waiting counts the events that wait for each node.
func (r *redriver) waiting(ctx context.Context) (map[string]int64, error) {
	found := map[string]int64{}
	for _, name := range r.engine.log.StreamNames() {
		id, ok := strings.CutSuffix(name, plan.StreamOf("", plan.Redriven))
		if !ok {
			continue
		}
		lag, err := r.engine.log.Lag(ctx, name, name)
		if err != nil {
			return nil, err
		}
		if lag > 0 {
			found[id] = lag
		}
	}
	return found, nil
}

// Prepare implements [dlq.Driver]: it makes the node's stream and its reader.
func (r *redriver) Prepare(ctx context.Context, id string) error {
	stream := plan.StreamOf(id, plan.Redriven)
	if err := r.engine.log.EnsureStreams(ctx, []string{stream}); err != nil {
		return err
	}
	return r.engine.log.RegisterReader(ctx, stream, stream, false)
}

// Knows implements [dlq.Driver].
func (r *redriver) Knows(id string) bool {
	_, ok := r.engine.plan().Redrive(id)
	return ok
}

// Entries implements [dlq.Driver]: the nodes that read source and lead to id, or
// are id.
func (r *redriver) Entries(source, id string) []string {
	graph := r.engine.pipeline().Graph()
	if !graph.Has(source) || !graph.Has(id) {
		return nil
	}
	apart := graph.Unused(id)
	return slices.DeleteFunc(graph.Outputs(source), func(n string) bool { return slices.Contains(apart, n) })
}

// Drive implements [dlq.Driver]: it sees to it that what waits for the node is
// driven. It does not wait.
func (r *redriver) Drive(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return // what waits is driven when the engine starts again
	}
	_, running := r.nodes[id]
	r.nodes[id] = running
	if !running {
		r.work.Go(func() { r.run(id) })
	}
}

// Follow implements [dlq.Driver].
func (r *redriver) Follow() {
	nodes := r.engine.pipeline().Nodes
	for i := range nodes {
		if n := &nodes[i]; n.Order == spec.Strict {
			r.Drive(n.ID)
		}
	}
}

// Lag implements [dlq.Driver].
func (r *redriver) Lag(ctx context.Context, id string) (int64, error) {
	name := plan.StreamOf(id, plan.Redriven)
	if !slices.Contains(r.engine.log.StreamNames(), name) {
		return 0, nil
	}
	return r.engine.log.Lag(ctx, name, name)
}

// Pause before a node whose small plan could not be opened is tried again.
const redrivePause = 5 * time.Second

func (r *redriver) run(id string) {
	for again := true; again; again = r.again(id) {
		done := false
		for !done && r.ctx.Err() == nil {
			var err error
			if done, err = r.once(id); err == nil {
				continue
			}
			r.held(id, err)
			r.engine.Logger.Error("cannot drive dead letters again", "node", id, "class", node.ClassOf(err).String(), "error", err)
			if !lifecycle.Sleep(r.ctx, redrivePause) {
				return
			}
		}
		r.held(id, nil)
	}
}

// once drives what waits for the node. It reports done if there was nothing: no
// event, and no letter of a node with strict order that waits for nothing any more.
func (r *redriver) once(id string) (done bool, err error) {
	if n := r.engine.pipeline().Node(id); n != nil && n.Order == spec.Strict {
		if err := dlq.Follow(r.ctx, r.engine.log, r, id); err != nil {
			return false, err
		}
	}
	lag, err := r.Lag(r.ctx, id)
	if err != nil || lag == 0 {
		return lag == 0, err
	}
	return false, r.generation(id)
}

func (r *redriver) held(id string, reason error) {
	r.engine.recorder.Held("redrive:"+id, "", -1, reason)
}

// again ends the node's run unless more was asked for meanwhile.
func (r *redriver) again(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nodes[id] {
		r.nodes[id] = false
		return true
	}
	delete(r.nodes, id)
	return false
}

// generation runs the node's small plan until nothing waits for it.
func (r *redriver) generation(id string) (err error) {
	e := r.engine
	small, ok := e.plan().Redrive(id)
	if !ok {
		return fmt.Errorf("the pipeline has no transform or sink %q", id)
	}
	if err := r.Prepare(r.ctx, id); err != nil {
		return err
	}
	g := &generation{Engine: e, name: plan.Redriven, spec: e.pipeline(), plan: small, say: func(what string) { r.held(id, errors.New(what)) }}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := errors.Join(g.openStages(r.ctx), g.openSinks(r.ctx)); err != nil {
		return cause(r.ctx, err)
	}
	r.held(id, nil)
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { g.run(ctx) })
	err = r.untilDriven(ctx, id)
	stop()
	work.Wait()
	return err
}

// driveCheck is how often is looked whether anything still waits.
const driveCheck = 100 * time.Millisecond

func (r *redriver) untilDriven(ctx context.Context, id string) error {
	for {
		lag, err := r.Lag(ctx, id)
		if err != nil && node.ClassOf(err) != node.Away {
			return err
		}
		if err == nil && lag == 0 || !lifecycle.Sleep(ctx, driveCheck) {
			return nil
		}
	}
}

// close ends what is at work and waits until nothing runs any more.
func (r *redriver) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
}
