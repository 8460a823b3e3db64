package live

import (
	"slices"
	"sort"
)

// point is one value of one series on its way through the hub.
type point struct {
	series int32
	t      int64 // ms since the Unix epoch
	v      float64
}

// column holds the newest points of one series in order of time; points of equal
// time keep the order of their arrival.
type column struct {
	t []int64
	v []float64
}

// insert puts (t, v) in its place in time and keeps at most twice limit points,
// of which the newest limit count.
func (c *column) insert(t int64, v float64, limit int) (late bool) {
	if n := len(c.t); n >= 2*limit {
		keep := copy(c.t, c.t[n-limit:])
		copy(c.v, c.v[n-limit:])
		c.t, c.v = c.t[:keep], c.v[:keep]
	}
	n := len(c.t)
	if n == 0 || c.t[n-1] <= t {
		c.t, c.v = append(c.t, t), append(c.v, v)
		return false
	}
	at := sort.Search(n, func(i int) bool { return c.t[i] > t })
	c.t, c.v = slices.Insert(c.t, at, t), slices.Insert(c.v, at, v)
	return true
}

// last returns the time of the newest point, and false without one.
func (c *column) last() (int64, bool) {
	if len(c.t) == 0 {
		return 0, false
	}
	return c.t[len(c.t)-1], true
}

// since returns the newest limit points that are not before t. The slices are the
// column's own: copy them before the hub's lock is given back.
func (c *column) since(t int64, limit int) ([]int64, []float64) {
	from := max(sort.Search(len(c.t), func(i int) bool { return c.t[i] >= t }), len(c.t)-limit)
	return c.t[from:], c.v[from:]
}
