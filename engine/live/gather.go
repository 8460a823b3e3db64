package live

// gatherer groups points by series for those who asked for the same ones. It keeps
// its memory from frame to frame and is used by one goroutine.
type gatherer struct {
	wanted []int8  // by series: 1 passes, -1 does not, 0 is not known yet
	count  []int32 // by series: points of this frame
	place  []int32 // by series: its run, if count is not 0
	runs   []run
	room   room
}

// gather groups the points of ticks by series, in order of first appearance; within a
// series the order of arrival stays. Lines that pass refuses, for ever, are left out.
// The runs are good until it is called again.
func (g *gatherer) gather(ticks []*tick, all []*series, pass func(*series) bool) []run {
	g.grow(len(all))
	g.runs = g.runs[:0]
	total := 0
	for _, t := range ticks {
		for _, p := range t.points {
			if !g.wants(p.series, all, pass) {
				continue
			}
			if g.count[p.series] == 0 {
				g.place[p.series] = int32(len(g.runs))
				g.runs = append(g.runs, run{series: all[p.series]})
			}
			g.count[p.series]++
			total++
		}
	}
	g.room.reset(total, "")
	for i := range g.runs {
		id := g.runs[i].series.id
		g.room.into(&g.runs[i], int(g.count[id]))
		g.count[id] = 0
	}
	for _, t := range ticks {
		for _, p := range t.points {
			if g.wanted[p.series] > 0 {
				r := &g.runs[g.place[p.series]]
				r.t, r.v = append(r.t, p.t), append(r.v, p.v)
			}
		}
	}
	return g.runs
}

func (g *gatherer) grow(n int) {
	if more := n - len(g.wanted); more > 0 {
		g.wanted = append(g.wanted, make([]int8, more)...)
		g.count = append(g.count, make([]int32, more)...)
		g.place = append(g.place, make([]int32, more)...)
	}
}

func (g *gatherer) wants(id int32, all []*series, pass func(*series) bool) bool {
	if g.wanted[id] == 0 {
		g.wanted[id] = -1
		if pass(all[id]) {
			g.wanted[id] = 1
		}
	}
	return g.wanted[id] > 0
}
