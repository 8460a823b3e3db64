package runtime

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// runner does a part's work under its lease until ctx ends.
type runner func(ctx context.Context, lease *stream.Lease) error

// keeper runs one part under its lease. What runs can be exchanged between two
// units: the lease stays here meanwhile, so that no other engine takes the part over.
type keeper struct {
	engine *Engine
	name   string // of the lease

	mu      sync.Mutex
	work    runner             // guarded by mu
	halted  bool               // guarded by mu: nothing may run
	cancel  context.CancelFunc // guarded by mu: ends what runs; nil if nothing does
	lease   *stream.Lease      // guarded by mu; nil: another engine has it, or it is being asked for
	changed chan struct{}      // guarded by mu; closed and renewed at every change of the above
}

func (e *Engine) keeper(name string, work runner) *keeper {
	return &keeper{engine: e, name: name, work: work, changed: make(chan struct{})}
}

// keep runs one part under its lease until ctx ends.
func (e *Engine) keep(ctx context.Context, name string, work runner) { e.keeper(name, work).run(ctx) }

// Pauses before a part that ended with an error is started again.
const restartPause = 2 * time.Second

// run runs the part until ctx ends. A part whose lease is lost, or which fails, is
// started again once the lease is held anew.
func (k *keeper) run(ctx context.Context) {
	e := k.engine
	for ctx.Err() == nil {
		k.hold(errors.New("waiting for the lease, which another engine holds"))
		lease, err := e.log.Acquire(ctx, k.name)
		if err != nil {
			if ctx.Err() == nil {
				k.hold(err)
				e.Logger.Error("cannot acquire lease", "lease", k.name, "error", err)
				lifecycle.Sleep(ctx, restartPause)
			}
			continue
		}
		k.hold(nil)
		if err := k.under(ctx, lease); err != nil && ctx.Err() == nil {
			k.hold(err)
			e.Logger.Error("part ended, starting it again", "part", k.name, "class", node.ClassOf(err).String(), "error", err)
			lifecycle.Sleep(ctx, restartPause)
		}
	}
	k.hold(nil)
}

func (k *keeper) hold(reason error) { k.engine.recorder.Held(k.name, "", -1, reason) }

// under works until ctx ends, the lease is lost or the work fails.
func (k *keeper) under(ctx context.Context, lease *stream.Lease) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-lease.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	k.set(func() { k.lease = lease })
	defer k.set(func() { k.lease = nil })
	err := k.shifts(ctx, lease)
	release, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if rerr := lease.Release(release); rerr != nil {
		k.engine.Logger.Debug("lease not released, it will expire", "error", rerr)
	}
	return err
}

// shifts works until it is halted, again and again. Work that ends by itself without
// an error is begun anew with a new lease.
func (k *keeper) shifts(ctx context.Context, lease *stream.Lease) error {
	for {
		work, shift, end := k.begin(ctx)
		if work == nil {
			return nil
		}
		err := work(shift, lease)
		halted := shift.Err() != nil && ctx.Err() == nil
		end()
		if !halted {
			return err
		}
	}
}

// begin waits until the part may work; it returns no work if ctx ended first.
func (k *keeper) begin(ctx context.Context) (work runner, shift context.Context, end func()) {
	for {
		k.mu.Lock()
		if ctx.Err() != nil {
			k.mu.Unlock()
			return nil, nil, nil
		}
		if !k.halted {
			shift, cancel := context.WithCancel(ctx)
			k.cancel = cancel
			work = k.work
			k.mu.Unlock()
			return work, shift, func() {
				cancel()
				k.set(func() { k.cancel = nil })
			}
		}
		changed := k.changed
		k.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// set changes the state and wakes whoever waits for that.
func (k *keeper) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	close(k.changed)
	k.changed = make(chan struct{})
}

// halt ends the work between two units and returns when nothing runs any more. The
// lease stays here; it is nil if another engine has it.
func (k *keeper) halt(ctx context.Context) (*stream.Lease, error) {
	k.set(func() {
		k.halted = true
		if k.cancel != nil {
			k.cancel()
		}
	})
	for {
		k.mu.Lock()
		idle, lease, changed := k.cancel == nil, k.lease, k.changed
		k.mu.Unlock()
		if idle {
			return lease, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// resume lets the part work again: as work does, or as before if that is nil.
func (k *keeper) resume(work runner) {
	k.set(func() {
		k.halted = false
		if work != nil {
			k.work = work
		}
	})
}

// haltAtFirst lets the part ask for its lease and wait with it until it is resumed. It
// is called before run.
func (k *keeper) haltAtFirst() { k.set(func() { k.halted = true }) }

// held returns the lease, nil if another engine has it.
func (k *keeper) held() *stream.Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease
}
