package live

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// raster draws the lines between the points of one series, sorted by time, as a
// chart of how.px columns does whose window begins at column from.
type raster struct {
	how    reduction
	from   int64
	height int
	lo, hi float64
	set    map[[2]int64]bool
}

func (r *raster) at(t int64, v float64) (int64, int64) {
	return r.how.column(t) - r.from, int64(math.Round((v - r.lo) / (r.hi - r.lo) * float64(r.height-1)))
}

func (r *raster) draw(t []int64, v []float64) {
	r.set = map[[2]int64]bool{}
	for i := range t {
		x1, y1 := r.at(t[i], v[i])
		x0, y0 := x1, y1
		if i > 0 {
			x0, y0 = r.at(t[i-1], v[i-1])
		}
		r.line(x0, y0, x1, y1)
	}
}

// line sets the pixels of one line, as Bresenham has it.
func (r *raster) line(x0, y0, x1, y1 int64) {
	dx, dy := x1-x0, -max(y1-y0, y0-y1)
	sy := int64(1)
	if y0 > y1 {
		sy = -1
	}
	for e := dx + dy; ; {
		r.set[[2]int64{x0, y0}] = true
		if x0 == x1 && y0 == y1 {
			return
		}
		e2 := 2 * e
		if e2 >= dy {
			e, x0 = e+dy, x0+1
		}
		if e2 <= dx {
			e, y0 = e+dx, y0+sy
		}
	}
}

func differing(a, b map[[2]int64]bool) (n int) {
	for p := range a {
		if !b[p] {
			n++
		}
	}
	for p := range b {
		if !a[p] {
			n++
		}
	}
	return n
}

// client keeps what a viewer of reduced lines has: a frame's points take the place
// of those that it had in the same columns.
type client struct {
	how reduction
	t   []int64
	v   []float64
}

func (c *client) take(runs []run) {
	for _, r := range runs {
		touched := map[int64]bool{}
		for _, t := range r.t {
			touched[c.how.column(t)] = true
		}
		var all column
		for i, t := range c.t {
			if !touched[c.how.column(t)] {
				all.insert(t, c.v[i], 1<<20)
			}
		}
		for i, t := range r.t {
			all.insert(t, r.v[i], 1<<20)
		}
		c.t, c.v = all.t, all.v
	}
}

type drawnPoint struct {
	T int64
	V float64
}

// draw makes points of one window, mostly rising in time, some late, some equal.
func drawPoints(t *rapid.T, how reduction) []drawnPoint {
	start := how.start(how.column(1_795_000_000_000))
	now := int64(0)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) drawnPoint {
		now = min(now+int64(rapid.IntRange(0, int(2*how.span/300)+1).Draw(t, "step")), how.span-1)
		at := max(now-int64(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 50, 3000}).Draw(t, "late")), 0)
		return drawnPoint{start + at, rapid.Float64Range(-1e3, 1e3).Draw(t, "v")}
	}), 1, 400).Draw(t, "points")
}

// TestReducedLinesLookTheSame draws random series raw and as the columns that a
// viewer has put together from frames cut anywhere: no pixel differs. The control
// draws every fourth point, which shows.
func TestReducedLinesLookTheSame(t *testing.T) {
	worst := 0
	rapid.Check(t, func(t *rapid.T) {
		how := reduction{
			px: int64(rapid.IntRange(1, 120).Draw(t, "px")), span: int64(rapid.IntRange(1000, 600_000).Draw(t, "span")), mode: modeM4,
		}
		points := drawPoints(t, how)
		s := &series{}
		reducer, viewer := newReducer(how), &client{how: how}
		var raw column
		for i, p := range points {
			raw.insert(p.T, p.V, 1<<20)
			reducer.add(s, p.T, p.V)
			if i == len(points)-1 || rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				viewer.take(reducer.take())
			}
		}
		r := raster{how: how, from: how.column(raw.t[0]), height: 100, lo: -1e3, hi: 1e3}
		r.draw(raw.t, raw.v)
		want := r.set
		for name, got := range map[string]*client{"frames": viewer, "history": historyOf(reducer)} {
			r.draw(got.t, got.v)
			if n := differing(want, r.set); n > 0 {
				t.Fatalf("%s: %d pixels differ: raw %v %v, reduced %v %v", name, n, raw.t, raw.v, got.t, got.v)
			}
			if len(got.t) > 4*int(how.px) {
				t.Fatalf("%s: %d points in %d columns", name, len(got.t), how.px)
			}
		}
		r.draw(everyFourth(raw))
		worst = max(worst, differing(want, r.set))
	})
	if worst == 0 {
		t.Error("every fourth point looks the same as all: the test sees nothing")
	}
}

func historyOf(r *reducer) *client {
	out := &client{how: r.how}
	out.take(r.window())
	return out
}

func everyFourth(c column) (t []int64, v []float64) {
	for i := 0; i < len(c.t); i += 4 {
		t, v = append(t, c.t[i]), append(v, c.v[i])
	}
	return t, v
}

func TestEnvelope(t *testing.T) {
	how := reduction{px: 10, span: 1000, mode: modeEnvelope}
	r, s := newReducer(how), &series{}
	for i, v := range []float64{3, 1, 2, math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64} {
		r.add(s, int64(i)/3*100+int64(i)%3, v)
	}
	got := r.take()
	if len(got) != 1 || !slices.Equal(got[0].t, []int64{0, 100}) || !slices.Equal(got[0].min, []float64{1, -math.MaxFloat64}) ||
		!slices.Equal(got[0].max, []float64{3, math.MaxFloat64}) || math.Abs(got[0].v[0]-2) > 1e-9 || math.IsInf(got[0].v[1], 0) {
		t.Errorf("envelope %+v", got)
	}
	if again := r.take(); len(again) != 0 {
		t.Errorf("nothing changed, and %+v is sent", again)
	}
}

// TestReducerIsBounded feeds more lines and columns than are kept.
func TestReducerIsBounded(t *testing.T) {
	how := reduction{px: 1000, span: 1_000_000, mode: modeM4}
	r := newReducer(how)
	for i := range 200 {
		s := &series{id: int32(i)}
		for n := range int64(5000) {
			r.add(s, n*1000, float64(n))
		}
		r.add(s, 0, 1) // long out of the window
	}
	held := 0
	for _, l := range r.lines {
		held += len(l.list)
		if last := l.list[len(l.list)-1]; last.last != 4999 || len(l.list) < minCells {
			t.Fatalf("a line ends with %+v and has %d cells", last, len(l.list))
		}
	}
	if held != r.held || held > maxCells {
		t.Errorf("%d cells are held, counted %d, bound %d", held, r.held, maxCells)
	}
}

func TestColumnsBeginWithWholeMilliseconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		how := reduction{px: rapid.Int64Range(1, maxPx).Draw(t, "px"), span: rapid.Int64Range(1000, maxWindow.Milliseconds()).Draw(t, "span")}
		at := rapid.Int64Range(-1e12, 3e12).Draw(t, "t")
		c := how.column(at)
		start := how.start(c)
		if how.column(start) != c && how.start(c+1) > start {
			t.Fatal(fmt.Sprintf("column %d of %d begins at %d, which is of column %d", c, at, start, how.column(start)))
		}
		if start > at || how.column(start-1) >= c {
			t.Fatalf("column %d of %d begins at %d", c, at, start)
		}
	})
}

// BenchmarkReduce is the cost of one point, and of the frame that 100 points of 20
// lines make.
func BenchmarkReduce(b *testing.B) {
	how := reduction{px: 1200, span: 600_000, mode: modeM4}
	r := newReducer(how)
	lines := make([]*series, 20)
	for i := range lines {
		lines[i] = &series{id: int32(i)}
	}
	now := int64(1_795_000_000_000)
	b.ReportAllocs()
	for b.Loop() {
		for i := range 100 {
			r.add(lines[i%20], now, float64(i)/7)
			now++
		}
		r.take()
	}
}

// TestLastPointStaysLast: of points of one time the last to come is where the line goes
// on from, also if it was the first or the least as well.
func TestLastPointStaysLast(t *testing.T) {
	for _, c := range []struct{ values, want []float64 }{
		{[]float64{2, 5, 1}, []float64{2, 5, 1}},
		{[]float64{1, 5, 1}, []float64{1, 5, 1}},
		{[]float64{1, 1}, []float64{1}},
		{[]float64{3, 1, 5, 2}, []float64{3, 1, 5, 2}},
	} {
		r := newReducer(reduction{px: 10, span: 1000, mode: modeM4})
		for _, v := range c.values {
			r.add(&series{}, 50, v)
		}
		if got := r.take()[0].v; !slices.Equal(got, c.want) {
			t.Errorf("%v becomes %v, want %v", c.values, got, c.want)
		}
	}
}
