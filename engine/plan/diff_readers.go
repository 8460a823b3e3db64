package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/spec"
)

// readers finds out how places in streams are handed on, by these rules:
//
//   - a part that reads a stream in both plans keeps its place;
//   - what comes to a part by a way that it had not before is taken over from the old
//     parts that have nodes of it, or else from those which take it no more and lead to
//     the same nodes: from their place on it handles what they have not;
//   - where it then goes on for several, they are brought to one place first;
//   - events that nobody will handle in the new plan on the way that they were to go
//     are handled by the old one first, if the way ends at a node that stays;
//   - a part that takes nobody's place begins where its `start:` says, or with what
//     comes from now on.
func (c *comparison) readers() {
	heirs := map[Reading][]*vertex{} // old reading -> new parts that go on for it
	for i := range c.after.verts {
		v := &c.after.verts[i]
		for _, stream := range v.inputs {
			from := c.ancestors(v, stream)
			for _, id := range from {
				heirs[Reading{id, stream}] = append(heirs[Reading{id, stream}], v)
			}
			c.align(stream, from)
			if was := c.before.find(v.id); was == nil || was.sink != v.sink || !was.reads(stream) {
				c.diff.Moves = append(c.diff.Moves, c.move(v, stream, from))
			}
		}
	}
	for i := range c.before.verts {
		v := &c.before.verts[i]
		for _, stream := range v.inputs {
			at := Reading{v.id, stream}
			if c.openEnd(v, stream, heirs[at]) {
				c.diff.Finish = append(c.diff.Finish, at)
			}
			if is := c.after.find(v.id); is == nil || is.sink != v.sink || !is.reads(stream) {
				c.diff.Forget = append(c.diff.Forget, at)
			}
		}
	}
}

// ancestors are the old parts whose place in the stream v goes on from: for each way
// by which events come to v through it, those that took them before.
func (c *comparison) ancestors(v *vertex, stream string) []string {
	from := map[string]bool{}
	for _, h := range v.edges {
		if h.stream == stream {
			c.took(v, h, from)
		}
	}
	for i := range c.before.verts { // it may read other things by now, or by then
		u := &c.before.verts[i]
		if u.reads(stream) && (u.id == v.id || len(from) == 0 && u.shares(v)) {
			from[u.id] = true
		}
	}
	return slices.Sorted(maps.Keys(from))
}

// took adds the old parts that took what comes to v this way: those with nodes of v,
// or else those which take it no more and led to where v leads.
func (c *comparison) took(v *vertex, h hop, from map[string]bool) {
	var others []string
	own := false
	ways := c.after.reach(v.nodes)
	for i := range c.before.verts {
		u := &c.before.verts[i]
		switch {
		case !u.takes(h.from, h.stream):
		case u.shares(v):
			from[u.id], own = true, true
		case !c.goesOn(u, h) && c.meet(c.before.reach(u.nodes), ways):
			others = append(others, u.id)
		}
	}
	if !own {
		for _, id := range others {
			from[id] = true
		}
	}
}

// goesOn reports whether nodes of the old part u take the same things in the new plan.
func (c *comparison) goesOn(u *vertex, h hop) bool {
	return slices.ContainsFunc(c.after.verts, func(w vertex) bool { return w.shares(u) && w.takes(h.from, h.stream) })
}

// shares reports whether the two have a node in common.
func (v *vertex) shares(u *vertex) bool {
	return slices.ContainsFunc(v.nodes, func(n string) bool { return slices.Contains(u.nodes, n) })
}

// meet reports whether both ways come to a node that has a place and stays.
func (c *comparison) meet(a, b map[string]bool) bool {
	for id := range a {
		if b[id] && c.stays(id) {
			return true
		}
	}
	return false
}

// stays reports whether both plans have the transform or sink; charts keep no place.
func (c *comparison) stays(id string) bool {
	was, is := c.before.file.Node(id), c.after.file.Node(id)
	return was != nil && is != nil && is.Source == "" && was.Source == "" && !IsChart(is)
}

func (c *comparison) move(v *vertex, stream string, from []string) Move {
	m := Move{Reading: Reading{v.id, stream}, Sink: v.sink, From: from}
	if len(from) > 0 {
		return m
	}
	m.Start = spec.Now
	if c.before.hasStream(stream) && c.early(v) {
		m.Start = spec.Earliest
	}
	return m
}

// early reports whether v begins at the oldest event: a sink that says so, and new
// transforms before such a sink that is new as well.
func (c *comparison) early(v *vertex) bool {
	if v.sink {
		return c.after.file.Node(v.id).Start == spec.Earliest
	}
	if slices.ContainsFunc(v.nodes, func(n string) bool { return c.before.file.Node(n) != nil }) {
		return false
	}
	for id := range c.after.reach(v.nodes) {
		if n := c.after.file.Node(id); n.Start == spec.Earliest && c.before.file.Node(id) == nil {
			return true
		}
	}
	return false
}

// openEnd reports whether what waits for v in the stream would be lost to a node that
// stays: a way into v that none of the heirs goes on with.
func (c *comparison) openEnd(v *vertex, stream string, heirs []*vertex) bool {
	return slices.ContainsFunc(v.edges, func(h hop) bool {
		if h.stream != stream || slices.ContainsFunc(heirs, func(w *vertex) bool { return w.takes(h.from, stream) }) {
			return false
		}
		return slices.ContainsFunc(slices.Collect(maps.Keys(c.before.reach([]string{h.to}))), c.stays)
	})
}

func (v *vertex) takes(from, stream string) bool {
	return slices.ContainsFunc(v.edges, func(h hop) bool { return h.from == from && h.stream == stream })
}

// align notes that parts must come to one place, together with those that they have
// to meet for another part's sake.
func (c *comparison) align(stream string, parts []string) {
	if len(parts) < 2 {
		return
	}
	all := slices.Clone(parts)
	c.diff.Align = slices.DeleteFunc(c.diff.Align, func(a Alignment) bool {
		shared := a.Stream == stream && slices.ContainsFunc(a.Parts, func(p string) bool { return slices.Contains(all, p) })
		if shared {
			all = append(all, a.Parts...)
		}
		return shared
	})
	slices.Sort(all)
	c.diff.Align = append(c.diff.Align, Alignment{stream, slices.Compact(all)})
}

func joined(names []string) string { return strings.Join(names, ", ") }
