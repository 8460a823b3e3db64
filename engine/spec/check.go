package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/spec/nearest"
)

// checker finds what is wrong with a pipeline beyond the types of its fields.
type checker struct {
	*decoder
	p   *Pipeline
	cat *Catalog
	ids map[string]int // node id -> its first index

	openEnds bool // an input is missing or wrong: what leads where is not known
}

func (c *checker) check() {
	c.header()
	c.redactions()
	c.connections()
	c.identifiers()
	for i := range c.p.Nodes {
		c.node(i)
	}
	c.edges()
	c.contents()
	c.servers()
	c.p.defaults()
	if !HasErrors(c.diags) {
		c.lint()
	}
}

var (
	pipelineName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	nodeID       = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
)

// reserved are names of the engine's own streams and producers.
var reserved = []string{"journal", "ingest"}

func (c *checker) header() {
	if name := c.p.Name; name != "" && !c.failed["name"] && !pipelineName.MatchString(name) {
		c.wrongName("name", "-")
	}
	if c.p.Limits.Message > maxMessage {
		c.problem(c.at("limits.message"), "out-of-range", "limits: { message: 16MiB }", "a message of %s does not fit into a frame, expected at most %s", c.p.Limits.Message, maxMessage)
	}
}

// redactions checks what is to be hidden.
func (c *checker) redactions() {
	for i, rule := range c.p.Tap.Redact {
		path := fmt.Sprintf("tap.redact[%d]", i)
		if err := redact.Check(rule); err != nil && !c.failed[path] {
			c.problem(c.at(path), "wrong-value", "", "%s: %v", c.quoted(c.at(path)), err)
		}
	}
}

// maxMessage is the largest limit of a message: a frame of the log holds twice as much.
const maxMessage = Bytes(32 << 20)

func (c *checker) wrongName(path, more string) {
	hint := fmt.Sprintf("begin with a letter a-z, go on with a-z, 0-9, _%s, 63 characters at most", more)
	c.problem(c.values[path], "bad-name", hint, "%s is no valid %s", c.quoted(c.values[path]), fieldName(path))
}

// identifiers checks the nodes' ids and remembers where each is.
func (c *checker) identifiers() {
	c.ids = map[string]int{}
	if c.keys["nodes"] != nil && len(c.p.Nodes) == 0 && !c.failed["nodes"] {
		c.problem(c.keys["nodes"], "missing-field", "", "nodes: a pipeline has at least one source and one sink")
	}
	for i, n := range c.p.Nodes {
		path := fmt.Sprintf("nodes[%d].id", i)
		if n.ID == "" || c.values[path] == nil {
			continue
		}
		switch first, repeated := c.ids[n.ID]; {
		case repeated:
			line := c.values[fmt.Sprintf("nodes[%d].id", first)].Line
			c.problem(c.values[path], "duplicate-id", "", "node %q is already defined in line %d", n.ID, line)
			continue
		case !nodeID.MatchString(n.ID):
			c.wrongName(path, "")
		case slices.Contains(reserved, n.ID):
			c.problem(c.values[path], "bad-name", "", "%q is the name of a stream of the engine", n.ID)
		}
		c.ids[n.ID] = i
	}
}

// at returns the place of a path's value, or of the nearest thing around it.
func (c *checker) at(path string) *yaml.Node {
	for ; path != ""; path = parent(path) {
		if n := c.values[path]; n != nil {
			if key := c.keys[path]; key != nil && n.Kind != yaml.ScalarNode {
				return key
			}
			return n
		}
	}
	return &yaml.Node{Line: 1, Column: 1}
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// edges checks every input by name.
func (c *checker) edges() {
	for i := range c.p.Nodes {
		n := &c.p.Nodes[i]
		seen := map[string]bool{}
		for j, input := range n.Inputs {
			path := fmt.Sprintf("nodes[%d].inputs[%d]", i, j)
			if input == "" || c.failed[path] {
				c.openEnds = true
				continue
			}
			if seen[input] {
				c.problem(c.at(path), "duplicate-input", "", "%q is named twice", input)
			}
			seen[input] = true
			c.edge(i, input, path)
		}
	}
	c.cycles()
	if !c.openEnds {
		c.unused()
	}
}

func (c *checker) edge(reader int, input, path string) {
	n := &c.p.Nodes[reader]
	at := c.at(path)
	i, known := c.ids[input]
	switch {
	case !known:
		c.openEnds = true
		c.problem(at, "missing-input", c.inputHint(n, input), "there is no node %s", c.quoted(at))
	case i == reader:
		c.problem(at, "self-input", "", "node %q reads its own output", n.ID)
	case c.p.Nodes[i].Sink != "":
		c.problem(at, "sink-as-input", "", "%q is a sink, nothing can be read from it", input)
	}
}

func (c *checker) inputHint(n *Node, input string) string {
	var ids []string
	for _, other := range c.p.Nodes {
		if other.ID != n.ID && other.Sink == "" && other.ID != "" {
			ids = append(ids, other.ID)
		}
	}
	if near := nearest.Of(input, ids); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(ids) > 0 && len(ids) <= 12 {
		return "nodes with outputs: " + strings.Join(ids, ", ")
	}
	return ""
}
