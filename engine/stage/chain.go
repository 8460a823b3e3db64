package stage

import (
	"context"
	"fmt"
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
	Plugin    func() string // name@version#hash of the plugin behind it; nil for built-in transforms
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
	states      *laneStates
	observe     Observer
	outputs     map[string][]*event.Event // by node id, of the unit at work
}

// run takes events of u through every node and adds what they made to effects.
// On an error effects is as it was.
func (c *chain) run(ctx context.Context, u *node.Unit, events []*event.Event, effects *stream.Effects) error {
	clear(c.outputs)
	c.states.attempt()
	var made stream.Effects
	for i := range c.nodes {
		n := &c.nodes[i]
		in := c.inputs(n, u, events)
		if len(in) == 0 {
			continue
		}
		out, err := c.process(ctx, n, u, in, &made)
		if err != nil {
			return &node.Error{Node: n.ID, Err: err}
		}
		c.outputs[n.ID] = out
		if n.Stream != "" {
			if made.Outputs, err = c.frames(made.Outputs, n.Stream, u.Watermark, out); err != nil {
				return &node.Error{Node: n.ID, Err: node.AsRejected(err)}
			}
		}
	}
	c.states.accept()
	effects.Outputs = append(effects.Outputs, made.Outputs...)
	effects.DeadLetters = append(effects.DeadLetters, made.DeadLetters...)
	return nil
}

// inputs gathers what n reads: the unit's own events where an edge comes from its
// stream, and the outputs of nodes before it in the chain.
func (c *chain) inputs(n *ChainNode, u *node.Unit, events []*event.Event) []*event.Event {
	if len(n.Edges) == 1 && n.Edges[0].Stream == "" {
		return c.outputs[n.Edges[0].Node]
	}
	var in []*event.Event
	for _, e := range n.Edges {
		if e.Stream == "" {
			in = append(in, c.outputs[e.Node]...)
		} else if e.Stream == u.Stream {
			in = appendFrom(in, e, events)
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
		out = append(out, results[i].Outputs...)
		for _, r := range results[i].Rejects {
			made.DeadLetters = append(made.DeadLetters, c.deadLetter(n, u, in[i], node.Rejected, r))
			rejected++
		}
	}
	out = c.rekey(n, u, out, made)
	c.observe.Processed(n.ID, len(in), len(out), rejected, time.Since(start))
	return out, nil
}

// rekey gives the outputs of n their new keys. An event without a usable key is
// a dead letter: in a wrong lane it would lose its order.
func (c *chain) rekey(n *ChainNode, u *node.Unit, out []*event.Event, made *stream.Effects) []*event.Event {
	if n.Key == nil {
		return out
	}
	kept := out[:0]
	for _, ev := range out {
		key, err := n.Key.EvalString(ev)
		if err != nil {
			r := node.Reject{Record: -1, Code: "no_key", Text: err.Error()}
			made.DeadLetters = append(made.DeadLetters, c.deadLetter(n, u, ev, node.Rejected, r))
			continue
		}
		ev.Key = key // outputs are new events that nobody else has seen yet
		kept = append(kept, ev)
	}
	return kept
}

func (c *chain) deadLetter(n *ChainNode, u *node.Unit, ev *event.Event, class node.Class, r node.Reject) stream.DeadLetter {
	d := stream.DeadLetter{
		Event: ev, Node: n.ID, Generation: c.generation, Record: r.Record, Class: class, Code: r.Code, Text: r.Text,
		Attempt: 1, TimeMs: time.Now().UnixMilli(), Stream: u.Stream, Lane: u.Lane, At: u.Last,
	}
	if n.Plugin != nil {
		d.Plugin = n.Plugin()
	}
	return d
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
