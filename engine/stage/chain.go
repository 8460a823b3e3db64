package stage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

// ChainNode is one transform of a chain, ready to run.
type ChainNode struct {
	ID        string
	Edges     []plan.Edge
	Key       *expr.Program // re-keys the outputs; nil keeps the key
	Stream    string        // where the outputs rest; "" if only the chain's own nodes read them
	Transform node.Transform
	Retry     RetryPolicy
	Order     Order
}

// maxFrameEvents and maxFrameBytes bound one output frame; a larger output is cut
// into several frames of the same commit.
const (
	maxFrameEvents = 4096
	maxFrameBytes  = 1 << 20
)

// chain runs the nodes of one stage over the events of one lane, in memory. It
// belongs to one lane and is not safe for concurrent use.
type chain struct {
	nodes       []ChainNode
	number      int // of the reader: lanes of two streams may not share a transform's lane
	lanes       int
	generation  string
	compression event.Compression
	keyLimit    int
	states      *laneStates
	order       *laneOrder
	observe     Observer
	outputs     map[string][]*event.Event // by node id, of the unit at work
}

// run takes the part's events through the nodes and adds what they made to its
// effects. On an error these are as they were, and the part says which node failed
// and what it had been given.
func (c *chain) run(ctx context.Context, p *part) error {
	clear(c.outputs)
	c.states.attempt()
	c.order.attempt()
	p.failed, p.inputs = nil, nil
	var made stream.Effects
	for i := range c.nodes {
		n := &c.nodes[i]
		in := c.inputs(n, p)
		if len(in) == 0 {
			continue
		}
		if err := c.step(ctx, n, p.unit, in, &made); err != nil {
			p.failed, p.inputs = n, in
			return &node.Error{Node: n.ID, Err: err}
		}
	}
	c.states.accept()
	c.order.accept()
	p.effects.Outputs = append(p.effects.Outputs, made.Outputs...)
	p.effects.DeadLetters = append(p.effects.DeadLetters, made.DeadLetters...)
	return nil
}

// step runs one node and keeps its outputs for the nodes behind it.
func (c *chain) step(ctx context.Context, n *ChainNode, u *node.Unit, in []*event.Event, made *stream.Effects) error {
	out, err := c.process(ctx, n, u, in, made)
	if err != nil {
		return err
	}
	c.outputs[n.ID] = out
	if n.Stream == "" {
		return nil
	}
	if made.Outputs, err = c.frames(made.Outputs, n.Stream, u.Watermark, out); err != nil {
		return node.AsRejected(err)
	}
	return nil
}

// inputs gathers what n reads of the part: the part's own events where an edge
// comes from the unit's stream, and the outputs of nodes before it in the chain.
func (c *chain) inputs(n *ChainNode, p *part) []*event.Event {
	if slices.Contains(p.without, n.ID) {
		return nil
	}
	if n.ID == p.from {
		return p.events
	}
	if len(n.Edges) == 1 && n.Edges[0].Stream == "" {
		return c.outputs[n.Edges[0].Node]
	}
	var in []*event.Event
	for _, e := range n.Edges {
		if e.Stream == "" {
			in = append(in, c.outputs[e.Node]...)
		} else if e.Stream == p.unit.Stream && p.from == "" {
			in = appendFrom(in, e, p.events)
		}
	}
	return in
}

// appendFrom appends the events that edge e means: of the journal only those of
// its source node, of any other stream all.
func appendFrom(in []*event.Event, e plan.Edge, events []*event.Event) []*event.Event {
	if e.Stream != stream.Journal {
		return append(in, events...)
	}
	for _, ev := range events {
		if ev.Source.Node == e.Node {
			in = append(in, ev)
		}
	}
	return in
}

func (c *chain) process(ctx context.Context, n *ChainNode, u *node.Unit, in []*event.Event, made *stream.Effects) ([]*event.Event, error) {
	start := time.Now()
	strict := c.order.applies(n.Order)
	if strict {
		var err error
		if in, err = c.admit(ctx, n, u, in, made); err != nil || len(in) == 0 {
			return nil, err
		}
	}
	batch := &node.Batch{Lane: c.number, Events: in, Watermark: u.Watermark}
	if err := c.states.load(ctx, n, batch); err != nil {
		return nil, err
	}
	results, err := n.Transform.Process(ctx, batch)
	if err != nil {
		return nil, err
	}
	if len(results) != len(in) {
		return nil, fmt.Errorf("%d results for %d events", len(results), len(in))
	}
	out := make([]*event.Event, 0, len(in))
	rejected := 0
	for i := range results {
		r := &results[i]
		if strict && c.order.held(n.ID, in[i].Key) {
			made.DeadLetters = append(made.DeadLetters, c.order.waits(n.ID, u, in[i]))
			continue
		}
		if n.Key != nil {
			c.rekey(n, r)
		}
		out = append(out, r.Outputs...)
		for _, reject := range r.Rejects {
			made.DeadLetters = append(made.DeadLetters, c.deadLetter(n, u, in[i], node.Rejected, reject))
			rejected++
		}
		if strict && len(r.Rejects) > 0 {
			c.order.hold(n.ID, in[i].Key)
		}
	}
	c.observe.Processed(n.ID, len(in), len(out), rejected, time.Since(start))
	return out, nil
}

// admit keeps those of in as dead letters that wait behind an earlier one, and
// returns the others.
func (c *chain) admit(ctx context.Context, n *ChainNode, u *node.Unit, in []*event.Event, made *stream.Effects) ([]*event.Event, error) {
	open, waiting, err := c.order.split(ctx, n.ID, n.Order, in)
	for _, ev := range waiting {
		made.DeadLetters = append(made.DeadLetters, c.order.waits(n.ID, u, ev))
	}
	return open, err
}

// rekey gives the outputs of n their new keys. One without a usable key becomes a
// reject of its input: in a wrong lane it would lose its order.
func (c *chain) rekey(n *ChainNode, r *node.Result) {
	kept, rejected := r.Outputs[:0], false
	for _, ev := range r.Outputs {
		key, reject := c.keyOf(n, ev)
		if reject == nil {
			ev.Key = key // outputs are new events that nobody else has seen yet
			kept = append(kept, ev)
			continue
		}
		if !rejected {
			r.Rejects = append(r.Rejects, *reject)
		}
		rejected = true
	}
	r.Outputs = kept
}

func (c *chain) keyOf(n *ChainNode, ev *event.Event) (string, *node.Reject) {
	key, err := n.Key.EvalString(ev)
	switch {
	case err != nil:
		return "", &node.Reject{Record: -1, Code: "no_key", Text: err.Error()}
	case c.keyLimit > 0 && len(key) > c.keyLimit:
		return "", &node.Reject{Record: -1, Code: "key_too_long", Text: fmt.Sprintf("the key has %d bytes, the limit is %d (limits: key: in the pipeline file)", len(key), c.keyLimit)}
	}
	return key, nil
}

func (c *chain) deadLetter(n *ChainNode, u *node.Unit, ev *event.Event, class node.Class, r node.Reject) stream.DeadLetter {
	return stream.DeadLetter{
		Event: ev, Node: n.ID, Generation: c.generation, Record: r.Record, Class: class, Code: r.Code, Text: r.Text,
		Attempt: 1, TimeMs: time.Now().UnixMilli(), Stream: u.Stream, Lane: u.Lane, At: u.Last,
		Strict: c.order.applies(n.Order), Plugin: r.Maker,
	}
}

// frames cuts events by lane into encoded frames and appends them to dst.
func (c *chain) frames(dst []stream.Output, name string, watermark int64, events []*event.Event) ([]stream.Output, error) {
	byLane := make([][]*event.Event, c.lanes)
	for _, ev := range events {
		l := stream.LaneOf(ev.Key, c.lanes)
		byLane[l] = append(byLane[l], ev)
	}
	for lane, list := range byLane {
		for len(list) > 0 {
			n := frameLength(list)
			f := event.Frame{Watermark: watermark, Events: list[:n]}
			b, err := f.Encode(nil, c.compression)
			if err != nil {
				return nil, err
			}
			dst = append(dst, stream.Output{Stream: name, Lane: lane, Frame: b, Events: n})
			list = list[n:]
		}
	}
	return dst, nil
}

// frameLength returns how many events from the front of list make one frame.
func frameLength(list []*event.Event) int {
	size := 0
	for i, ev := range list {
		size += ev.Size()
		if i > 0 && (i == maxFrameEvents || size > maxFrameBytes) {
			return i
		}
	}
	return len(list)
}
