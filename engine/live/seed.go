package live

import (
	"context"
	"time"
)

// seed fills the class's reducer with the window before its pump begins, and lets
// its viewers go on; false if ctx ends first, which ends them, too.
func (c *class) seed(ctx context.Context) bool {
	pause := retryFirst
	for ctx.Err() == nil {
		if c.key.reduction.px == 0 || c.reseed(ctx) == nil {
			close(c.seeded)
			return true
		}
		sleep(ctx, pause) // the log is away
		pause = min(2*pause, retryMost)
	}
	return false
}

// wait waits for the seed.
func (c *class) wait(ctx context.Context) error {
	select {
	case <-c.seeded:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reseed makes the reducer anew: from the hub's window if that reaches so far, else
// from the log.
func (c *class) reseed(ctx context.Context) error {
	how, h := c.key.reduction, c.hub
	r := newReducer(how)
	if how.span <= h.cfg.shortest().Milliseconds() {
		w := h.window(c.pass, 0, how.span)
		for _, one := range w.runs {
			for i := range one.t {
				r.add(one.series, one.t[i], one.v[i])
			}
		}
		c.use(r, w.at)
		return nil
	}
	here, to, _ := h.here()
	since := time.Now().Add(-time.Duration(how.span)*time.Millisecond - time.Minute).UnixMilli()
	_, err := h.scanLog(ctx, placesSince(since, to), to, func(_ []place, points []point) error {
		_, _, lines := h.here()
		c.reduce(r, []*tick{{points: points}}, lines)
		return nil
	})
	if err == nil {
		c.use(r, here)
	}
	return err
}

// use makes r, which holds everything up to t, the class's reducer.
func (c *class) use(r *reducer, t *tick) {
	r.take() // what is in it comes with the history
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reducer, c.reducedTo = r, t
	c.scan, c.sent, c.dropped = t.seq, t.seq, t.seq
	c.messages, c.bytes = nil, 0
	close(c.more)
	c.more = make(chan struct{})
}

// reduce adds the points of ticks that pass.
func (c *class) reduce(r *reducer, ticks []*tick, lines []*series) {
	for _, t := range ticks {
		for _, p := range t.points {
			if s := lines[p.series]; c.pass(s) {
				r.add(s, p.t, p.v)
			}
		}
	}
}

// advance brings the reducer up to the ticks and returns the columns that changed.
func (c *class) advance(ticks []*tick, lines []*series) []run {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reduce(c.reducer, ticks, lines)
	c.reducedTo = ticks[len(ticks)-1]
	return c.reducer.take()
}

// reducedNow is the reduced window and the tick up to which it goes.
func (c *class) reducedNow() view {
	_, _, lines := c.hub.here()
	c.mu.Lock()
	defer c.mu.Unlock()
	lines = lines[:c.reducedTo.series]
	return view{at: c.reducedTo, lines: c.passing(lines), runs: c.reducer.window()}
}
