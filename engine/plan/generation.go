package plan

import "slices"

// Redriven is the generation of what drives dead letters again.
const Redriven = "redrive"

// StreamOf names generation's own stream in the place of the live one, or of the
// live node's input.
func StreamOf(name, generation string) string { return name + "@" + generation }

// For returns the plan of another generation of the pipeline: it reads the same
// journal, takes nothing in, and rests its events in streams of its own, so that
// nothing of the live generation is touched.
func (p *Plan) For(generation string) *Plan {
	own := func(name string) string {
		if name == "" || name == journal {
			return name
		}
		return StreamOf(name, generation)
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
	for _, c := range p.Charts {
		c.Edges = edges(c.Edges)
		out.Charts = append(out.Charts, c)
	}
	return out
}

// Redrive returns the plan by which a node's dead letters are driven again: the
// node, and what stands behind it up to the next streams, which are the live ones.
// Its input rests in the stream StreamOf(id, Redriven). ok is false if the plan has
// no such transform or sink.
func (p *Plan) Redrive(id string) (out *Plan, ok bool) {
	in := StreamOf(id, Redriven)
	out = &Plan{Pipeline: p.Pipeline, Lanes: p.Lanes, Streams: []Stream{{Name: in, Producer: "dlq replay", Why: "dead letters of " + id}}}
	for _, s := range p.Sinks {
		if s.ID == id {
			s.Edges = []Edge{{Node: id, Stream: in}}
			out.Sinks = []SinkRun{s}
		}
	}
	for _, s := range p.Stages {
		if nodes := s.from(id, in); len(nodes) > 0 {
			out.Stages = []Stage{{ID: id, Inputs: []string{in}, Nodes: nodes}}
		}
	}
	return out, len(out.Sinks)+len(out.Stages) > 0
}

// from returns the stage's node id, reading stream, and the nodes of the stage that
// read it or each other; none if the stage has no such node.
func (s *Stage) from(id, stream string) []StageNode {
	var nodes []StageNode
	reached := map[string]bool{}
	for _, n := range s.Nodes {
		if n.ID == id {
			n.Edges = []Edge{{Node: id, Stream: stream}}
		} else {
			n.Edges = slices.DeleteFunc(slices.Clone(n.Edges), func(e Edge) bool { return e.Stream != "" || !reached[e.Node] })
		}
		if len(n.Edges) > 0 {
			reached[n.ID] = true
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Only returns the part of the plan whose nodes keep names: other sinks, charts and
// transforms are left out, and so are streams that nobody fills then.
func (p *Plan) Only(keep func(node string) bool) *Plan {
	out := &Plan{Pipeline: p.Pipeline, Lanes: p.Lanes}
	edges := func(list []Edge) []Edge {
		return slices.DeleteFunc(slices.Clone(list), func(e Edge) bool { return !keep(e.Node) })
	}
	for _, s := range p.Streams {
		if s.Name == journal || keep(s.Name) {
			out.Streams = append(out.Streams, s)
		}
	}
	for _, s := range p.Stages {
		if made := s.only(keep, edges); len(made.Nodes) > 0 {
			out.Stages = append(out.Stages, made)
		}
	}
	for _, s := range p.Sinks {
		if s.Edges = edges(s.Edges); keep(s.ID) && len(s.Edges) > 0 {
			out.Sinks = append(out.Sinks, s)
		}
	}
	for _, c := range p.Charts {
		if c.Edges = edges(c.Edges); keep(c.ID) && len(c.Edges) > 0 {
			out.Charts = append(out.Charts, c)
		}
	}
	for _, id := range p.Ingests {
		if keep(id) {
			out.Ingests = append(out.Ingests, id)
		}
	}
	return out
}

func (s *Stage) only(keep func(string) bool, edges func([]Edge) []Edge) Stage {
	out := Stage{ID: s.ID}
	for _, n := range s.Nodes {
		if n.Edges = edges(n.Edges); !keep(n.ID) || len(n.Edges) == 0 {
			continue
		}
		out.Nodes = append(out.Nodes, n)
		for _, e := range n.Edges {
			if e.Stream != "" && !slices.Contains(out.Inputs, e.Stream) {
				out.Inputs = append(out.Inputs, e.Stream)
			}
		}
	}
	return out
}

// OnlyStage returns the plan of one stage alone, without sources.
func (p *Plan) OnlyStage(id string) *Plan {
	stages := slices.DeleteFunc(slices.Clone(p.Stages), func(s Stage) bool { return s.ID != id })
	return &Plan{Pipeline: p.Pipeline, Lanes: p.Lanes, Streams: p.Streams, Stages: stages}
}

// OnlySink returns the plan of one sink alone.
func (p *Plan) OnlySink(id string) *Plan {
	sinks := slices.DeleteFunc(slices.Clone(p.Sinks), func(s SinkRun) bool { return s.ID != id })
	return &Plan{Pipeline: p.Pipeline, Lanes: p.Lanes, Streams: p.Streams, Sinks: sinks}
}

// Parts lists the ids of the parts of one kind, stages in topological order, others
// in the file's.
func (p *Plan) Parts(kind PartKind) (ids []string) {
	switch kind {
	case SourcePart:
		return slices.Clone(p.Ingests)
	case StagePart:
		for _, s := range p.Stages {
			ids = append(ids, s.ID)
		}
	case SinkPart:
		for _, s := range p.Sinks {
			ids = append(ids, s.ID)
		}
	case ChartPart:
		for _, c := range p.Charts {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// StreamNames lists the plan's streams.
func (p *Plan) StreamNames() []string {
	names := make([]string, len(p.Streams))
	for i, s := range p.Streams {
		names[i] = s.Name
	}
	return names
}
