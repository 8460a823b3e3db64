package plan

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/millrace/millrace/engine/spec"
)

// parts finds out what becomes of each source, stage, sink and chart.
func (c *comparison) parts() {
	var old, next []PartChange
	for _, id := range c.before.plan.Ingests {
		old = append(old, PartChange{SourcePart, id, c.becomes(slices.Contains(c.after.plan.Ingests, id), c.sourceChanged(id))})
	}
	for _, v := range c.before.verts {
		w := c.after.find(v.id)
		stays := w != nil && w.sink == v.sink
		old = append(old, PartChange{v.kind(), v.id, c.becomes(stays, stays && c.vertexChanged(v.id))})
	}
	for _, ch := range c.before.plan.Charts {
		old = append(old, PartChange{ChartPart, ch.ID, c.becomes(c.after.chart(ch.ID) != nil, c.chartChanged(ch.ID))})
	}
	add := func(kind PartKind, id string) {
		at := slices.IndexFunc(old, func(p PartChange) bool { return p.Kind == kind && p.ID == id })
		change := Added
		if at >= 0 {
			change = old[at].Change
		}
		next = append(next, PartChange{kind, id, change})
	}
	for _, id := range c.after.plan.Ingests {
		add(SourcePart, id)
	}
	for _, v := range c.after.verts {
		add(v.kind(), v.id)
	}
	for _, ch := range c.after.plan.Charts {
		add(ChartPart, ch.ID)
	}
	c.diff.Old, c.diff.New = old, next
}

func (v *vertex) kind() PartKind {
	if v.sink {
		return SinkPart
	}
	return StagePart
}

func (s *side) chart(id string) *Chart {
	for i := range s.plan.Charts {
		if s.plan.Charts[i].ID == id {
			return &s.plan.Charts[i]
		}
	}
	return nil
}

func (*comparison) becomes(stays, changed bool) Change {
	switch {
	case !stays:
		return Removed
	case changed:
		return Restarted
	}
	return Kept
}

// global notes a setting of the whole file that the node's part is built with.
func (c *comparison) global(id, name string, a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return false
	}
	c.why[id] = append(c.why[id], name)
	return true
}

func (c *comparison) sourceChanged(id string) bool {
	a, b := c.before.file, c.after.file
	if b.Node(id) == nil {
		return false
	}
	limits := c.global(id, "limits", a.Limits, b.Limits)
	frames := c.global(id, "log.compression", a.Log.Compression, b.Log.Compression)
	return limits || frames || len(c.why[id]) > 0
}

func (c *comparison) chartChanged(id string) bool {
	was, is := c.before.chart(id), c.after.chart(id)
	if is != nil && !slices.Equal(was.Edges, is.Edges) {
		c.why[id] = append(c.why[id], "it follows other streams")
	}
	return is != nil && len(c.why[id]) > 0
}

// vertexChanged compares a stage or sink that both plans have. A stage is one unit of
// restart: what changes in one of its nodes concerns all of them.
func (c *comparison) vertexChanged(id string) bool {
	a, b := c.before.file, c.after.file
	was, is := c.before.find(id), c.after.find(id)
	if was.sink {
		units := c.global(id, "unit", a.Unit, b.Unit)
		c.edges(id, was.edges, is.edges)
		return units || len(c.why[id]) > 0
	}
	changed := false
	for _, n := range is.nodes {
		units := c.global(n, "unit", a.Unit, b.Unit)
		keys := c.global(n, "limits.key", a.Limits.Key, b.Limits.Key)
		frames := c.global(n, "log.compression", a.Log.Compression, b.Log.Compression)
		changed = c.stageNodeChanged(n) || changed || units || keys || frames
	}
	return changed || !slices.Equal(was.nodes, is.nodes)
}

// stageNodeChanged compares a node of a stage with what it was, in whichever stage.
func (c *comparison) stageNodeChanged(id string) bool {
	was, is := c.before.stageNode(id), c.after.stageNode(id)
	if was == nil {
		return true
	}
	if was.Stream != is.Stream {
		c.why[id] = append(c.why[id], map[bool]string{true: "what it hands on rests in a stream now", false: "what it hands on rests in no stream any more"}[is.Stream != ""])
	}
	if len(c.why[id]) == 0 && !slices.Equal(was.Edges, is.Edges) {
		c.why[id] = append(c.why[id], "an input rests in a stream now, or does not any more")
	}
	return len(c.why[id]) > 0
}

func (s *side) stageNode(id string) *StageNode {
	for i := range s.plan.Stages {
		for j := range s.plan.Stages[i].Nodes {
			if n := &s.plan.Stages[i].Nodes[j]; n.ID == id {
				return n
			}
		}
	}
	return nil
}

// edges notes that a sink whose inputs are the same reads them from other streams.
func (c *comparison) edges(id string, was, is []hop) {
	if len(c.why[id]) == 0 && !slices.Equal(was, is) {
		c.why[id] = append(c.why[id], "it reads other streams")
	}
}

// explain gives the nodes what was found out about their parts.
func (c *comparison) explain() {
	change := map[string]Change{}
	together := map[string][]string{}
	for _, p := range c.diff.New {
		v := c.after.find(p.ID)
		if v == nil {
			change[p.ID] = p.Change
			continue
		}
		for _, n := range v.nodes {
			change[n], together[n] = p.Change, v.nodes
		}
	}
	for i := range c.diff.Nodes {
		n := &c.diff.Nodes[i]
		if n.Change == Kept && change[n.ID] != Kept {
			n.Change = Restarted
			n.Why = c.why[n.ID]
			if len(n.Why) == 0 {
				n.Why = []string{c.company(n.ID, together[n.ID])}
			}
		}
		n.Why = append(n.Why, c.places(n)...)
	}
}

// company says why a node that is as it was is begun anew.
func (c *comparison) company(id string, with []string) string {
	for _, other := range with {
		switch {
		case other == id:
		case c.before.file.Node(other) == nil:
			return fmt.Sprintf("runs in one stage with %s, which is added", other)
		case len(c.why[other]) > 0:
			return fmt.Sprintf("runs in one stage with %s, which changes", other)
		}
	}
	for _, v := range c.before.verts {
		if !slices.Contains(v.nodes, id) {
			continue
		}
		for _, other := range v.nodes {
			if !slices.Contains(with, other) {
				return fmt.Sprintf("ran in one stage with %s", other)
			}
		}
	}
	return "runs in another stage"
}

// places says where a node that is a part of its own, or the first of one, begins.
func (c *comparison) places(n *NodeChange) (list []string) {
	for _, m := range c.diff.Moves {
		if m.Part != n.ID || n.Change == Removed {
			continue
		}
		switch {
		case len(m.From) > 1 || len(m.From) == 1 && m.From[0] != n.ID:
			list = append(list, fmt.Sprintf("goes on in %s where %s stood", m.Stream, joined(m.From)))
		case m.Start == spec.Earliest:
			list = append(list, fmt.Sprintf("reads %s from the oldest event on", m.Stream))
		case c.before.hasStream(m.Stream):
			list = append(list, fmt.Sprintf("reads %s from now on", m.Stream))
		}
	}
	for _, f := range c.diff.Finish {
		if f.Part == n.ID {
			list = append(list, fmt.Sprintf("reads %s to its end first", f.Stream))
		}
	}
	return list
}
