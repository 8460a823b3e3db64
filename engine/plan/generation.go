package plan

import "slices"

// For returns the plan of another generation of the pipeline: it reads the same
// journal, takes nothing in, draws no chart, and rests its events in streams of
// its own, so that nothing of the live generation is touched.
func (p *Plan) For(generation string) *Plan {
	own := func(name string) string {
		if name == "" || name == journal {
			return name
		}
		return name + "@" + generation
	}
	edges := func(list []Edge) []Edge {
		list = slices.Clone(list)
		for i := range list {
			list[i].Stream = own(list[i].Stream)
		}
		return list
	}
	out := &Plan{Pipeline: p.Pipeline, Lanes: p.Lanes}
	for _, s := range p.Streams {
		s.Name = own(s.Name)
		out.Streams = append(out.Streams, s)
	}
	for _, s := range p.Stages {
		s.Inputs, s.Nodes = slices.Clone(s.Inputs), slices.Clone(s.Nodes)
		for i := range s.Inputs {
			s.Inputs[i] = own(s.Inputs[i])
		}
		for i := range s.Nodes {
			s.Nodes[i].Stream, s.Nodes[i].Edges = own(s.Nodes[i].Stream), edges(s.Nodes[i].Edges)
		}
		out.Stages = append(out.Stages, s)
	}
	for _, s := range p.Sinks {
		s.Edges = edges(s.Edges)
		out.Sinks = append(out.Sinks, s)
	}
	return out
}
