package tap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec/nearest"
	"github.com/millrace/millrace/engine/stream"
)

// View is what a tap of one node shows.
type View struct {
	Node  string
	Own   bool        // what the node hands on; false: what it reads, for that rests nowhere
	Edges []plan.Edge // the streams; of the journal, the events of source Node alone
}

// ViewOf finds what is shown of node id: its own events where they rest in a
// stream, else what it reads. An error tells of an unknown id which are known.
func ViewOf(p *plan.Plan, id string) (View, error) {
	if slices.Contains(p.Ingests, id) {
		return View{id, true, []plan.Edge{{Node: id, Stream: stream.Journal}}}, nil
	}
	if n := transform(p, id); n != nil {
		if n.Stream != "" {
			return View{id, true, []plan.Edge{{Node: id, Stream: n.Stream}}}, nil
		}
		return View{id, false, resting(p, n.Edges, nil)}, nil
	}
	for _, s := range p.Sinks {
		if s.ID == id {
			return View{id, false, s.Edges}, nil
		}
	}
	for _, c := range p.Charts {
		if c.ID == id {
			return View{id, false, c.Edges}, nil
		}
	}
	return View{}, unknown(id, nodesOf(p))
}

func transform(p *plan.Plan, id string) *plan.StageNode {
	for i := range p.Stages {
		for j := range p.Stages[i].Nodes {
			if n := &p.Stages[i].Nodes[j]; n.ID == id {
				return n
			}
		}
	}
	return nil
}

// resting adds to list, once each, the edges at which the events rest that come
// over edges.
func resting(p *plan.Plan, edges, list []plan.Edge) []plan.Edge {
	for _, e := range edges {
		switch {
		case e.Stream == "":
			list = resting(p, transform(p, e.Node).Edges, list)
		case !slices.Contains(list, e):
			list = append(list, e)
		}
	}
	return list
}

func nodesOf(p *plan.Plan) []string {
	ids := slices.Clone(p.Ingests)
	for _, s := range p.Stages {
		for _, n := range s.Nodes {
			ids = append(ids, n.ID)
		}
	}
	for _, s := range p.Sinks {
		ids = append(ids, s.ID)
	}
	for _, c := range p.Charts {
		ids = append(ids, c.ID)
	}
	return ids
}

const mostNamed = 20 // nodes that an error names

func unknown(id string, known []string) error {
	hint := ""
	if near := nearest.Of(id, known); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	more := ""
	if len(known) > mostNamed {
		known, more = known[:mostNamed], ", ..."
	}
	return fmt.Errorf("the pipeline has no node %q%s; there are %s%s", id, hint, strings.Join(known, ", "), more)
}

// sources returns the nodes whose events are meant of stream name; nil means all.
func (v View) sources(name string) map[string]bool {
	if name != stream.Journal {
		return nil
	}
	ids := map[string]bool{}
	for _, e := range v.Edges {
		if e.Stream == stream.Journal {
			ids[e.Node] = true
		}
	}
	return ids
}

// streams names the streams, each once.
func (v View) streams() []string {
	var names []string
	for _, e := range v.Edges {
		if !slices.Contains(names, e.Stream) {
			names = append(names, e.Stream)
		}
	}
	return names
}

// payloads reports whether only the journal is shown, which holds no records.
func (v View) payloads() bool { return slices.Equal(v.streams(), []string{stream.Journal}) }

// String says in words what is shown.
func (v View) String() string {
	var parts []string
	for _, name := range v.streams() {
		if name != stream.Journal {
			parts = append(parts, "stream "+name)
			continue
		}
		var ids []string
		for _, e := range v.Edges {
			if e.Stream == name {
				ids = append(ids, e.Node)
			}
		}
		parts = append(parts, "journal of "+strings.Join(ids, ", "))
	}
	what := "reads"
	if v.Own {
		what = "hands on"
	}
	return fmt.Sprintf("what %s %s: %s", v.Node, what, strings.Join(parts, " and "))
}
