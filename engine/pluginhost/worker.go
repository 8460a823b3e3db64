package pluginhost

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// worker is one version of a plugin at work for a node: its program and the
// process that runs it, started again whenever it ends, until close.
type worker struct {
	cfg   Config
	node  NodeConfig
	prog  *registry.Program
	stamp string // what outputs carry as their maker
	log   *slog.Logger

	layouts  layouts     // of its keyed state
	recorded atomic.Bool // what it writes is noted in node.States

	mu      sync.Mutex
	current *instance     // guarded by mu; nil while there is none
	trouble error         // guarded by mu: why there is none
	changed chan struct{} // guarded by mu: closed when current changes

	tally    tally
	mishap   chan error // capacity 1: why a process was first lost
	restarts atomic.Uint64
	probing  chan struct{} // capacity 1: held by the probe at work, and for ever at the end
	closing  chan struct{}
	once     sync.Once
	ended    chan struct{} // closed when the supervisor has returned
}

// startWorker launches prog, which it owns from now on, and watches over it. An
// error leaves nothing behind.
func startWorker(ctx context.Context, cfg Config, nc NodeConfig, prog *registry.Program) (*worker, error) {
	inst, err := launch(ctx, cfg, nc, prog)
	if err != nil {
		_ = prog.Close() // it was read only
		return nil, fmt.Errorf("node %q: plugin %s@%s: %w", nc.Node, prog.Name, prog.Version, err)
	}
	w := &worker{
		cfg: cfg, node: nc, prog: prog, stamp: prog.String(), layouts: inst.layouts, current: inst, mishap: make(chan error, 1),
		log:     cfg.Logger.With("plugin", prog.Name+"@"+prog.Version, "node", nc.Node),
		changed: make(chan struct{}), probing: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	go w.supervise(inst)
	return w, nil
}

// running returns the instance that takes units, nil while there is none, and what
// is closed when that changes.
func (w *worker) running() (*instance, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil && w.current.why() == nil {
		return w.current, w.changed
	}
	return nil, w.changed
}

// wait waits until changed or moved is closed.
func (w *worker) wait(ctx context.Context, changed, moved <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-moved:
		return nil
	case <-w.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for its restart after: %w: %w", w.status(), context.Cause(ctx))
	}
}

func (w *worker) set(inst *instance, trouble error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current, w.trouble = inst, trouble
	close(w.changed)
	w.changed = make(chan struct{})
}

// supervise owns the instances, one after another, until Close.
func (w *worker) supervise(inst *instance) {
	defer close(w.ended)
	defer w.prog.Close() // it was read only
	defer func() { w.probing <- struct{}{} }()
	b := newBudget(w.cfg)
	for inst != nil {
		started := time.Now()
		if !w.outlive(inst, b) {
			inst.retire(w.cfg.DrainTimeout)
			return
		}
		ran := time.Since(started)
		b.ended(ran)
		w.tell(b, slog.LevelError, "plugin failed", "reason", inst.why(), "ran", ran.Round(time.Millisecond))
		select {
		case w.mishap <- inst.why():
		default:
		}
		inst.bury()
		inst = w.restart(b, inst.why())
	}
}

// outlive waits for the end of inst and reports whether it came before the worker's.
func (w *worker) outlive(inst *instance, b *budget) bool {
	steady := time.NewTimer(w.cfg.RestartWindow)
	defer steady.Stop()
	for {
		select {
		case <-steady.C:
			if b.spent {
				w.log.Info("plugin is steady again", "ran", w.cfg.RestartWindow)
			}
			b.refill()
		case <-w.closing:
			return false
		case <-inst.gone:
			return true
		}
	}
}

// tell logs what happens to a process; once the budget is spent it has been said.
func (w *worker) tell(b *budget, level slog.Level, text string, args ...any) {
	if b.spent {
		level = slog.LevelDebug
	}
	w.log.Log(context.Background(), level, text, args...)
}

// restart starts a new process, after a pause, as often as it takes. It returns
// nil when the worker is closed.
func (w *worker) restart(b *budget, trouble error) *instance {
	ctx, release := w.untilClosed(context.Background())
	defer release()
	for {
		pause, first := b.charge(time.Now())
		w.set(nil, b.explain(trouble))
		if first {
			w.log.Error("plugin is given rest", "reason", b.explain(trouble))
		}
		if !lifecycle.Sleep(ctx, pause) {
			return nil
		}
		inst, err := w.relaunch(ctx)
		if err == nil {
			w.restarts.Add(1)
			w.tell(b, slog.LevelInfo, "plugin restarted", "restarts", w.restarts.Load())
			w.set(inst, nil)
			return inst
		}
		trouble = err
		if ctx.Err() == nil {
			w.tell(b, slog.LevelError, "plugin does not start", "error", err)
		}
	}
}

// untilClosed returns a context that ends with ctx and with the worker. release
// must be called.
func (w *worker) untilClosed(ctx context.Context) (closed context.Context, release func()) {
	closed, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-w.closing:
			cancel(ErrClosed)
		case <-closed.Done():
		}
	}()
	return closed, func() { cancel(nil) }
}

// relaunch starts the same program again, and no other.
func (w *worker) relaunch(ctx context.Context) (*instance, error) {
	if err := w.prog.Verify(); err != nil {
		return nil, err
	}
	return launch(ctx, w.cfg, w.node, w.prog)
}

// status returns why the worker cannot take units, nil when it can.
func (w *worker) status() error {
	w.mu.Lock()
	inst, trouble := w.current, w.trouble
	w.mu.Unlock()
	if inst != nil {
		return inst.why()
	}
	return trouble
}

// close ends the process: in order if it answers within DrainTimeout, else at
// once. It may be called more than once.
func (w *worker) close() {
	w.once.Do(func() { close(w.closing) })
	<-w.ended
}

// pid returns the id of the running process, 0 while there is none.
func (w *worker) pid() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current == nil {
		return 0
	}
	return int(w.current.proc.pid.Load())
}
