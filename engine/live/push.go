package live

import (
	"context"
	"runtime"
	"slices"
	"time"
)

const (
	crowd  = 128 // viewers from which on a class waits for its turn to write to them
	breath = 8   // viewers after which it lets others run: the pipeline goes before
)

// The class writes to viewers that have a connection of their own, one after the other,
// as long as they take what comes at once: no viewer wakes up, and no one waits for
// another. Whoever takes less gets the rest from its own goroutine. A viewer's turn is
// held by whoever writes to it.

// enlist lets the class write to the viewer from now on, whenever its turn is free.
func (c *class) enlist(v *viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v.slot = len(c.direct)
	c.direct = append(c.direct, v)
}

// discharge ends that, if it has begun.
func (c *class) discharge(v *viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.slot >= len(c.direct) || c.direct[v.slot] != v {
		return
	}
	last := len(c.direct) - 1
	c.direct[v.slot] = c.direct[last]
	c.direct[v.slot].slot = v.slot
	c.direct[last] = nil
	c.direct = c.direct[:last]
}

// inTurn calls f, which writes to all. Of the classes that write to many, as many do so
// at a time as there are processors: each builds its frame when its turn has come, of what
// is new by then, so that no viewer's frame grows old behind the writes to all the others.
func (c *class) inTurn(f func()) {
	if c.crowded() {
		c.hub.floor <- struct{}{}
		defer func() { <-c.hub.floor }()
	}
	f()
}

func (c *class) crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.direct) >= crowd
}

// broadcast calls push for every viewer that the class writes to.
func (c *class) broadcast(push func(v *viewer)) {
	c.mu.Lock()
	list := slices.Clone(c.direct)
	c.mu.Unlock()
	for i, v := range list {
		if push(v); i%breath == 0 {
			runtime.Gosched()
		}
	}
}

// beat writes a ping for all every so often.
func (c *class) beat(ctx context.Context) {
	tick := time.NewTicker(c.hub.cfg.Ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.inTurn(func() {
				body := c.hub.ping(c.key.wire) // now: it tells the time
				c.broadcast(func(v *viewer) { v.pushPing(c, body) })
			})
		}
	}
}

// push writes c's newest message, which stands behind tick before, if the viewer has all
// until then and its turn is free; else the viewer sees to it itself.
func (v *viewer) push(c *class, m message, before uint64) {
	if !v.turn.TryLock() {
		v.nudge()
		return
	}
	defer v.turn.Unlock()
	switch {
	case v.class != c || v.at >= m.to:
	case v.at < before || v.at > m.from || v.stuck():
		v.nudge()
	default:
		v.offer(m.body)
		v.took(m)
	}
}

// pushPing writes a ping unless something else is being written.
func (v *viewer) pushPing(c *class, body []byte) {
	if !v.turn.TryLock() {
		return
	}
	defer v.turn.Unlock()
	if v.class == c && !v.stuck() {
		v.offer(body)
	}
}

// stuck reports whether the last offer is not done with.
func (v *viewer) stuck() bool { return len(v.rest) > 0 || v.failed != nil }

// offer writes what the connection takes at once; the viewer's goroutine sees to the rest.
func (v *viewer) offer(body []byte) {
	n, err := v.own.try(body)
	if v.rest, v.failed = body[n:], err; v.stuck() {
		v.nudge()
	}
}

// settle writes what an offer has left over.
func (v *viewer) settle() error {
	rest := v.rest
	v.rest = nil
	if v.failed != nil || len(rest) == 0 {
		return v.failed
	}
	return v.writeAll(rest)
}

// nudge wakes the viewer's goroutine up.
func (v *viewer) nudge() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}
