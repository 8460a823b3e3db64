package expr

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"

	"github.com/millrace/millrace/engine/spec/nearest"
)

// rewriter turns the names of an expression into slots that are filled before it
// runs, and payload accesses into calls that decode when they are reached. It is
// visited bottom up, so that `record.x` is first a slot for the record with a
// member and then a slot for the field.
type rewriter struct {
	locals map[string]bool // names that `let` declares
	slots  map[string]slot
	paths  [][]string
	origin map[ast.Node][]string // what a rewritten node stood for
	err    *located
}

// located is an error at a node.
type located struct {
	from          int // in characters from the beginning of the source
	message, hint string
}

func (e *located) at(src string) *Error {
	out := &Error{Line: 1, Column: 1, Message: e.message, Hint: e.hint}
	for i, r := range []rune(src) {
		if i == e.from {
			break
		}
		out.Column++
		if r == '\n' {
			out.Line, out.Column = out.Line+1, 1
		}
	}
	return out
}

func newRewriter(tree ast.Node) *rewriter {
	names := localNames{}
	ast.Walk(&tree, names)
	return &rewriter{locals: names, slots: map[string]slot{}, origin: map[ast.Node][]string{}}
}

type localNames map[string]bool

func (l localNames) Visit(n *ast.Node) {
	if d, ok := (*n).(*ast.VariableDeclaratorNode); ok {
		l[d.Name] = true
	}
}

// Visit rewrites one node, after its children.
func (r *rewriter) Visit(n *ast.Node) {
	switch x := (*n).(type) {
	case *ast.IdentifierNode:
		if !r.locals[x.Value] {
			r.name(n, x)
		}
	case *ast.ChainNode:
		if path, ok := r.origin[x.Node]; ok {
			r.origin[x] = path
		}
	case *ast.MemberNode:
		r.member(n, x)
	case *ast.CallNode:
		r.call(x)
	}
}

func (r *rewriter) name(n *ast.Node, x *ast.IdentifierNode) {
	switch name := x.Value; {
	case name == "$env":
		r.fail(x, "$env is not known here", "")
	case name == "payload":
		r.replace(n, &ast.CallNode{Callee: &ast.IdentifierNode{Value: payloadCall}}, name)
	case name == "headers":
		r.slot(n, slot{headersSlot, name, wholeHeaders}, name)
	case name == "record":
		r.slot(n, slot{recordSlot, name, wholeRecord}, name)
	case variables[name] != nil:
		r.slot(n, slot{variableSlot, name, boxed(variables[name])}, name)
	default:
		r.slot(n, slot{fieldSlot, name, boxed(fieldReader(name))}, name)
	}
}

// member turns record.x, headers["x"], source.x and payload.x.y into one lookup.
func (r *rewriter) member(n *ast.Node, x *ast.MemberNode) {
	base, ok := r.origin[x.Node]
	prop, constant := x.Property.(*ast.StringNode)
	if !ok || !constant {
		return
	}
	switch name := prop.Value; {
	case base[0] == "payload":
		r.payloadPath(n, append(slices.Clone(base), name))
	case len(base) > 1:
	case base[0] == "record":
		r.slot(n, slot{fieldSlot, name, boxed(fieldReader(name))}, base[0], name)
	case base[0] == "headers":
		r.slot(n, slot{headerSlot, name, boxed(headerReader(name))}, base[0], name)
	case base[0] == "source" && sourceMembers[name] != nil:
		r.slot(n, slot{sourceSlot, name, boxed(sourceMembers[name])}, base[0], name)
	}
}

// payloadPath calls the lookup of a path; the call for the shorter path that it
// replaces is gone from the tree.
func (r *rewriter) payloadPath(n *ast.Node, path []string) {
	r.paths = append(r.paths, path[1:])
	r.replace(n, &ast.CallNode{
		Callee:    &ast.IdentifierNode{Value: pathCall},
		Arguments: []ast.Node{&ast.IntegerNode{Value: len(r.paths) - 1}},
	}, path...)
}

func (r *rewriter) slot(n *ast.Node, s slot, origin ...string) {
	r.slots[s.key()] = s
	r.replace(n, &ast.IdentifierNode{Value: s.key()}, origin...)
}

func (r *rewriter) replace(n *ast.Node, with ast.Node, origin ...string) {
	ast.Patch(n, with)
	r.origin[with] = origin
}

// call refuses every call that is no builtin: there are no other functions.
func (r *rewriter) call(x *ast.CallNode) {
	names := r.origin[x.Callee]
	if len(names) != 1 {
		r.fail(x, "only functions can be called", "")
		return
	}
	r.fail(x, fmt.Sprintf("unknown function %q", names[0]), functionHint(names[0]))
}

func functionHint(name string) string {
	switch name {
	case "now":
		return "time is the event's own time; a clock would give another result in a replay"
	case "keys", "values", "toPairs":
		return "it lists members in no fixed order, so a replay would give another result"
	}
	if near := nearest.Of(name, builtin.Names); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return ""
}

func (r *rewriter) fail(n ast.Node, message, hint string) {
	if r.err == nil {
		r.err = &located{n.Location().From, message, hint}
	}
}

// collector sees the rewritten tree and notes what it really looks at.
type collector struct {
	r        *rewriter
	identity bool
	used     map[string]slot
	payload  bool
}

// Visit notes one node.
func (c *collector) Visit(n *ast.Node) {
	x, ok := (*n).(*ast.IdentifierNode)
	if !ok {
		return
	}
	if x.Value == payloadCall || x.Value == pathCall {
		c.payload = true
	}
	if s, ok := c.r.slots[x.Value]; ok {
		c.used[x.Value] = s
		if c.identity {
			c.check(x, s)
		}
	}
}

// check refuses what a message does not have before it is an event.
func (c *collector) check(n ast.Node, s slot) {
	switch {
	case s.kind == fieldSlot:
		c.r.fail(n, fmt.Sprintf("no record is decoded yet when the identity is computed, so %q is not known", s.name), rawHint(s.name))
	case s.kind == recordSlot || s.kind == variableSlot && afterIngest[s.name]:
		c.r.fail(n, fmt.Sprintf("%s is not known yet when the identity is computed", s.name), "")
	}
}

func rawHint(name string) string {
	if v := nearest.Of(name, identityNames); v != "" {
		return fmt.Sprintf("did you mean %s?", v)
	}
	return fmt.Sprintf("payload.%s reads it from a JSON payload", name)
}

func (c *collector) uses() uses {
	u := uses{payload: c.payload, constant: !c.payload && len(c.used) == 0}
	for _, s := range c.used {
		u.record = u.record || s.kind == recordSlot || s.kind == fieldSlot
		if s.kind == fieldSlot {
			u.fields = append(u.fields, s.name)
		}
	}
	slices.Sort(u.fields)
	return u
}
