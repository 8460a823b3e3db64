package plan

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/engine/spec"
)

// Change is what becomes of a node or part when a plan takes another one's place.
type Change string

// The changes.
const (
	Kept      Change = "kept"      // runs on and does not notice
	Restarted Change = "restarted" // ends between two units and goes on in its new form
	Added     Change = "added"
	Removed   Change = "removed"
)

// NodeChange is what becomes of one node, and why.
type NodeChange struct {
	ID     string   `json:"id"`
	Kind   string   `json:"kind"` // source, transform, plugin or sink
	Change Change   `json:"change"`
	Why    []string `json:"why,omitempty"`
}

// PartKind says what a part is.
type PartKind string

// The kinds of part.
const (
	SourcePart PartKind = "source"
	StagePart  PartKind = "stage"
	SinkPart   PartKind = "sink"
	ChartPart  PartKind = "chart"
)

// PartChange is what becomes of a part: what runs, and is ended and begun, alone. A
// stage's id is that of its first node.
type PartChange struct {
	Kind   PartKind
	ID     string
	Change Change
}

// Reading is a stream that a stage or sink reads.
type Reading struct{ Part, Stream string }

// Move gives a stage or sink of the new plan a place in a stream that it does not
// read in the old one.
type Move struct {
	Reading
	Sink  bool
	From  []string // parts of the old plan whose place it takes: they stand at one place by then
	Start string   // if From is empty: [spec.Earliest] or [spec.Now], the latter also for a new stream
}

// Alignment names parts of the old plan that read the stream and must stand at one
// place in it before one part of the new plan goes on for them.
type Alignment struct {
	Stream string
	Parts  []string
}

// Diff is how one plan of a pipeline takes the place of another while it runs.
// Nothing that the old one has taken in is lost or handled twice if, in this order:
//
//   - the old parts that change are ended upstream first, each of them after it has
//     read what Finish names up to the end;
//   - those that Align names are brought to one place;
//   - Moves and Forget are done, in one step;
//   - the new parts begin.
type Diff struct {
	Refused []string     // what cannot be changed under way, and how it is changed
	Nodes   []NodeChange // in the new file's order, removed ones behind
	Old     []PartChange // parts of the old plan, as events go: kept, restarted or removed
	New     []PartChange // parts of the new plan, as events go: kept, restarted or added

	Finish []Reading
	Align  []Alignment
	Moves  []Move
	Forget []Reading
	States []string // nodes whose keyed state ends: those removed, and those added, of an earlier life
}

// Compare returns how the plan of file next takes the place of the one of file old.
// It changes and opens nothing.
func Compare(old, next *spec.Pipeline, oldPlan, nextPlan *Plan) *Diff {
	c := &comparison{
		before: newSide(old, oldPlan), after: newSide(next, nextPlan),
		why: map[string][]string{},
	}
	c.settings()
	c.nodes()
	c.parts()
	c.readers()
	c.explain()
	return &c.diff
}

// Changes reports whether there is anything to do.
func (d *Diff) Changes() bool {
	return slices.ContainsFunc(d.Nodes, func(n NodeChange) bool { return n.Change != Kept })
}

// Counts returns how many nodes are kept, restarted, added and removed.
func (d *Diff) Counts() map[Change]int {
	counts := map[Change]int{}
	for _, n := range d.Nodes {
		counts[n.Change]++
	}
	return counts
}

// comparison is a diff being made.
type comparison struct {
	before, after *side
	why           map[string][]string // by node: why it, or its part, changes
	diff          Diff
}

// side is one of the two plans.
type side struct {
	file  *spec.Pipeline
	plan  *Plan
	verts []vertex // stages in topological order, then sinks
}

// vertex is a stage or sink: what has places in streams.
type vertex struct {
	id     string
	sink   bool
	nodes  []string
	inputs []string
	edges  []hop
}

// hop is one way by which events reach a node through a stream.
type hop struct{ from, stream, to string }

func newSide(file *spec.Pipeline, p *Plan) *side {
	s := &side{file: file, plan: p}
	for i := range p.Stages {
		st := &p.Stages[i]
		v := vertex{id: st.ID, inputs: st.Inputs}
		for _, n := range st.Nodes {
			v.nodes = append(v.nodes, n.ID)
			v.hops(n.ID, n.Edges)
		}
		s.verts = append(s.verts, v)
	}
	for _, k := range p.Sinks {
		v := vertex{id: k.ID, sink: true, nodes: []string{k.ID}}
		v.hops(k.ID, k.Edges)
		for _, h := range v.edges {
			if !slices.Contains(v.inputs, h.stream) {
				v.inputs = append(v.inputs, h.stream)
			}
		}
		s.verts = append(s.verts, v)
	}
	return s
}

func (v *vertex) hops(to string, edges []Edge) {
	for _, e := range edges {
		if e.Stream != "" {
			v.edges = append(v.edges, hop{e.Node, e.Stream, to})
		}
	}
}

func (v *vertex) reads(stream string) bool { return slices.Contains(v.inputs, stream) }

// find returns the vertex of that id, nil if there is none.
func (s *side) find(id string) *vertex {
	for i := range s.verts {
		if s.verts[i].id == id {
			return &s.verts[i]
		}
	}
	return nil
}

func (s *side) hasStream(name string) bool {
	return slices.ContainsFunc(s.plan.Streams, func(st Stream) bool { return st.Name == name })
}

// reach returns the nodes that events of these nodes come to, and the nodes themselves.
func (s *side) reach(nodes []string) map[string]bool {
	graph := s.file.Graph()
	found := map[string]bool{}
	for _, n := range graph.Nodes() {
		found[n] = true
	}
	for _, n := range graph.Unreachable(nodes...) {
		delete(found, n)
	}
	return found
}

// nodes lists the nodes of both files: kept or restarted is decided by their parts.
func (c *comparison) nodes() {
	for i := range c.after.file.Nodes {
		n := &c.after.file.Nodes[i]
		change := NodeChange{ID: n.ID, Kind: string(n.Kind()), Change: Added}
		if was := c.before.file.Node(n.ID); was != nil {
			change.Change = Kept
			c.why[n.ID] = c.differences(was, n)
			c.sameKind(was, n)
		} else if c.needsStart(n) {
			c.refuse("sink %q is new: say `start: %s` (all that the log still has) or `start: %s` (what comes from then on)", n.ID, spec.Earliest, spec.Now)
		}
		c.diff.Nodes = append(c.diff.Nodes, change)
	}
	for i := range c.before.file.Nodes {
		if n := &c.before.file.Nodes[i]; c.after.file.Node(n.ID) == nil {
			c.diff.Nodes = append(c.diff.Nodes, NodeChange{ID: n.ID, Kind: string(n.Kind()), Change: Removed})
		}
	}
	for _, n := range c.diff.Nodes {
		if n.Kind == string(spec.Plugin) && (n.Change == Added || n.Change == Removed) {
			c.diff.States = append(c.diff.States, n.ID)
		}
	}
}

func (c *comparison) needsStart(n *spec.Node) bool {
	return n.Sink != "" && !IsChart(n) && n.Start == ""
}

func (c *comparison) refuse(format string, args ...any) {
	c.diff.Refused = append(c.diff.Refused, fmt.Sprintf(format, args...))
}

// sameKind refuses a node that becomes something else under the same name: what it
// has read and stored would be taken for the new one's.
func (c *comparison) sameKind(was, n *spec.Node) {
	a, b := roleOf(was), roleOf(n)
	if a != b {
		c.refuse("node %q: %s becomes %s: give the new one another id", n.ID, a, b)
	}
}

// roleOf is what a node's places and rows depend on: a transform may become a plugin.
func roleOf(n *spec.Node) string {
	switch {
	case n.Sink != "":
		return "sink " + n.Sink
	case n.Source != "":
		return "a source"
	}
	return "a transform"
}
