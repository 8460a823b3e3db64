package pluginhost

import (
	"fmt"
	"time"
)

// budget decides how long a worker waits before it starts its process again: a
// pause that doubles, and RestartPause each time once RestartBudget restarts within
// RestartWindow have not helped. A process that runs for RestartWindow fills it
// again. It belongs to one goroutine.
type budget struct {
	cfg   Config
	times []time.Time // of the restarts within the window, the oldest first
	pause time.Duration
	spent bool
}

func newBudget(cfg Config) *budget { return &budget{cfg: cfg, pause: cfg.BackoffFirst} }

// ended takes account of a process that has ended after it ran for so long.
func (b *budget) ended(ran time.Duration) {
	if ran > 2*b.cfg.BackoffMax {
		b.pause = b.cfg.BackoffFirst
	}
}

// refill is for a process that has run for RestartWindow.
func (b *budget) refill() { b.spent, b.times, b.pause = false, nil, b.cfg.BackoffFirst }

// charge takes a restart out of the budget and returns the pause before it, and
// whether this one is the first that it does not cover.
func (b *budget) charge(now time.Time) (pause time.Duration, first bool) {
	for len(b.times) > 0 && now.Sub(b.times[0]) > b.cfg.RestartWindow {
		b.times = b.times[1:]
	}
	if len(b.times) >= b.cfg.RestartBudget {
		first, b.spent = !b.spent, true
	}
	if b.spent {
		return b.cfg.RestartPause, first
	}
	b.times = append(b.times, now)
	pause = b.pause
	b.pause = min(2*b.pause, b.cfg.BackoffMax)
	return pause, false
}

// explain adds to what a process died of why the next one is long in coming.
func (b *budget) explain(trouble error) error {
	if !b.spent {
		return trouble
	}
	return fmt.Errorf("%w (%d restarts within %s did not help: tried again every %s)",
		trouble, b.cfg.RestartBudget, b.cfg.RestartWindow, b.cfg.RestartPause)
}
