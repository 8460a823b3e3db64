package live

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// view is a copy of the window at one tick.
type view struct {
	at     *tick
	places []place
	lines  []*series // those that pass, in order of their ids
	runs   []run     // of lines that have points
}

// window copies the lines that pass, each back to its own newest point less spanMs (0:
// the chart's window), and not before sinceMs.
func (h *Hub) window(pass func(*series) bool, sinceMs, spanMs int64) view {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tickLocked()
	out := view{at: h.ring.last(), places: slices.Clone(h.places)}
	for _, s := range h.series {
		if !pass(s) {
			continue
		}
		out.lines = append(out.lines, s)
		newest, ok := s.column.last()
		if !ok {
			continue
		}
		span := cmp.Or(spanMs, h.cfg.Charts[s.group.chart].Sink.Options.Window.Milliseconds())
		t, v := s.column.since(max(newest-span, sinceMs), s.limit)
		if len(t) > 0 {
			out.runs = append(out.runs, run{series: s, t: slices.Clone(t), v: slices.Clone(v)})
		}
	}
	return out
}

// place makes a tick of what is pending and returns it with the places that it
// covers and the lines known.
func (h *Hub) here() (*tick, []place, []*series) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tickLocked()
	return h.ring.last(), slices.Clone(h.places), h.series[:len(h.series):len(h.series)]
}

// find returns the tick with that id, nil if it is not in the ring.
func (h *Hub) find(id string) (*tick, []*series) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ring.byID[id], h.series[:len(h.series):len(h.series)]
}

// ticksAfter returns the ticks behind seq and the lines known; false if some of
// the ticks are gone.
func (h *Hub) ticksAfter(seq uint64) ([]*tick, []*series, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ticks, ok := h.ring.after(seq)
	return ticks, h.series[:len(h.series):len(h.series)], ok
}

// change returns a channel that is closed at the next tick.
func (h *Hub) change() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// join counts a viewer in and returns its class, which begins with its first
// viewer; nil if there are too many viewers or the hub has ended.
func (h *Hub) join(key classKey) *class {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients >= h.cfg.MaxClients || h.life.Err() != nil {
		return nil
	}
	key.cohort = h.cohort(key)
	c := h.classes[key]
	if c == nil {
		if key.cohort == 0 && h.full(key) {
			return nil
		}
		c = h.openClass(key)
	}
	h.clients++
	if h.clients == 1 {
		close(h.arrival)
	}
	c.viewers++
	return c
}

// cohort is the first of the key's that has room or does not exist. mu is held.
func (h *Hub) cohort(key classKey) int {
	if key.reduction.px > 0 {
		return 0
	}
	for key.cohort = 0; ; key.cohort++ {
		if c := h.classes[key]; c == nil || c.viewers < cohortSize {
			return key.cohort
		}
	}
}

// openClass begins a class at the newest tick. mu is held.
func (h *Hub) openClass(key classKey) *class {
	h.tickLocked()
	c := h.newClass(key, h.ring.last())
	ctx, cancel := context.WithCancel(h.life)
	c.stop = cancel
	h.classes[key] = c
	if !key.none {
		h.pumps.Go(func() { c.pump(ctx) })
	}
	h.pumps.Go(func() { c.beat(ctx) })
	return c
}

// full reports whether there are too many ways of looking for one more. mu is held.
func (h *Hub) full(key classKey) bool {
	ways, reducing := 0, 0
	for k := range h.classes {
		if k.cohort > 0 {
			continue
		}
		ways++
		if k.reduction.px > 0 {
			reducing++
		}
	}
	return ways >= h.cfg.MaxClasses || key.reduction.px > 0 && reducing >= h.cfg.MaxReduced
}

// leave counts a viewer out; its class ends with its last viewer.
func (h *Hub) leave(c *class) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients--
	if h.clients == 0 {
		h.arrival = make(chan struct{})
	}
	if c.viewers--; c.viewers == 0 {
		c.stop()
		delete(h.classes, c.key)
	}
}

// await waits until the hub's places are at or past want, until ctx ends or for d.
func (h *Hub) await(ctx context.Context, want []place, d time.Duration) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	for {
		changed := h.change()
		_, have, _ := h.here()
		if !slices.ContainsFunc(indexes(have), func(i int) bool { return have[i].less(want[i]) }) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-limit.C:
			return false
		case <-changed:
		}
	}
}

func indexes[T any](list []T) []int {
	out := make([]int, len(list))
	for i := range out {
		out[i] = i
	}
	return out
}
