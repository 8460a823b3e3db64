package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("plugin node is closed")

// Transform is a plugin node: a [node.Transform] whose work is done by a process.
// It restarts the process when it crashes, hangs or breaks the contract; the
// unit that met this fails as [node.Unsure], the next one waits for the new
// process as long as its context allows. A unit that comes again and costs a second
// process goes event by event through a process of its own: what fails there, too,
// is rejected, the rest has its outputs. Another version can take the place of the
// one at work while units pass; see [Host.Act].
type Transform struct {
	cfg   Config
	node  NodeConfig
	lanes []*lane
	leave func() // tells the host that the node is gone

	mu     sync.Mutex
	work   *worker // guarded by mu: that lanes go to, or are on their way to
	spare  *worker // guarded by mu: the version before, kept ready during a trial
	closed bool    // guarded by mu
}

var _ node.Transform = (*Transform)(nil)

func startTransform(ctx context.Context, cfg Config, nc NodeConfig, prog *registry.Program) (*Transform, error) {
	w, err := startWorker(ctx, cfg, nc, prog)
	if err != nil {
		return nil, err
	}
	t := &Transform{cfg: cfg, node: nc, work: w, leave: func() {}}
	for number := range max(nc.Lanes, 1) {
		t.lanes = append(t.lanes, newLane(number, w))
	}
	return t, nil
}

func (t *Transform) worker() *worker {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.work
}

// Binary returns the program that makes the node's outputs.
func (t *Transform) Binary() Binary { return t.worker().prog.Binary }

// Restarts returns how often the process was started again.
func (t *Transform) Restarts() uint64 { return t.worker().restarts.Load() }

// Process sends a unit through the plugin and returns what became of it. Outputs
// and rejects carry the name, version and hash of the plugin that made them, and so
// does an error ([node.MakerError]). It waits while there is no process, until ctx
// ends; a unit that was sent has CallDeadline.
func (t *Transform) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	if in.Lane < 0 || in.Lane >= len(t.lanes) {
		return nil, node.AsFatal(fmt.Errorf("plugin %s: lane %d of %d", t.node.Ref, in.Lane, len(t.lanes)))
	}
	if len(in.Events) == 0 || ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return t.lanes[in.Lane].process(ctx, in)
}

// Status reports whether the plugin runs and has finished a unit lately: not ready
// while there is no process, while a unit has waited for more than half its
// deadline, and after a failed unit until one succeeds. A plugin that no unit comes
// to is ready as long as it answers the question for its health.
func (t *Transform) Status() node.Status {
	w := t.worker()
	if trouble := w.status(); trouble != nil {
		return node.Status{Reason: fmt.Sprintf("plugin %s is being restarted after: %v", w.stamp, trouble)}
	}
	for i, l := range t.lanes {
		if since := l.busyFor(time.Now()); since > t.cfg.CallDeadline/2 {
			return node.Status{Reason: fmt.Sprintf("plugin %s: no answer on lane %d for %s", w.stamp, i, since.Round(time.Second))}
		}
		if text := l.lastFailure(); text != "" {
			return node.Status{Reason: fmt.Sprintf("plugin %s: lane %d: %s", w.stamp, i, text)}
		}
	}
	return node.Status{Ready: true}
}

// Close ends the process: in order if it answers within DrainTimeout, else at
// once. It may be called more than once.
func (t *Transform) Close() error {
	t.mu.Lock()
	t.closed = true
	workers := []*worker{t.work, t.spare}
	t.mu.Unlock()
	t.leave()
	for _, w := range workers {
		if w != nil {
			w.close()
		}
	}
	for _, l := range t.lanes {
		l.close()
	}
	return nil
}

// Busy reports whether a unit of the lane is at the plugin.
func (t *Transform) Busy(lane int) bool { return t.lanes[lane].began.Load() != 0 }

// PID returns the id of the running process, 0 while there is none.
func (t *Transform) PID() int { return t.worker().pid() }
