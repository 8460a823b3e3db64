package live

import (
	"context"
	"errors"
	"time"
)

const (
	resumeWait  = 10 * time.Second // for the hub to come where the viewer was
	resumeBlock = 2 * time.Second  // for entries that are known to be there
)

// begin brings a viewer to a tick from which the class goes on: from its cursor,
// or with a history.
func (v *viewer) begin(ctx context.Context, q query) error {
	if v.class.key.none {
		here, _, _ := v.hub.here()
		v.at, v.total = here.seq, here.total
		return nil
	}
	if q.resume != "" {
		err := v.resume(ctx, q.resume)
		if reason, ok := errors.AsType[*resetError](err); ok {
			return v.reset(reason.Error())
		}
		return err
	}
	switch q.begin {
	case beginLatest:
		return v.latest()
	case beginBack, beginEarliest:
		return v.back(ctx, q)
	default:
		return v.history()
	}
}

// reset tells that what comes does not go on from what the viewer has, and begins anew.
func (v *viewer) reset(reason string) error {
	v.hub.count.resets.Add(1)
	if err := v.write(v.wire().event(nil, "reset", "", marshal(map[string]string{"reason": reason}))); err != nil {
		return err
	}
	return v.history()
}

// resetError is a cursor from which nothing can be resumed.
type resetError struct{ err error }

func (e *resetError) Error() string { return e.err.Error() }
func (e *resetError) Unwrap() error { return e.err }

func (v *viewer) history() error {
	w := v.class.historyNow()
	v.at, v.total, v.told = w.seq, w.total, w.lines
	return v.writeAll(w.body)
}

// latest tells the lines and where the viewer stands, with an empty history.
func (v *viewer) latest() error {
	here, _, lines := v.hub.here()
	v.at, v.total = here.seq, here.total
	body := v.schema(lines[:here.series])
	return v.writeAll(appendFrame(body, v.class.key, here.id, nil, part{history: true, begin: true, end: true}))
}

// schema is the first schema event of a connection, which also comes without lines.
func (v *viewer) schema(lines []*series) []byte {
	v.told = len(lines)
	return v.wire().event(nil, "schema", "", marshal(v.hub.schemaOf(v.class.passing(lines), v.class.key.format)))
}

// resume goes on behind id: from the hub's ring if it has the tick, else from the
// log, so that an id of an earlier run of the engine is as good.
func (v *viewer) resume(ctx context.Context, id string) error {
	if t, lines := v.hub.find(id); t != nil {
		v.at, v.total = t.seq, t.total
		v.hub.count.resumed.Add(1)
		return v.write(v.schema(lines))
	}
	from, err := v.hub.cursors.parse(id)
	if err != nil {
		return &resetError{err}
	}
	if err := v.hub.check(ctx, from); err != nil {
		return err
	}
	if !v.hub.await(ctx, from, resumeWait) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &resetError{errUnknown}
	}
	_, _, lines := v.hub.here()
	if err := v.write(v.schema(lines)); err != nil {
		return err
	}
	v.hub.count.resumed.Add(1)
	return v.catchUp(ctx, from, part{})
}

// check refuses a cursor that is beyond the log's end or behind what it keeps.
func (h *Hub) check(ctx context.Context, from []place) error {
	trimmer, _ := h.cfg.Log.(Trimmer)
	for i, p := range from {
		name, lane := h.laneOf(i)
		head, err := h.cfg.Log.Head(ctx, name, lane)
		if err != nil {
			return err
		}
		if placeOf(head).less(p) {
			return &resetError{errUnknown}
		}
		if trimmer == nil {
			continue
		}
		gone, err := trimmer.Trimmed(ctx, name, lane)
		if err != nil {
			return err
		}
		if p.less(placeOf(gone)) {
			return &resetError{errTooOld}
		}
	}
	return nil
}

// catchUp writes what the log holds behind from and up to the hub's own place, and
// again if that took so long that the hub's ring has moved on.
func (v *viewer) catchUp(ctx context.Context, from []place, p part) error {
	for {
		here, to, _ := v.hub.here()
		if err := v.fromLog(ctx, from, to, p); err != nil {
			return err
		}
		v.at, v.total = here.seq, here.total
		if _, _, ok := v.hub.ticksAfter(here.seq); ok {
			return nil
		}
		from, p = to, part{}
	}
}

// fromLog writes lane after lane the entries in (from, to]. Each frame has the id
// of what has been written by then. With p.history it is one history, the last
// frame of which may be empty.
func (v *viewer) fromLog(ctx context.Context, from, to []place, p part) error {
	at := append([]place(nil), from...)
	p.begin, p.end = p.history, false
	cursors := v.hub.cursors.own()
	for i := range at {
		name, lane := v.hub.laneOf(i)
		r, err := v.hub.newReader(name)
		if err != nil {
			return err
		}
		for at[i].less(to[i]) {
			next, err := v.readLane(ctx, r, lane, at[i], to[i])
			if err != nil {
				return err
			}
			at[i] = next
			if err := v.writePoints(r.cut(), cursors.id(at), p); err != nil {
				return err
			}
			p.begin = false
		}
	}
	if !p.history {
		return nil
	}
	p.end = true
	return v.write(appendFrame(nil, v.class.key, cursors.id(at), nil, p))
}

// readLane takes the next entries of a lane, none behind to.
func (v *viewer) readLane(ctx context.Context, r *reader, lane int, after, to place) (place, error) {
	epoch := v.hub.cursors.epoch
	entries, err := v.hub.cfg.Log.ReadFrames(ctx, r.stream, lane, after.position(epoch), readFrames, resumeBlock)
	if err != nil {
		return after, err
	}
	if len(entries) == 0 {
		return to, nil // trimmed meanwhile
	}
	for _, e := range entries {
		if to.less(placeOf(e.At)) {
			return to, nil
		}
		r.take(e)
		after = placeOf(e.At)
	}
	return after, nil
}

func (v *viewer) writePoints(points []point, id string, p part) error {
	_, _, lines := v.hub.here()
	return v.frame([]*tick{{points: points}}, lines, id, p)
}

// back begins with a history of a given length: from the window while it reaches
// so far, else from the log.
func (v *viewer) back(ctx context.Context, q query) error {
	since := time.Now().Add(-q.back).UnixMilli()
	if q.begin == beginBack && q.back <= v.hub.cfg.shortest() {
		return v.recent(since)
	}
	_, to, lines := v.hub.here()
	from := make([]place, len(to))
	if q.begin == beginBack {
		for i := range from {
			from[i] = place{ms: uint64(max(since, 0))}
			if to[i].less(from[i]) {
				from[i] = to[i]
			}
		}
	}
	if err := v.write(v.schema(lines)); err != nil {
		return err
	}
	return v.catchUp(ctx, from, part{history: true})
}

func (v *viewer) recent(since int64) error {
	w := v.hub.window(v.class.pass, since)
	v.at, v.total, v.told = w.at.seq, w.at.total, w.at.series
	return v.writeAll(v.class.encodeHistory(w))
}
