package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/spec"
)

// Drawing is the logical graph of a pipeline, with the streams that its plan puts
// on the edges.
type Drawing struct {
	Pipeline string      `json:"pipeline"`
	Nodes    []DrawnNode `json:"nodes"` // in file order
	Edges    []DrawnEdge `json:"edges"` // by reading node, in its inputs' order
}

// DrawnNode is one node of a [Drawing].
type DrawnNode struct {
	ID    string    `json:"id"`
	Kind  spec.Kind `json:"kind"`
	Type  string    `json:"type"`            // such as "amqp" or "scale@^1"
	Stage string    `json:"stage,omitempty"` // of transforms and plugins
}

// DrawnEdge is one edge of a [Drawing].
type DrawnEdge struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Stream string `json:"stream,omitempty"` // that the events rest in on their way; "" if in none
}

// Draw returns the logical graph of p as planned by plan.
func Draw(p *spec.Pipeline, plan *Plan) *Drawing {
	d := &Drawing{Pipeline: p.Name, Nodes: []DrawnNode{}, Edges: []DrawnEdge{}}
	edges, stages := map[string][]Edge{}, map[string]string{}
	for _, s := range plan.Stages {
		for _, n := range s.Nodes {
			edges[n.ID], stages[n.ID] = n.Edges, s.ID
		}
	}
	for _, s := range plan.Sinks {
		edges[s.ID] = s.Edges
	}
	for _, c := range plan.Charts {
		edges[c.ID] = c.Edges
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		d.Nodes = append(d.Nodes, DrawnNode{ID: n.ID, Kind: n.Kind(), Type: n.TypeName(), Stage: stages[n.ID]})
		for _, e := range edges[n.ID] {
			d.Edges = append(d.Edges, DrawnEdge{From: e.Node, To: n.ID, Stream: e.Stream})
		}
	}
	return d
}

// Formats are the names that [Drawing.Write] takes.
var Formats = []string{"mermaid", "dot", "json"}

// Write writes the graph in one of [Formats].
func (d *Drawing) Write(w io.Writer, format string) error {
	var text string
	switch format {
	case "mermaid":
		text = d.mermaid()
	case "dot":
		text = d.dot()
	case "json":
		b, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return fmt.Errorf("graph of %q: %w", d.Pipeline, err)
		}
		text = string(b) + "\n"
	default:
		return fmt.Errorf("graph format %q is none of %s", format, strings.Join(Formats, ", "))
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("graph of %q: %w", d.Pipeline, err)
	}
	return nil
}

// Shapes of node kinds in mermaid: what encloses the label.
var shapes = map[spec.Kind][2]string{
	spec.Source: {"([", "])"}, spec.Transform: {"[", "]"}, spec.Plugin: {"[[", "]]"}, spec.Sink: {"[(", ")]"},
}

func (d *Drawing) mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range d.Nodes {
		s := shapes[n.Kind]
		fmt.Fprintf(&b, "  %s%s\"%s<br/>%s\"%s\n", mermaidID(n.ID), s[0], n.ID, escapeMermaid(n.Type), s[1])
	}
	for _, e := range d.Edges {
		arrow := "-->"
		if e.Stream != "" {
			arrow = "==>|" + e.Stream + "|"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", mermaidID(e.From), arrow, mermaidID(e.To))
	}
	return b.String()
}

// mermaidID keeps node ids apart from mermaid's own words.
func mermaidID(id string) string {
	switch id {
	case "end", "graph", "flowchart", "subgraph", "class", "click", "style", "default":
		return id + "_"
	}
	return id
}

// escapeMermaid writes the characters that end a label as entities.
func escapeMermaid(s string) string {
	return strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;").Replace(s)
}

var dotShapes = map[spec.Kind]string{spec.Source: "cds", spec.Transform: "box", spec.Plugin: "component", spec.Sink: "cylinder"}

func (d *Drawing) dot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR\n", d.Pipeline)
	stages := []string{}
	for _, n := range d.Nodes {
		if n.Stage == "" {
			b.WriteString("  " + n.dot())
		} else if !slices.Contains(stages, n.Stage) {
			stages = append(stages, n.Stage)
		}
	}
	for _, stage := range stages {
		fmt.Fprintf(&b, "  subgraph %q {\n    label=%q\n", "cluster_"+stage, "stage "+stage)
		for _, n := range d.Nodes {
			if n.Stage == stage {
				b.WriteString("    " + n.dot())
			}
		}
		b.WriteString("  }\n")
	}
	for _, e := range d.Edges {
		if e.Stream == "" {
			fmt.Fprintf(&b, "  %q -> %q\n", e.From, e.To)
		} else {
			fmt.Fprintf(&b, "  %q -> %q [label=%q, style=bold]\n", e.From, e.To, e.Stream)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func (n DrawnNode) dot() string {
	return fmt.Sprintf("%q [shape=%s, label=%q]\n", n.ID, dotShapes[n.Kind], n.ID+"\n"+n.Type)
}
