package spec

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/expr"
)

// Kind returns what the node does with events, "" if the file does not say.
func (n *Node) Kind() Kind {
	for _, k := range kinds {
		if *k.name(n) != "" {
			return k.kind
		}
	}
	return ""
}

// TypeName returns the name after the node's kind: the type, or the plugin with
// its version constraint.
func (n *Node) TypeName() string {
	for _, k := range kinds {
		if name := *k.name(n); name != "" {
			return name
		}
	}
	return ""
}

// PluginOptions returns the free options of a plugin node, nil if it has none.
func (n *Node) PluginOptions() map[string]any {
	options, _ := n.With.(map[string]any)
	return options
}

var kinds = []struct {
	kind Kind
	name func(*Node) *string
}{
	{Source, func(n *Node) *string { return &n.Source }},
	{Transform, func(n *Node) *string { return &n.Transform }},
	{Plugin, func(n *Node) *string { return &n.Plugin }},
	{Sink, func(n *Node) *string { return &n.Sink }},
}

// node checks one node by itself and decodes its options.
func (c *checker) node(i int) {
	n, path := &c.p.Nodes[i], fmt.Sprintf("nodes[%d]", i)
	if at := c.values[path]; at != nil {
		n.Line, n.Column = at.Line, at.Column
	}
	kind := c.kind(n, path)
	c.belongs(n, kind, path)
	c.resolve(n, kind, path)
	c.begins(n, path)
	c.options(n, path+".with")
	c.keyExpression(n, path)
	c.retry(n, path)
}

// kind returns the node's only kind.
func (c *checker) kind(n *Node, path string) Kind {
	var found []string
	for _, k := range kinds {
		if c.keys[join(path, string(k.kind))] != nil {
			found = append(found, string(k.kind))
		}
	}
	switch at := c.values[path]; {
	case at == nil || at.Kind != yaml.MappingNode:
	case len(found) == 0:
		c.problem(c.at(path), "no-type", "such as `source: amqp` or `plugin: scale@^1`", "node has no type, expected one of source, transform, plugin and sink")
	case len(found) > 1:
		c.problem(c.keys[join(path, found[1])], "several-types", "make two nodes of it", "a node is either a %s", strings.Join(found, " or a "))
	case n.Kind() == "" && !c.failed[join(path, found[0])]:
		c.problem(c.keys[join(path, found[0])], "no-type", c.cat.hint(Kind(found[0]), ""), "%s: name its type", found[0])
	}
	if len(found) != 1 {
		return ""
	}
	return n.Kind()
}

// belongs refuses fields that a node of this kind cannot have.
func (c *checker) belongs(n *Node, kind Kind, path string) {
	refuse := func(field, why string) {
		if key := c.keys[join(path, field)]; key != nil {
			c.problem(key, "misplaced-field", "", "%s", why)
		}
	}
	if kind != Plugin && kind != "" {
		refuse("reads", "only of a plugin it has to be said what it reads")
	}
	switch kind {
	case Source:
		refuse("inputs", "a source has no inputs")
		refuse("retry", "a source has nothing to try again, it reconnects by itself")
		refuse("durable", "what sources read always rests in the journal")
		refuse("order", "a source keeps its order anyway")
		refuse("parked_max", "a source has nothing that waits")
	case Sink:
		refuse("key", "a sink hands nothing on that could have a key")
		refuse("durable", "a sink hands nothing on that could rest in a stream")
	}
	if kind == Source || kind == "" || len(n.Inputs) > 0 {
		return
	}
	c.openEnds = true
	if !c.failed[join(path, "inputs")] {
		c.problem(c.at(path), "no-inputs", "inputs: [node, ...]", "a %s needs inputs", kind)
	}
}

// resolve finds the node's type.
func (c *checker) resolve(n *Node, kind Kind, path string) {
	if kind == "" {
		return
	}
	at, name := c.at(join(path, string(kind))), n.TypeName()
	if kind == Plugin {
		n.Type = c.plugin(at, name)
		if n.Reads == string(Payload) {
			n.Type.Reads = Payload
		}
		return
	}
	if n.Type = c.cat.Lookup(kind, name); n.Type == nil {
		c.problem(at, "unknown-type", c.cat.hint(kind, name), "unknown %s %s", kind, c.quoted(at))
	}
}

// begins refuses a start where there is no place to begin at.
func (c *checker) begins(n *Node, path string) {
	key := c.keys[join(path, "start")]
	if key != nil && n.Type != nil && (n.Type.Kind != Sink || n.Type.Follows) {
		c.problem(key, "misplaced-field", "", "only a sink that keeps a place in a stream begins somewhere")
	}
}

// plugin checks name@constraint. What a plugin needs of its options only the
// plugin knows: it checks them when it starts.
func (c *checker) plugin(at *yaml.Node, ref string) *NodeType {
	name, constraint, versioned := strings.Cut(ref, "@")
	switch {
	case !nodeID.MatchString(strings.ReplaceAll(name, "-", "_")):
		c.problem(at, "bad-name", "such as scale@^1", "%s names no plugin", c.quoted(at))
	case !versioned:
		c.problem(at, "bad-version", fmt.Sprintf("write %s@^1 for any version 1", name), "plugin %s has no version constraint", c.quoted(at))
	default:
		if _, err := semver.NewConstraint(constraint); err != nil {
			c.problem(at, "bad-version", "such as ^1, ~1.2, >=1.2 <2 or 1.4.0", "%s has no valid version constraint after the @", c.quoted(at))
		}
	}
	return &NodeType{Kind: Plugin, Name: name, Reads: Record, Writes: Record}
}

// options decodes `with:` into the type's own options.
func (c *checker) options(n *Node, path string) {
	given := c.raw[path]
	if n.Type == nil {
		return
	}
	if n.Type.Kind == Plugin {
		if given != nil {
			c.pluginOptions(n, given, path)
		}
		return
	}
	if n.Type.NewConfig == nil {
		if given != nil {
			c.problem(c.at(path), "unknown-field", "remove it", "%s %q has no options", n.Type.Kind, n.Type.Name)
		}
		return
	}
	config := n.Type.NewConfig()
	n.With = config
	if given == nil {
		given = &yaml.Node{Kind: yaml.MappingNode, Line: c.at(path).Line, Column: c.at(path).Column}
	}
	c.decode(given, reflect.ValueOf(config).Elem(), path, 0)
	c.connection(n, path)
	c.identity(config, path)
	c.expressions(n, path)
	c.checkers(config, path)
}

func (c *checker) pluginOptions(n *Node, given *yaml.Node, path string) {
	if given.Kind != yaml.MappingNode {
		c.wrongType(given, "a mapping", path)
		return
	}
	n.With, _ = c.plain(given, path, 0).(map[string]any)
}

// checkers lets the options check themselves and gives each finding its place. A
// field that is already wrong is not mentioned again.
func (c *checker) checkers(config any, path string) {
	checker, ok := config.(Checker)
	if !ok {
		return
	}
	for _, fe := range checker.Check() {
		at := path
		if fe.Field != "" {
			at = join(path, fe.Field)
		}
		if c.failed[at] {
			continue
		}
		diag := c.fieldDiagnostic(fe, at)
		if fe.Warning {
			diag.Severity = Warning
		}
		c.add(diag)
	}
}

func (c *checker) fieldDiagnostic(fe FieldError, path string) Diagnostic {
	value := c.values[path]
	if value != nil && value.Kind == yaml.ScalarNode {
		if e := expressionError(fe.Message, value.Value); e != nil {
			return c.expression(e, value, fieldName(fe.Field)+": ")
		}
	}
	at := c.at(path)
	diag := Diagnostic{Severity: Error, Line: at.Line, Column: at.Column, Code: "wrong-value", Message: fe.Message, Hint: fe.Hint}
	if name := fieldName(fe.Field); name != "" {
		diag.Message = name + ": " + fe.Message
	}
	return diag
}

func fieldName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// expressionError returns the error of an expression that a check reported by its
// text, with the column that the text has lost; nil if it is none.
func expressionError(message, source string) *expr.Error {
	_, err := expr.Compile(source)
	if e, ok := err.(*expr.Error); ok && strings.Contains(message, e.Message) {
		return e
	}
	return nil
}

// expression places an expression's error within its text.
func (c *checker) expression(e *expr.Error, value *yaml.Node, prefix string) Diagnostic {
	line, column := value.Line, value.Column
	if lines := strings.Split(value.Value, "\n"); c.filled[value] == "" && e.Line <= len(lines) {
		line, column = c.locate(value, lines[e.Line-1], e.Column-1)
	}
	return Diagnostic{Severity: Error, Line: line, Column: column, Code: "bad-expression", Message: prefix + e.Message, Hint: e.Hint}
}

func (c *checker) compiled(path, prefix string, compile func(string) error) {
	value := c.values[path]
	if value == nil || c.failed[path] || isNull(value) {
		return
	}
	switch e := compile(value.Value).(type) {
	case nil:
	case *expr.Error:
		c.failed[path] = true
		c.add(c.expression(e, value, prefix))
	default:
		c.failed[path] = true
		c.problem(value, "bad-expression", "", "%s%s", prefix, e.Error())
	}
}

// identity compiles the identity of a source's options.
func (c *checker) identity(config any, path string) {
	for _, name := range []string{"identity", "sequence", "producer"} {
		if text, ok := option(config, name); ok && text != "" {
			c.compiled(join(path, name), name+": ", func(src string) error {
				_, err := expr.CompileIdentity(src)
				return err
			})
		}
	}
}

// expressions compiles the options that the node's type calls expressions.
func (c *checker) expressions(n *Node, path string) {
	for _, name := range n.Type.Expressions {
		if text, ok := option(n.With, name); ok && text != "" {
			c.compiled(join(path, name), name+": ", func(src string) error {
				_, err := expr.Compile(src)
				return err
			})
		}
	}
}

// option returns the text option of that name.
func option(config any, name string) (string, bool) {
	v := reflect.Indirect(reflect.ValueOf(config))
	if v.Kind() != reflect.Struct {
		return "", false
	}
	for _, f := range fieldsOf(v.Type()) {
		if target := v.FieldByIndex(f.index); f.name == name && target.Kind() == reflect.String {
			return target.String(), true
		}
	}
	return "", false
}

func (c *checker) keyExpression(n *Node, path string) {
	if n.Key == "" {
		return
	}
	c.compiled(join(path, "key"), "key: ", func(src string) error {
		_, err := expr.Compile(src)
		return err
	})
}

// retry fills the defaults of what the file leaves out: 0 is a value of its own
// for most of them.
func (c *checker) retry(n *Node, path string) {
	given := func(field string) bool { return c.keys[join(path, "retry."+field)] != nil }
	r, b := &n.Retry, &n.Retry.Backoff
	if !given("max") {
		r.Max = DefaultRetry.Max
	}
	if !given("backoff.jitter") {
		b.Jitter = DefaultRetry.Backoff.Jitter
	}
	fallback(&b.Initial, DefaultRetry.Backoff.Initial)
	fallback(&b.Max, max(DefaultRetry.Backoff.Max, b.Initial))
	fallback(&b.Multiplier, DefaultRetry.Backoff.Multiplier)
	if b.Initial > b.Max && !c.failed[join(path, "retry.backoff.max")] {
		c.problem(c.at(join(path, "retry.backoff")), "wrong-value", "", "backoff: initial, %s, is longer than max, %s", b.Initial, b.Max)
	}
}
