package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/millrace/millrace/engine/event"
)

// unsteady are expr-lang's functions whose result is not a function of the event
// alone: a clock, and those that list a map in no fixed order.
var unsteady = []string{"now", "keys", "values", "toPairs"}

// compile reads src; identity expressions see only what a message has before it
// is an event.
func compile(src string, identity bool) (*Program, error) {
	tree, err := parse(src)
	if err != nil {
		return nil, err
	}
	r := newRewriter(tree.Node)
	c := &collector{r: r, identity: identity, used: map[string]slot{}}
	p := &Program{src: src}
	p.code, err = expr.Compile(src, append(options(), expr.Patch(r), expr.Patch(c))...)
	if r.err != nil {
		return nil, r.err.at(src)
	}
	if err != nil {
		return nil, asError(err)
	}
	for key, s := range c.used {
		p.slots = append(p.slots, boundSlot{key, s.get})
	}
	p.paths, p.uses = r.paths, c.uses()
	p.fast, p.path = shortcut(tree.Node)
	return p, nil
}

func parse(src string) (*parser.Tree, error) {
	switch {
	case strings.TrimSpace(src) == "":
		return nil, &Error{Line: 1, Column: 1, Message: "expression is empty"}
	case len(src) > maxSource:
		return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("expression has %d bytes, %d are allowed", len(src), maxSource)}
	}
	config := conf.CreateNew()
	for _, opt := range options() {
		opt(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	tree, err := parser.ParseWithConfig(src, config)
	if err != nil {
		return nil, asError(err)
	}
	return tree, nil
}

func options() []expr.Option {
	opts := []expr.Option{
		expr.Env(map[string]any{
			payloadCall: func() any { return nil },
			pathCall:    func(any) any { return nil },
		}),
		expr.AllowUndefinedVariables(),
		expr.Timezone("UTC"),
	}
	for _, name := range unsteady {
		opts = append(opts, expr.DisableBuiltin(name))
	}
	return opts
}

func asError(err error) error {
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		msg, _, _ := strings.Cut(err.Error(), "\n")
		return &Error{Line: 1, Column: 1, Message: msg}
	}
	return &Error{Line: max(fe.Line, 1), Column: fe.Column + 1, Message: fe.Message}
}

// shortcut finds the expressions that are one lookup. Exactly one result is not
// nil, or none.
func shortcut(n ast.Node) (reader, []string) {
	switch n := n.(type) {
	case *ast.StringNode:
		return constant(event.String(n.Value)), nil
	case *ast.IntegerNode:
		return constant(event.Int(int64(n.Value))), nil
	case *ast.BoolNode:
		return constant(event.Bool(n.Value)), nil
	case *ast.IdentifierNode:
		return shortcutName(n.Value), nil
	case *ast.ChainNode:
		return shortcut(n.Node)
	case *ast.MemberNode:
		return shortcutMember(n)
	}
	return nil, nil
}

func constant(v event.Value) reader { return func(*event.Event) event.Value { return v } }

func shortcutName(name string) reader {
	switch {
	case name == "payload" || name == "headers" || name == "record":
		return nil
	case variables[name] != nil:
		return variables[name]
	default:
		return fieldReader(name)
	}
}

func shortcutMember(n *ast.MemberNode) (reader, []string) {
	names := memberPath(n)
	switch {
	case names == nil:
		return nil, nil
	case names[0] == "payload":
		return nil, names[1:]
	case len(names) == 2:
		return memberReader(names[0], names[1]), nil
	}
	return nil, nil
}

// memberReader returns how to look up base.name, nil if that is no single lookup.
func memberReader(base, name string) reader {
	switch base {
	case "record":
		return fieldReader(name)
	case "headers":
		return headerReader(name)
	case "source":
		return sourceMembers[name]
	}
	return nil
}

// memberPath returns the names of a chain of constant members, base first; nil
// if it is none.
func memberPath(n ast.Node) []string {
	var names []string
	for {
		switch x := n.(type) {
		case *ast.ChainNode:
			n = x.Node
		case *ast.IdentifierNode:
			names = append(names, x.Value)
			slices.Reverse(names)
			return names
		case *ast.MemberNode:
			s, ok := x.Property.(*ast.StringNode)
			if !ok {
				return nil
			}
			names = append(names, s.Value)
			n = x.Node
		default:
			return nil
		}
	}
}
