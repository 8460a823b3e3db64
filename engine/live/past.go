package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Bounds of one answer about the past. One that meets them says so and where it ends.
const (
	pastBatch   = 64              // entries of one read of a lane
	pastEntries = 20_000          // entries read
	pastPoints  = 1_000_000       // points looked at, if they are reduced
	pastRaw     = 100_000         // points answered, if they are not
	pastWithin  = 5 * time.Second // of reading
	pastWait    = 5 * time.Second // for the reader before
)

// Past is a stretch of the charts, read from the log. Its JSON is the answer of
// GET /api/v1/charts with `to`.
type Past struct {
	Epoch  string       `json:"epoch"`
	Time   int64        `json:"time"`          // of the server, ms since the Unix epoch
	From   int64        `json:"from"`          // with the points of entries appended from here, ms,
	To     int64        `json:"to"`            // and before here: what was asked for, or where it was cut
	Cut    string       `json:"cut,omitempty"` // which bound was met: entries, points, columns, time
	Kept   Kept         `json:"kept"`
	Px     int64        `json:"px,omitempty"`
	Mode   string       `json:"mode,omitempty"` // with px
	Charts []*chartInfo `json:"charts"`
}

// Kept is how far back the log reaches.
type Kept struct {
	Charts  Reach `json:"charts"`  // what charts are drawn from
	Journal Reach `json:"journal"` // what a replay reads
}

// Reach tells of streams what is not trimmed yet, in append times, ms since the Unix
// epoch; 0 if they are empty.
type Reach struct {
	Oldest int64 `json:"oldest"` // of the oldest entry
	Whole  int64 `json:"whole"`  // from here on nothing is missing
}

// pastQuery is a question about a stretch.
type pastQuery struct {
	class    classKey
	from, to int64
}

// parsePast reads from, to, sub, px and mode. An error is the viewer's.
func parsePast(values url.Values, now time.Time) (pastQuery, error) {
	from, err1 := instant("from", values.Get("from"), now)
	to, err2 := instant("to", values.Get("to"), now)
	if err := errors.Join(err1, err2); err != nil {
		return pastQuery{}, err
	}
	if to <= from || to-from > maxWindow.Milliseconds() {
		return pastQuery{}, fmt.Errorf("from=%s to=%s: expected a stretch of up to %s", values.Get("from"), values.Get("to"), maxWindow)
	}
	q := query{back: time.Duration(to-from) * time.Millisecond}
	err := errors.Join(q.subscribe(values), q.reduce(values.Get("px"), values.Get("mode")))
	return pastQuery{class: q.class, from: from, to: to}, err
}

// instant reads ms since the Unix epoch, RFC 3339, or a time back such as -10m.
func instant(name, text string, now time.Time) (int64, error) {
	if ms, err := strconv.ParseUint(text, 10, 64); err == nil && ms <= math.MaxInt64/maxPx {
		return int64(ms), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil && at.UnixMilli() >= 0 {
		return at.UnixMilli(), nil
	}
	if back, err := time.ParseDuration(strings.TrimPrefix(text, "-")); err == nil && strings.HasPrefix(text, "-") && back >= 0 {
		return now.Add(-back).UnixMilli(), nil
	}
	return 0, fmt.Errorf("%s=%s: expected ms since 1970, a time (2026-03-01T12:00:00Z) or a time back (-10m)", name, text)
}

// servePast answers with a [Past].
func (h *Hub) servePast(w http.ResponseWriter, r *http.Request) {
	q, err := parsePast(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	end := h.turn(r.Context())
	if end == nil {
		unavailable(w, "others ask about the past at the moment")
		return
	}
	defer end()
	out, err := h.past(r.Context(), q)
	if err != nil {
		unavailable(w, "the log cannot be read")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(marshal(out), '\n')) // the viewer may be gone
}

// turn waits until nobody else reads the past: whatever is asked, it takes one reader's
// share of the log and the machine. Nil if there are too many, or it takes too long.
func (h *Hub) turn(ctx context.Context) (end func()) {
	select {
	case h.asking <- struct{}{}:
	default:
		return nil
	}
	timer := time.NewTimer(pastWait)
	defer timer.Stop()
	select {
	case h.reading <- struct{}{}:
		return func() { <-h.reading; <-h.asking }
	case <-timer.C:
	case <-ctx.Done():
	case <-h.life.Done():
	}
	<-h.asking
	return nil
}

// past reads a stretch. Lines that it meets, and what it counts, are its own: the
// charts that others look at do not change.
func (h *Hub) past(ctx context.Context, q pastQuery) (*Past, error) {
	own, err := New(h.cfg)
	if err != nil {
		return nil, err
	}
	defer own.end()
	own.cursors = h.cursors.own()
	s, err := newStretch(own, q)
	if err != nil {
		return nil, err
	}
	out := &Past{Epoch: strconv.FormatUint(own.cursors.epoch, 10), From: q.from, To: q.to, Px: q.class.reduction.px, Mode: string(q.class.reduction.mode)}
	if err := s.read(ctx, out); err != nil {
		return nil, err
	}
	out.Charts = s.charts()
	out.Time = time.Now().UnixMilli()
	out.Kept, err = h.kept(ctx) // asked last: what was trimmed meanwhile is not said to be there
	return out, err
}

// stretch reads the lanes of all streams together, in order of append times.
type stretch struct {
	hub   *Hub
	class *class
	q     pastQuery
	lanes []*laneAhead

	lines   map[int32]*cells // with px
	columns int              // of all lines
	raw     map[int32]*column
	points  int
	entries int
	begun   time.Time
}

// laneAhead is one lane, read up to a few entries ahead.
type laneAhead struct {
	reader *reader
	number int
	after  place
	ahead  []Entry
	ended  bool // the lane has nothing more before the stretch's end
}

func newStretch(h *Hub, q pastQuery) (*stretch, error) {
	s := &stretch{
		hub: h, class: h.newClass(q.class, &tick{}), q: q,
		lines: map[int32]*cells{}, raw: map[int32]*column{}, begun: time.Now(),
	}
	before := place{}
	if q.from > 0 {
		before = place{uint64(q.from - 1), math.MaxUint64}
	}
	for _, name := range h.streams {
		r, err := h.newReader(name)
		if err != nil {
			return nil, err
		}
		for lane := range h.cfg.Log.Lanes() {
			s.lanes = append(s.lanes, &laneAhead{reader: r, number: lane, after: before})
		}
	}
	return s, nil
}

// read takes entry after entry, until the stretch ends or a bound is met. It then ends
// between two milliseconds, so that one can ask for the rest.
func (s *stretch) read(ctx context.Context, out *Past) error {
	var last uint64
	for {
		lane, err := s.next(ctx)
		if lane == nil || err != nil {
			return err
		}
		e := lane.ahead[0]
		if why := s.full(); why != "" && e.At.Ms > last {
			out.Cut, out.To = why, int64(e.At.Ms)
			return nil
		}
		lane.ahead, last = lane.ahead[1:], e.At.Ms
		s.entries++
		lane.reader.take(e)
		for _, p := range lane.reader.cut() {
			s.add(p)
		}
	}
}

// next is the lane whose next entry is the oldest, nil at the end of the stretch.
func (s *stretch) next(ctx context.Context) (oldest *laneAhead, err error) {
	for _, l := range s.lanes {
		if err := l.refill(ctx, s.q.to); err != nil {
			return nil, err
		}
		if len(l.ahead) > 0 && (oldest == nil || placeOf(l.ahead[0].At).less(placeOf(oldest.ahead[0].At))) {
			oldest = l
		}
	}
	return oldest, nil
}

// refill reads a few entries if none is left; none of them was appended at to or later.
func (l *laneAhead) refill(ctx context.Context, to int64) error {
	if l.ended || len(l.ahead) > 0 {
		return nil
	}
	h := l.reader.hub
	entries, err := h.cfg.Log.ReadFrames(ctx, l.reader.stream, l.number, l.after.position(h.cursors.epoch), pastBatch, 0)
	if err != nil {
		return err
	}
	n := sort.Search(len(entries), func(i int) bool { return entries[i].At.Ms >= uint64(to) })
	l.ahead, l.ended = entries[:n], n < pastBatch
	if n > 0 {
		l.after = placeOf(entries[n-1].At)
	}
	return nil
}

// full names the bound that is met, "" if none is.
func (s *stretch) full() string {
	most := pastPoints
	if s.q.class.reduction.px == 0 {
		most = pastRaw
	}
	switch {
	case s.entries >= pastEntries:
		return "entries"
	case s.points >= most:
		return "points"
	case s.columns >= maxCells:
		return "columns"
	case time.Since(s.begun) > pastWithin:
		return "time"
	}
	return ""
}

// add takes one point of those that were asked for.
func (s *stretch) add(p point) {
	line := s.hub.series[p.series]
	if !s.class.pass(line) {
		return
	}
	s.points++
	if s.q.class.reduction.px == 0 {
		c := s.raw[p.series]
		if c == nil {
			c = &column{}
			s.raw[p.series] = c
		}
		c.insert(p.t, p.v, math.MaxInt/2)
		return
	}
	l := s.lines[p.series]
	if l == nil {
		l = &cells{series: line}
		s.lines[p.series] = l
	}
	s.cell(l, s.q.class.reduction.column(p.t)).add(p.t, p.v)
}

// cell finds or makes the cell of a column.
func (s *stretch) cell(l *cells, column int64) *cell {
	i := len(l.list)
	if i > 0 && l.list[i-1].column >= column {
		i = sort.Search(i, func(i int) bool { return l.list[i].column >= column })
		if l.list[i].column == column {
			return &l.list[i]
		}
	}
	l.list = slices.Insert(l.list, i, cell{column: column})
	s.columns++
	return &l.list[i]
}

// charts are those that have points, with them.
func (s *stretch) charts() []*chartInfo {
	var lines []*series
	for _, line := range s.hub.series {
		if s.lines[line.id] != nil || s.raw[line.id] != nil {
			lines = append(lines, line)
		}
	}
	out := s.hub.schemaOf(lines, classKey{}).Charts
	for _, c := range out {
		for i := range c.Series {
			c.Series[i].set(s.run(c.Series[i].ID))
		}
	}
	return out
}

// run is what was read of one line, in order of time.
func (s *stretch) run(id int32) (out run) {
	if c := s.raw[id]; c != nil {
		return run{t: c.t, v: c.v}
	}
	list := s.lines[id].list
	for i := range list {
		list[i].append(&out, s.q.class.reduction)
	}
	return out
}

// kept asks the log how far back it reaches.
func (h *Hub) kept(ctx context.Context) (out Kept, err error) {
	charts, err1 := h.reach(ctx, h.streams)
	own, err2 := h.reach(ctx, []string{journal})
	return Kept{charts, own}, errors.Join(err1, err2)
}

func (h *Hub) reach(ctx context.Context, streams []string) (out Reach, err error) {
	for _, name := range streams {
		for lane := range h.cfg.Log.Lanes() {
			oldest, whole, err := h.reachOf(ctx, name, lane)
			if err != nil {
				return out, err
			}
			if oldest > 0 && (out.Oldest == 0 || oldest < out.Oldest) {
				out.Oldest = oldest
			}
			out.Whole = max(out.Whole, whole)
		}
	}
	out.Whole = cmp.Or(out.Whole, out.Oldest)
	return out, nil
}

// reachOf returns when a lane's oldest entry was appended, and from when on it is
// whole; 0 if it has none, or never lost one.
func (h *Hub) reachOf(ctx context.Context, name string, lane int) (oldest, whole int64, err error) {
	first, err := h.cfg.Log.ReadFrames(ctx, name, lane, place{}.position(h.cursors.epoch), 1, 0)
	if err != nil {
		return 0, 0, err
	}
	if len(first) > 0 {
		oldest = int64(first[0].At.Ms)
	}
	trimmer, ok := h.cfg.Log.(Trimmer)
	if !ok {
		return oldest, 0, nil
	}
	gone, err := trimmer.Trimmed(ctx, name, lane)
	if err == nil && gone.Ms > 0 {
		whole = int64(gone.Ms) + 1
	}
	return oldest, whole, err
}
