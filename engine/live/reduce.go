package live

import (
	"slices"
	"sort"
)

// mode is how the points of one pixel column are brought down to a few.
type mode string

const (
	modeM4       mode = "m4"       // the first, least, greatest and last point: lines look as if all were drawn
	modeEnvelope mode = "envelope" // least, mean and greatest value
)

// Bounds of what one class keeps of reduced lines.
const (
	maxPx    = 4096
	maxCells = 1 << 16 // of all lines of a class, 104 bytes each; beyond it the oldest go early
	minCells = 16      // of one line
)

// reduction says how a class's lines are reduced; the zero value is not at all.
// Column c holds the times t with floor(t*px/span) == c, so that it begins at the
// same time for everyone and a window that begins with a column has px of them.
type reduction struct {
	px   int64
	span int64 // ms of px columns
	mode mode
}

func (r reduction) column(t int64) int64 {
	c := t * r.px / r.span
	if t < 0 && t*r.px%r.span != 0 {
		c-- // to the floor
	}
	return c
}

// start is the first whole ms of a column.
func (r reduction) start(column int64) int64 {
	n := column * r.span
	t := n / r.px
	if n > 0 && n%r.px != 0 {
		t++
	}
	return t
}

// cell is what a column holds of one line.
type cell struct {
	column                int64
	firstT, minT, maxT    int64
	lastT                 int64
	first, min, max, last float64
	mean                  float64
	n                     int64
	dirty                 bool // it has changed since it was taken
}

// add takes one point. Of points of the same time the order is that of arrival.
func (c *cell) add(t int64, v float64) {
	if c.n == 0 {
		*c = cell{column: c.column, firstT: t, minT: t, maxT: t, lastT: t, first: v, min: v, max: v, last: v, dirty: c.dirty}
	}
	c.n++
	c.mean += 2 * ((v/2 - c.mean/2) / float64(c.n)) // no difference that could become infinite
	if t < c.firstT {
		c.firstT, c.first = t, v
	}
	if t >= c.lastT {
		c.lastT, c.last = t, v
	}
	if v < c.min {
		c.minT, c.min = t, v
	}
	if v > c.max {
		c.maxT, c.max = t, v
	}
}

// append adds the cell to a run.
func (c *cell) append(r *run, how reduction) {
	if how.mode == modeEnvelope {
		r.t, r.v = append(r.t, how.start(c.column)), append(r.v, c.mean)
		r.min, r.max = append(r.min, c.min), append(r.max, c.max)
		return
	}
	r.t, r.v = append(r.t, c.firstT), append(r.v, c.first)
	between := len(r.t)
	if c.minT <= c.maxT {
		c.extreme(r, c.minT, c.min)
		c.extreme(r, c.maxT, c.max)
	} else {
		c.extreme(r, c.maxT, c.max)
		c.extreme(r, c.minT, c.min)
	}
	if len(r.t) > between || !c.isFirst(c.lastT, c.last) {
		r.t, r.v = append(r.t, c.lastT), append(r.v, c.last)
	}
}

// extreme adds a point between the first and the last, unless it is one of them.
func (c *cell) extreme(r *run, t int64, v float64) {
	if !c.isFirst(t, v) && (t != c.lastT || v != c.last) {
		r.t, r.v = append(r.t, t), append(r.v, v)
	}
}

func (c *cell) isFirst(t int64, v float64) bool { return t == c.firstT && v == c.first }

// reducer keeps the cells of a class's lines and brings them up to date point by
// point: a late one changes the cell of its time. It is not for concurrent use.
type reducer struct {
	how   reduction
	lines map[int32]*cells
	held  int
	runs  []run // of take
	room  room
}

// cells are those of one line, rising.
type cells struct {
	series  *series
	list    []cell
	changed []int64 // columns of those that are dirty, in order of their change
}

func newReducer(how reduction) *reducer { return &reducer{how: how, lines: map[int32]*cells{}} }

// add takes a point of s. One from before the window leaves it as it is.
func (r *reducer) add(s *series, t int64, v float64) {
	l := r.lines[s.id]
	if l == nil {
		l = &cells{series: s}
		r.lines[s.id] = l
	}
	column := r.how.column(t)
	c := r.at(l, column)
	if c == nil {
		return
	}
	c.add(t, v)
	if !c.dirty {
		c.dirty = true
		l.changed = append(l.changed, column)
	}
}

// at finds or makes a cell; nil if it is before the window.
func (r *reducer) at(l *cells, column int64) *cell {
	n := len(l.list)
	if n > 0 && column <= l.list[n-1].column-r.how.px {
		return nil
	}
	if n == 0 || l.list[n-1].column < column {
		l.list = append(l.list, cell{column: column})
		r.held++
		r.forget(l)
		return &l.list[len(l.list)-1]
	}
	i := sort.Search(n, func(i int) bool { return l.list[i].column >= column })
	if l.list[i].column != column {
		l.list = slices.Insert(l.list, i, cell{column: column})
		r.held++
	}
	return &l.list[i]
}

// forget drops cells of l that have left the window, and the oldest of all lines if
// they have too many together; never the newest. It looks seldom enough to cost
// little for each cell.
func (r *reducer) forget(l *cells) {
	if n := len(l.list); n > int(r.how.px)+int(r.how.px)/8 {
		oldest := l.list[n-1].column - r.how.px
		r.drop(l, sort.Search(n, func(i int) bool { return l.list[i].column > oldest }))
	}
	if r.held <= max(maxCells, 2*minCells*len(r.lines)) {
		return
	}
	share := max(maxCells*3/4/len(r.lines), minCells)
	for _, other := range r.lines {
		r.drop(other, len(other.list)-share)
	}
}

// drop takes the first n cells off a line.
func (r *reducer) drop(l *cells, n int) {
	if n > 0 {
		l.list = append(l.list[:0], l.list[n:]...)
		r.held -= n
	}
}

// take returns the cells that changed since it was called last, as runs in order
// of the lines' ids. They are good until it is called again.
func (r *reducer) take() []run {
	runs := r.runs[:0]
	most := 0
	for _, l := range r.lines {
		if n := len(l.changed); n > 0 {
			runs = append(runs, run{series: l.series})
			most += 4 * n
		}
	}
	r.runs = sorted(runs)
	r.room.reset(most, r.how.mode)
	for i := range runs {
		l := r.lines[runs[i].series.id]
		r.room.into(&runs[i], 4*len(l.changed))
		l.take(&runs[i], r.how)
	}
	return slices.DeleteFunc(runs, func(one run) bool { return len(one.t) == 0 })
}

// take appends the changed cells that are still there.
func (l *cells) take(out *run, how reduction) {
	slices.Sort(l.changed)
	at := 0
	for _, column := range l.changed {
		at += sort.Search(len(l.list)-at, func(i int) bool { return l.list[at+i].column >= column })
		if at < len(l.list) && l.list[at].column == column {
			l.list[at].append(out, how)
			l.list[at].dirty = false
		}
	}
	l.changed = l.changed[:0]
}

// room is memory for the runs of one frame.
type room struct {
	t           []int64
	v, min, max []float64
	used        int
}

func (r *room) reset(size int, how mode) {
	r.used = 0
	if cap(r.t) >= size {
		return
	}
	r.t, r.v = make([]int64, size), make([]float64, size)
	if how == modeEnvelope {
		r.min, r.max = make([]float64, size), make([]float64, size)
	}
}

// into gives a run room for n points.
func (r *room) into(out *run, n int) {
	from, to := r.used, r.used+n
	out.t, out.v = r.t[from:from:to], r.v[from:from:to]
	if r.min != nil {
		out.min, out.max = r.min[from:from:to], r.max[from:from:to]
	}
	r.used = to
}

// window returns all cells of the window that ends with each line's newest.
func (r *reducer) window() []run {
	var runs []run
	for _, l := range r.lines {
		if len(l.list) == 0 {
			continue
		}
		out := run{series: l.series}
		oldest := l.list[len(l.list)-1].column - r.how.px
		for i := range l.list {
			if l.list[i].column > oldest {
				l.list[i].append(&out, r.how)
			}
		}
		runs = append(runs, out)
	}
	return sorted(runs)
}

func sorted(runs []run) []run {
	slices.SortFunc(runs, func(a, b run) int { return int(a.series.id) - int(b.series.id) })
	return runs
}

// reduced returns runs as how says.
func reduced(how reduction, runs []run) []run {
	if how.px == 0 {
		return runs
	}
	r := newReducer(how)
	for _, one := range runs {
		for i := range one.t {
			r.add(one.series, one.t[i], one.v[i])
		}
	}
	return r.window()
}
