package live

import (
	"context"
	"errors"
	"slices"
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
	if err := v.class.wait(ctx); err != nil {
		return err
	}
	if q.resume != "" {
		err := v.resume(ctx, q.resume)
		if reason, ok := errors.AsType[*resetError](err); ok {
			return v.reset(reason.Error())
		}
		return err
	}
	switch {
	case v.class.key.reduction.px > 0:
		return v.history()
	case q.begin == beginLatest:
		return v.latest()
	case q.begin == beginBack || q.begin == beginEarliest:
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
	return v.wire().event(nil, "schema", "", marshal(v.hub.schemaOf(v.class.passing(lines), v.class.key)))
}

// resume goes on behind id: from the hub's ring if it has the tick, else from the
// log, so that an id of an earlier run of the engine is as good.
func (v *viewer) resume(ctx context.Context, id string) error {
	reduced := v.class.key.reduction.px > 0
	if t, lines := v.hub.find(id); t != nil && !reduced {
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
	v.hub.count.resumed.Add(1)
	if reduced {
		return v.history() // columns that the viewer has are in it as they are now
	}
	_, _, lines := v.hub.here()
	if err := v.write(v.schema(lines)); err != nil {
		return err
	}
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
	p.begin, p.end = p.history, false
	cursors := v.hub.cursors.own()
	last, err := v.hub.scanLog(ctx, from, to, func(at []place, points []point) error {
		err := v.writePoints(points, cursors.id(at), p)
		p.begin = false
		return err
	})
	if err != nil || !p.history {
		return err
	}
	p.end = true
	return v.write(appendFrame(nil, v.class.key, cursors.id(last), nil, p))
}

// scanLog reads lane after lane the entries in (from, to] and hands on their points
// with the places up to which all is read, the last of which it returns. The points
// are good until each returns.
func (h *Hub) scanLog(ctx context.Context, from, to []place, each func(at []place, points []point) error) ([]place, error) {
	at := slices.Clone(from)
	for i := range at {
		name, lane := h.laneOf(i)
		r, err := h.newReader(name)
		if err != nil {
			return at, err
		}
		for at[i].less(to[i]) {
			if at[i], err = r.readLane(ctx, lane, at[i], to[i]); err != nil {
				return at, err
			}
			if err := each(at, r.cut()); err != nil {
				return at, err
			}
		}
	}
	return at, nil
}

// readLane takes the next entries of a lane, none behind to.
func (r *reader) readLane(ctx context.Context, lane int, after, to place) (place, error) {
	epoch := r.hub.cursors.epoch
	entries, err := r.hub.cfg.Log.ReadFrames(ctx, r.stream, lane, after.position(epoch), readFrames, resumeBlock)
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
		from = placesSince(since, to)
	}
	if err := v.write(v.schema(lines)); err != nil {
		return err
	}
	return v.catchUp(ctx, from, part{history: true})
}

// placesSince are those of a time, none beyond to.
func placesSince(ms int64, to []place) []place {
	from := make([]place, len(to))
	for i := range from {
		from[i] = place{ms: uint64(max(ms, 0))}
		if to[i].less(from[i]) {
			from[i] = to[i]
		}
	}
	return from
}

func (v *viewer) recent(since int64) error {
	w := v.hub.window(v.class.pass, since, 0)
	v.at, v.total, v.told = w.at.seq, w.at.total, w.at.series
	return v.writeAll(v.class.encodeHistory(w))
}
