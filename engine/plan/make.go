package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/dag"
	"github.com/millrace/millrace/engine/spec"
)

// journal is the stream of everything that sources bring in, and ingest what
// appends to it.
const (
	journal = "journal"
	ingest  = "ingest"
)

// ChartType is the sink type that has no stage: the live hub follows its streams.
const ChartType = "chart"

// Make plans p. The rules, in this order:
//
//   - what sources bring in rests in the journal;
//   - what a transform hands on rests in a stream of its own if the node has a
//     key or is durable, or if a sink reads it;
//   - whoever reads a node that has a stream reads the stream;
//   - transforms that read each other without a stream between them are one
//     stage;
//   - where stages would then wait for each other in a circle, the nodes within
//     them get streams too.
//
// A pipeline that [spec.Parse] accepted can always be planned; one put together
// by hand may have a cycle or miss an input, which is reported.
func Make(p *spec.Pipeline) (*Plan, []spec.Diagnostic) {
	m := &maker{p: p, graph: p.Graph(), why: map[string]string{}, stage: map[string]string{}}
	if diags := m.order(); len(diags) > 0 {
		return nil, diags
	}
	m.rest()
	groups := m.groups()
	for m.cutCircles(groups) {
		groups = m.groups()
	}
	return m.plan(groups), nil
}

// IsChart reports whether n is a chart sink.
func IsChart(n *spec.Node) bool { return n.Sink == ChartType }

type maker struct {
	p      *spec.Pipeline
	graph  *dag.Graph[string]
	sorted []string
	why    map[string]string // transforms whose outputs rest in a stream, and the reason
	stage  map[string]string // transform -> id of its stage
}

func (m *maker) order() []spec.Diagnostic {
	var diags []spec.Diagnostic
	for i := range m.p.Nodes {
		n := &m.p.Nodes[i]
		for _, input := range n.Inputs {
			if !m.graph.Has(input) {
				diags = append(diags, m.refuse(n, "missing-input", fmt.Sprintf("there is no node %q", input)))
			}
		}
	}
	for _, path := range m.graph.Cycles() {
		diags = append(diags, m.refuse(m.p.Node(path[0]), "cycle", "cycle: "+dag.Arrow(path)))
	}
	if len(diags) == 0 {
		m.sorted, _ = m.graph.Sort() // it has no cycle
	}
	return diags
}

func (m *maker) refuse(n *spec.Node, code, message string) spec.Diagnostic {
	return spec.Diagnostic{Severity: spec.Error, File: m.p.File, Line: n.Line, Column: n.Column, Code: code, Message: message}
}

// inner reports whether id is a transform or a plugin.
func (m *maker) inner(id string) bool {
	n := m.p.Node(id)
	return n.Source == "" && n.Sink == ""
}

// rest decides which nodes have a stream.
func (m *maker) rest() {
	for _, id := range m.sorted {
		if !m.inner(id) {
			continue
		}
		var why []string
		if n := m.p.Node(id); n.Key != "" {
			why = append(why, "key "+n.Key)
		}
		if m.p.Node(id).Durable {
			why = append(why, "durable")
		}
		if sinks := m.sinksOf(id); len(sinks) > 0 {
			why = append(why, "read by "+strings.Join(sinks, ", "))
		}
		if len(why) > 0 {
			m.why[id] = strings.Join(why, "; ")
		}
	}
}

func (m *maker) sinksOf(id string) []string {
	return slices.DeleteFunc(m.graph.Outputs(id), func(out string) bool { return m.p.Node(out).Sink == "" })
}

// rests reports whether what id hands on rests in a stream.
func (m *maker) rests(id string) bool { return !m.inner(id) || m.why[id] != "" }

// groups returns the transforms of each stage in topological order, stages by
// their first node.
func (m *maker) groups() [][]string {
	fused := dag.New[string]()
	for _, id := range m.sorted {
		if m.inner(id) {
			fused.Add(id)
		}
	}
	for _, id := range fused.Nodes() {
		for _, input := range m.graph.Inputs(id) {
			if !m.rests(input) {
				fused.Connect(input, id)
			}
		}
	}
	groups := fused.Components()
	for _, g := range groups {
		for _, id := range g {
			m.stage[id] = g[0]
		}
	}
	return groups
}

// cutCircles gives streams to the nodes of stages that wait for each other in a
// circle, or for themselves, and reports whether it did. Each node alone is a
// stage in the end, and the nodes have no circle.
func (m *maker) cutCircles(groups [][]string) bool {
	cut := false
	for _, circle := range m.stageGraph(groups).Cycles() {
		for _, id := range m.sorted {
			if m.inner(id) && m.why[id] == "" && slices.Contains(circle, m.stage[id]) && len(m.graph.Outputs(id)) > 0 {
				m.why[id] = "keeps stages out of a circle"
				cut = true
			}
		}
	}
	return cut
}

// stageGraph has an edge from each stage to the stages that read its streams.
func (m *maker) stageGraph(groups [][]string) *dag.Graph[string] {
	g := dag.New[string]()
	for _, group := range groups {
		g.Add(group[0])
	}
	for _, id := range m.sorted {
		for _, input := range m.graph.Inputs(id) {
			if m.inner(id) && m.inner(input) && m.rests(input) {
				g.Connect(m.stage[input], m.stage[id])
			}
		}
	}
	return g
}

func (m *maker) plan(groups [][]string) *Plan {
	out := &Plan{
		Pipeline: m.p.Name, Lanes: m.p.Lanes,
		Streams: []Stream{{Name: journal, Producer: ingest, Why: "everything that sources bring in"}},
		Ingests: []string{}, Stages: []Stage{}, Sinks: []SinkRun{}, Charts: []Chart{},
	}
	order, _ := m.stageGraph(groups).Sort() // cutCircles left none
	for _, id := range order {
		i := slices.IndexFunc(groups, func(g []string) bool { return g[0] == id })
		out.Stages = append(out.Stages, m.makeStage(groups[i]))
	}
	for _, id := range m.sorted {
		if m.inner(id) && m.rests(id) {
			out.Streams = append(out.Streams, Stream{Name: id, Producer: m.stage[id], Why: m.why[id]})
		}
	}
	for i := range m.p.Nodes {
		n := &m.p.Nodes[i]
		switch {
		case n.Source != "":
			out.Ingests = append(out.Ingests, n.ID)
			if told, ok := n.With.(interface{ PlanNote() string }); ok && told.PlanNote() != "" {
				out.Notes = append(out.Notes, n.ID+" "+told.PlanNote())
			}
		case IsChart(n):
			out.Charts = append(out.Charts, Chart{ID: n.ID, Edges: m.edges(n), Spec: n})
		case n.Sink != "":
			out.Sinks = append(out.Sinks, SinkRun{ID: n.ID, Edges: m.edges(n), Spec: n})
		}
	}
	return out
}

func (m *maker) makeStage(group []string) Stage {
	s := Stage{ID: group[0]}
	for _, id := range group {
		n := m.p.Node(id)
		made := StageNode{ID: id, Edges: m.edges(n), Key: n.Key, Spec: n}
		if m.rests(id) {
			made.Stream = id
		}
		for _, e := range made.Edges {
			if e.Stream != "" && !slices.Contains(s.Inputs, e.Stream) {
				s.Inputs = append(s.Inputs, e.Stream)
			}
		}
		s.Nodes = append(s.Nodes, made)
	}
	return s
}

func (m *maker) edges(n *spec.Node) []Edge {
	edges := make([]Edge, len(n.Inputs))
	for i, input := range n.Inputs {
		edges[i] = Edge{Node: input}
		switch {
		case m.p.Node(input).Source != "":
			edges[i].Stream = journal
		case m.rests(input):
			edges[i].Stream = input
		}
	}
	return edges
}
