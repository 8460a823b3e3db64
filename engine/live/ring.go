package live

import "slices"

// tick is what came between two wake-ups of the hub: its points in order of
// arrival, and the id of everything up to and including it. It never changes.
type tick struct {
	seq    uint64 // rises by 1
	id     string
	points []point
	total  uint64 // points of all ticks up to and including this one
	series int    // number of series known after it
}

// ring keeps the newest ticks: at most limit points (but always the newest
// tick) and at most maxTicks ticks.
type ring struct {
	limit int
	ticks []*tick // consecutive
	byID  map[string]*tick
	held  int // points in ticks
}

const maxTicks = 16384

func (r *ring) push(points []point, id string, series int) {
	t := &tick{seq: 1, id: id, points: points, series: series, total: uint64(len(points))}
	if last := r.last(); last != nil {
		t.seq, t.total = last.seq+1, last.total+t.total
	}
	if r.byID == nil {
		r.byID = map[string]*tick{}
	}
	r.ticks = append(r.ticks, t)
	r.byID[id] = t
	r.held += len(points)
	drop := 0
	for drop < len(r.ticks)-1 && (r.held > r.limit || len(r.ticks)-drop > maxTicks) {
		r.held -= len(r.ticks[drop].points)
		delete(r.byID, r.ticks[drop].id)
		drop++
	}
	r.ticks = slices.Delete(r.ticks, 0, drop)
}

func (r *ring) last() *tick {
	if len(r.ticks) == 0 {
		return nil
	}
	return r.ticks[len(r.ticks)-1]
}

// after returns the ticks behind seq up to the newest, and false if some of them
// are gone.
func (r *ring) after(seq uint64) ([]*tick, bool) {
	if len(r.ticks) == 0 {
		return nil, false
	}
	first := r.ticks[0].seq
	if seq+1 < first {
		return nil, false
	}
	if from := seq + 1 - first; from < uint64(len(r.ticks)) {
		return slices.Clone(r.ticks[from:]), true
	}
	return nil, true
}
