package plan

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/millrace/millrace/engine/spec"
)

// Write explains the plan: who reads which stream, what runs together and where
// events rest. The text is for people; its form may change.
func (p *Plan) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "pipeline %s: %s, %s, %d lanes each\n", p.Pipeline,
		counted(len(p.Stages), "stage"), counted(len(p.Streams), "stream"), p.Lanes)
	fmt.Fprintf(t, "\ningest\t%s -> %s\n", strings.Join(p.Ingests, ", "), journal)
	for _, note := range p.Notes {
		fmt.Fprintf(t, "  %s\n", note)
	}
	for _, s := range p.Stages {
		fmt.Fprintf(t, "\nstage %s\t%s -> %s\n", s.ID, strings.Join(s.Inputs, ", "), strings.Join(s.outputs(), ", "))
		for _, n := range s.Nodes {
			fmt.Fprintf(t, "  %s\t%s\tfrom %s%s\n", n.ID, typeName(n.Spec), sources(n.Edges), n.ends())
		}
	}
	for _, s := range p.Sinks {
		fmt.Fprintf(t, "\nsink %s\t%s\tfrom %s\n", s.ID, typeName(s.Spec), rests(s.Edges))
	}
	for _, c := range p.Charts {
		fmt.Fprintf(t, "\nchart %s\tlive page\tfrom %s\n", c.ID, rests(c.Edges))
	}
	fmt.Fprintf(t, "\nstreams\n")
	for _, s := range p.Streams {
		fmt.Fprintf(t, "  %s\tby %s\t%s\n", s.Name, s.Producer, s.Why)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("plan of %q: %w", p.Pipeline, err)
	}
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func typeName(n *spec.Node) string {
	if n == nil {
		return ""
	}
	return n.TypeName()
}

// outputs are the streams that the stage appends to.
func (s *Stage) outputs() []string {
	var out []string
	for _, n := range s.Nodes {
		if n.Stream != "" {
			out = append(out, n.Stream)
		}
	}
	return out
}

func (n *StageNode) ends() string {
	switch {
	case n.Key != "":
		return fmt.Sprintf(", key %s -> %s", n.Key, n.Stream)
	case n.Stream != "":
		return " -> " + n.Stream
	}
	return ""
}

// sources names where a node's events come from; what crosses a stream is in
// brackets.
func sources(edges []Edge) string {
	names := make([]string, len(edges))
	for i, e := range edges {
		names[i] = e.Node
		if e.Stream != "" {
			names[i] = "[" + e.Node + "]"
		}
	}
	return strings.Join(names, ", ")
}

// rests names the streams that a sink reads.
func rests(edges []Edge) string {
	names := make([]string, len(edges))
	for i, e := range edges {
		names[i] = "[" + e.Stream + "]"
		if e.Stream == journal {
			names[i] = "[" + journal + "] of " + e.Node
		}
	}
	return strings.Join(names, ", ")
}
