package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("plugin node is closed")

// Transform is a plugin node: a [node.Transform] whose work is done by a process.
// It restarts the process when it crashes, hangs or breaks the contract; the
// unit that met this fails as [node.Unsure], the next one waits for the new
// process as long as its context allows.
type Transform struct {
	cfg   Config
	node  NodeConfig
	prog  *program
	stamp string // what outputs carry as their maker
	lanes []*lane

	mu      sync.Mutex
	current *instance     // guarded by mu; nil while there is none
	trouble error         // guarded by mu: why there is none
	changed chan struct{} // guarded by mu: closed when current changes

	restarts atomic.Uint64
	closing  chan struct{}
	close    sync.Once
	ended    chan struct{} // closed when the supervisor has returned
}

var _ node.Transform = (*Transform)(nil)

func startTransform(ctx context.Context, cfg Config, nc NodeConfig, prog *program) (*Transform, error) {
	t := &Transform{
		cfg: cfg, node: nc, prog: prog, stamp: prog.String(),
		changed: make(chan struct{}), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	for range max(nc.Lanes, 1) {
		t.lanes = append(t.lanes, &lane{t: t})
	}
	inst, err := launch(ctx, cfg, nc, prog)
	if err != nil {
		_ = prog.close() // it was read only
		return nil, fmt.Errorf("node %q: plugin %s@%s: %w", nc.Node, prog.Name, prog.Version, err)
	}
	t.set(inst, nil)
	go t.supervise(inst)
	return t, nil
}

// Binary returns the program that makes the node's outputs.
func (t *Transform) Binary() Binary { return t.prog.Binary }

// Restarts returns how often the process was started again.
func (t *Transform) Restarts() uint64 { return t.restarts.Load() }

// Process sends a unit through the plugin and returns what became of it. The
// outputs carry the plugin's name, version and hash. It waits while there is no
// process, until ctx ends; a unit that was sent has CallDeadline.
func (t *Transform) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	if in.Lane < 0 || in.Lane >= len(t.lanes) {
		return nil, node.AsFatal(fmt.Errorf("plugin %s: lane %d of %d", t.stamp, in.Lane, len(t.lanes)))
	}
	if len(in.Events) == 0 || ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	inst, err := t.ready(ctx)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", t.stamp, err)
	}
	results, err := t.lanes[in.Lane].process(ctx, inst, in)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", t.stamp, err)
	}
	return results, nil
}

// ready returns the running instance and waits for one while there is none.
func (t *Transform) ready(ctx context.Context) (*instance, error) {
	for {
		t.mu.Lock()
		inst, trouble, changed := t.current, t.trouble, t.changed
		t.mu.Unlock()
		if inst != nil && inst.why() == nil {
			return inst, nil
		}
		if inst != nil {
			trouble = inst.why()
		}
		select {
		case <-changed:
		case <-t.closing:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for its restart after: %w: %w", trouble, context.Cause(ctx))
		}
	}
}

func (t *Transform) set(inst *instance, trouble error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current, t.trouble = inst, trouble
	close(t.changed)
	t.changed = make(chan struct{})
}

// supervise owns the instances, one after another, until Close.
func (t *Transform) supervise(inst *instance) {
	defer close(t.ended)
	defer t.prog.close() // it was read only
	pause := t.cfg.BackoffFirst
	for inst != nil {
		started := time.Now()
		select {
		case <-t.closing:
			inst.retire(t.cfg.DrainTimeout)
			return
		case <-inst.gone:
		}
		inst.log.Error("plugin failed", "reason", inst.why(), "ran", time.Since(started).Round(time.Millisecond))
		t.set(nil, inst.why())
		inst.bury()
		if time.Since(started) > 2*t.cfg.BackoffMax {
			pause = t.cfg.BackoffFirst
		}
		inst = t.restart(&pause)
	}
}

// restart starts a new process, after a pause, as often as it takes. It returns
// nil when the transform is closed.
func (t *Transform) restart(pause *time.Duration) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-t.closing:
			cancel()
		case <-stop:
		}
	}()
	for {
		timer := time.NewTimer(*pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		*pause = min(2**pause, t.cfg.BackoffMax)
		inst, err := t.relaunch(ctx)
		if err == nil {
			t.restarts.Add(1)
			inst.log.Info("plugin restarted", "restarts", t.restarts.Load())
			t.set(inst, nil)
			return inst
		}
		if ctx.Err() == nil {
			t.cfg.Logger.Error("plugin does not start", "plugin", t.stamp, "node", t.node.Node, "error", err, "next_try", *pause)
			t.set(nil, err)
		}
	}
}

// relaunch starts the same program again, and no other.
func (t *Transform) relaunch(ctx context.Context) (*instance, error) {
	if err := t.prog.verify(); err != nil {
		return nil, err
	}
	return launch(ctx, t.cfg, t.node, t.prog)
}

// Status reports whether the plugin runs and answers: not ready while there is
// no process, while a unit has waited for more than half its deadline, and after
// a failed unit until one succeeds.
func (t *Transform) Status() node.Status {
	t.mu.Lock()
	inst, trouble := t.current, t.trouble
	t.mu.Unlock()
	if inst != nil {
		trouble = inst.why()
	}
	if trouble != nil {
		return node.Status{Reason: fmt.Sprintf("plugin %s is being restarted after: %v", t.stamp, trouble)}
	}
	for i, l := range t.lanes {
		if since := l.busyFor(time.Now()); since > t.cfg.CallDeadline/2 {
			return node.Status{Reason: fmt.Sprintf("plugin %s: no answer on lane %d for %s", t.stamp, i, since.Round(time.Second))}
		}
		if text := l.lastFailure(); text != "" {
			return node.Status{Reason: fmt.Sprintf("plugin %s: lane %d: %s", t.stamp, i, text)}
		}
	}
	return node.Status{Ready: true}
}

// Close ends the process: in order if it answers within DrainTimeout, else at
// once. It may be called more than once.
func (t *Transform) Close() error {
	t.close.Do(func() { close(t.closing) })
	<-t.ended
	return nil
}

// Busy reports whether a unit of the lane is at the plugin.
func (t *Transform) Busy(lane int) bool { return t.lanes[lane].began.Load() != 0 }

// PID returns the id of the running process, 0 while there is none.
func (t *Transform) PID() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil {
		return 0
	}
	return int(t.current.proc.pid.Load())
}
