// Package lifecycle holds the moves that everything that runs until a context ends
// has in common: finishing work already taken, pausing without outliving the context,
// and resting between portions of work. It starts no goroutine that nobody ends.
package lifecycle

import (
	"context"
	"errors"
	"time"
)

// ErrDrainTimeout is the cause of a work context whose time to finish is over.
var ErrDrainTimeout = errors.New("drain time is over")

// Drainable returns a context for finishing work already taken: it outlives ctx by
// d, then ends with cause [ErrDrainTimeout]. Call done when the work is over; done
// may be called more than once.
func Drainable(ctx context.Context, d time.Duration) (work context.Context, done func()) {
	work, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if Sleep(work, d) {
			kill(ErrDrainTimeout)
		}
	})
	return work, func() {
		stop()
		kill(context.Canceled)
	}
}

// Sleep waits for d and reports whether ctx is still alive.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
