package spec

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/dag"
	"github.com/millrace/millrace/engine/expr"
)

// Graph returns the pipeline's logical graph: an edge from each input to the node
// that reads it.
func (p *Pipeline) Graph() *dag.Graph[string] {
	g := dag.New[string]()
	for _, n := range p.Nodes {
		g.Add(n.ID)
	}
	for _, n := range p.Nodes {
		for _, input := range n.Inputs {
			g.Connect(input, n.ID)
		}
	}
	return g
}

// Node returns the node of that id, nil if there is none.
func (p *Pipeline) Node(id string) *Node {
	i := slices.IndexFunc(p.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return nil
	}
	return &p.Nodes[i]
}

func (c *checker) cycles() {
	for _, path := range c.p.Graph().Cycles() {
		if len(path) > 2 { // a node that reads itself is reported at its input
			c.problem(c.nodeAt(path[0]), "cycle", "a pipeline has no loops", "cycle: %s", dag.Arrow(path))
		}
	}
}

// unused reports nodes whose outputs reach no sink.
func (c *checker) unused() {
	var sinks []string
	for _, n := range c.p.Nodes {
		if n.Sink != "" {
			sinks = append(sinks, n.ID)
		}
	}
	if len(sinks) == 0 {
		if len(c.p.Nodes) > 0 {
			c.problem(c.at("nodes"), "no-sink", "", "the pipeline has no sink")
		}
		return
	}
	for _, id := range c.p.Graph().Unused(sinks...) {
		if n := c.p.Node(id); id != "" && n.Kind() != "" {
			c.problem(c.nodeAt(id), "unused-node", "name it in the inputs of a sink or transform, or remove it", "node %q leads to no sink", id)
		}
	}
}

// nodeAt is the place of a node's id.
func (c *checker) nodeAt(id string) *yaml.Node { return c.at(fmt.Sprintf("nodes[%d].id", c.ids[id])) }

// contents follows what the edges carry and reports nodes that get what they
// cannot read.
func (c *checker) contents() {
	order, err := c.p.Graph().Sort()
	if err != nil {
		return
	}
	carried := map[string][]Content{}
	for _, id := range order {
		i, ok := c.ids[id]
		if n := &c.p.Nodes[i]; ok && n.Type != nil {
			c.reads(n, i, carried)
			carried[id] = c.writes(n, carried)
			c.keySees(n, i, carried[id])
		}
	}
}

// writes returns what n hands on: nothing known, one content or both.
func (c *checker) writes(n *Node, carried map[string][]Content) []Content {
	if n.Type.Writes != Any {
		return []Content{n.Type.Writes}
	}
	var all []Content
	for _, input := range n.Inputs {
		for _, content := range carried[input] {
			if !slices.Contains(all, content) {
				all = append(all, content)
			}
		}
	}
	return all
}

func (c *checker) reads(n *Node, i int, carried map[string][]Content) {
	for j, input := range n.Inputs {
		at := c.at(fmt.Sprintf("nodes[%d].inputs[%d]", i, j))
		has := carried[input]
		switch {
		case n.Type.Reads == Record && slices.Contains(has, Payload):
			c.problem(at, "needs-record", "put a `transform: json` or `transform: csv` between them",
				"%s %q reads fields, but %q hands on undecoded payloads", n.Type.Kind, n.ID, input)
		case n.Type.Reads == Payload && slices.Contains(has, Record):
			c.problem(at, "needs-payload", "", "%s %q decodes payloads, but %q hands on records", n.Type.Kind, n.ID, input)
		}
	}
}

// keySees checks that a key expression finds what it looks at in the outputs.
func (c *checker) keySees(n *Node, i int, content []Content) {
	path := fmt.Sprintf("nodes[%d].key", i)
	program, err := expr.Compile(n.Key)
	if n.Key == "" || err != nil || c.failed[path] || c.values[path] == nil {
		return
	}
	switch {
	case program.NeedsRecord() && slices.Contains(content, Payload):
		c.problem(c.at(path), "needs-record", "set the key on the node that decodes, or use payload.x, routing_key or headers",
			"key %q looks at fields, but %q hands on undecoded payloads", n.Key, n.ID)
	case program.NeedsPayload() && slices.Contains(content, Record):
		c.problem(c.at(path), "needs-payload", "name the field itself", "key %q looks into the payload, but %q hands on records", n.Key, n.ID)
	}
}
