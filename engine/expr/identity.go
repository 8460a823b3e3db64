package expr

import (
	"errors"
	"fmt"
	"sync"

	"github.com/expr-lang/expr/ast"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Identity is a compiled identity expression: what tells two messages of one
// source apart. It is immutable and safe for concurrent use.
type Identity struct {
	src          string
	alternatives []*Program // of `a ?? b ?? c`, left to right
	needsPayload bool
	events       sync.Pool // of *event.Event
}

// CompileIdentity reads an identity expression. It sees message_id, routing_key,
// queue, exchange, headers and payload; anything that exists only after ingest
// is an error. Errors are [*Error] with the column.
func CompileIdentity(src string) (*Identity, error) {
	whole, err := compile(src, true)
	if err != nil {
		return nil, err
	}
	tree, err := parse(src)
	if err != nil {
		return nil, err
	}
	id := &Identity{src: src, needsPayload: whole.NeedsPayload()}
	id.events.New = func() any { return new(event.Event) }
	for _, n := range alternatives(tree.Node) {
		p, err := compile(n.String(), true)
		if err != nil {
			return nil, fmt.Errorf("identity %q: %w", src, err)
		}
		id.alternatives = append(id.alternatives, p)
	}
	return id, nil
}

// alternatives cuts `a ?? b ?? c` into its parts.
func alternatives(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "??" {
		return append(alternatives(b.Left), alternatives(b.Right)...)
	}
	return []ast.Node{n}
}

// String returns the expression's text.
func (id *Identity) String() string { return id.src }

// NeedsPayload reports whether the expression may look into the payload.
func (id *Identity) NeedsPayload() bool { return id.needsPayload }

// Identity computes the message's identity: the first alternative, from left to
// right, that is neither null nor empty. Later ones are not evaluated, so that a
// payload is decoded only if it is reached. false means that the message has no
// identity; an error, that an alternative could not be evaluated (a payload that
// is not JSON, say) and no other gave one.
func (id *Identity) Identity(msg *node.Message) (string, bool, error) {
	ev := id.events.Get().(*event.Event)
	defer id.events.Put(ev)
	fill(ev, msg)
	var errs []error
	for _, p := range id.alternatives {
		text, err := p.EvalString(ev)
		if err != nil {
			errs = append(errs, err)
		} else if text != "" {
			*ev = event.Event{}
			return text, true, nil
		}
	}
	*ev = event.Event{}
	return "", false, errors.Join(errs...)
}

func fill(ev *event.Event, msg *node.Message) {
	ev.Headers, ev.Payload, ev.ContentType = msg.Headers, msg.Body, msg.ContentType
	ev.Source = event.Source{
		Exchange: msg.Exchange, RoutingKey: msg.RoutingKey, Queue: msg.Queue,
		MessageID: msg.MessageID, Redelivered: msg.Redelivered,
	}
}
