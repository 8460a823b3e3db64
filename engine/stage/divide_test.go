package stage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

// pathOf names an event by all that it went through.
func pathOf(ev *event.Event) string {
	v, _ := ev.Record.Get("path")
	return v.Text()
}

// split derives n outputs whose paths say so.
func split(id string, n int) transformFunc {
	return func(_ context.Context, ev *event.Event, _ node.State) (node.Result, error) {
		var r node.Result
		for i := range n {
			out := ev.Derive(id, i, 0)
			out.Record = &event.Record{Fields: []event.Field{{Name: "path", Value: event.String(fmt.Sprintf("%s.%s%d", pathOf(ev), id, i))}}}
			r.Outputs = append(r.Outputs, out)
		}
		return r, nil
	}
}

func failing(t transformFunc, fails func(path string) error) transformFunc {
	return func(ctx context.Context, ev *event.Event, st node.State) (node.Result, error) {
		if err := fails(pathOf(ev)); err != nil {
			return node.Result{}, err
		}
		return t(ctx, ev, st)
	}
}

func pathRoot(id string) *event.Event {
	ev := root("a", id)
	ev.Record = &event.Record{Fields: []event.Field{{Name: "path", Value: event.String(id)}}}
	return ev
}

func paths(events []*event.Event) []string {
	list := make([]string, len(events))
	for i, ev := range events {
		list[i] = pathOf(ev)
	}
	slices.Sort(list)
	return list
}

// TestGuiltyInputOfAnInnerNodeStandsAlone: a node behind another one fails at one
// of four records of a message. That record alone is dead, with what the node was
// given, and a branch beside the node misses nothing.
func TestGuiltyInputOfAnInnerNodeStandsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := func(path string) error {
			if path == "1.s2" {
				return errors.New("crash")
			}
			return nil
		}
		l := newMemoryLane(unit(1, pathRoot("0"), pathRoot("1")))
		runStage(t, l,
			ChainNode{ID: "s", Edges: from("a"), Transform: split("s", 4)},
			ChainNode{ID: "n", Edges: []plan.Edge{{Node: "s"}}, Transform: failing(split("n", 1), fails), Stream: "n"},
			ChainNode{ID: "m", Edges: []plan.Edge{{Node: "s"}}, Transform: split("m", 1), Stream: "m"},
		)
		if got := paths(outputs(t, l.commits, "m")); len(got) != 8 {
			t.Errorf("the other branch has %v, want all 8", got)
		}
		if got := paths(outputs(t, l.commits, "n")); len(got) != 7 || slices.Contains(got, "1.s2.n0") {
			t.Errorf("the node's outputs are %v, want 7", got)
		}
		dead := l.commits[0].DeadLetters
		if len(dead) != 1 || dead[0].Node != "n" || pathOf(dead[0].Event) != "1.s2" || dead[0].Attempt != 1+quick.Max {
			t.Fatalf("dead letters = %+v", dead)
		}
	})
}

// TestEventWithoutKeyIsKeptAsTheNodesInput: what a node was given can be given to it
// again; its output could not.
func TestEventWithoutKeyIsKeptAsTheNodesInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := expr.Compile("int(path)")
		if err != nil {
			t.Fatal(err)
		}
		in := pathRoot("1") // its outputs are "1.s0" and so on, no numbers
		l := newMemoryLane(unit(1, in))
		rec := runStage(t, l, ChainNode{ID: "s", Edges: from("a"), Transform: split("s", 3), Key: key, Stream: "s"})
		dead := l.commits[0].DeadLetters
		if len(dead) != 1 || dead[0].Event.ID != in.ID || dead[0].Code != "no_key" || dead[0].Record != -1 {
			t.Fatalf("dead letters = %+v, want one with the node's input", dead)
		}
		if !slices.Contains(rec.lines, "processed s 1 0 1") {
			t.Errorf("observed %v", rec.lines)
		}
	})
}

// chainModel is a random chain in which each node fails at some of its inputs.
type chainModel struct {
	ids    []string
	inputs [][]int // of each node: nodes before it; none: the unit's stream
	widths []int
	class  []node.Class
	seed   int
}

func drawChain(t *rapid.T) *chainModel {
	m := &chainModel{seed: rapid.IntRange(0, 1<<20).Draw(t, "seed")}
	for i := range rapid.IntRange(1, 5).Draw(t, "nodes") {
		m.ids = append(m.ids, string(rune('p'+i)))
		m.widths = append(m.widths, rapid.IntRange(1, 3).Draw(t, "width"))
		m.class = append(m.class, rapid.SampledFrom([]node.Class{node.Unsure, node.Rejected}).Draw(t, "class"))
		var in []int
		for j := range i {
			if rapid.Bool().Draw(t, "edge") {
				in = append(in, j)
			}
		}
		m.inputs = append(m.inputs, in)
	}
	return m
}

func (m *chainModel) fails(i int, path string) error {
	h := fnv.New32a()
	fmt.Fprint(h, m.seed, m.ids[i], path)
	if h.Sum32()%6 != 0 {
		return nil
	}
	if m.class[i] == node.Rejected {
		return node.AsRejected(errors.New("no"))
	}
	return errors.New("crash")
}

func (m *chainModel) nodes() []ChainNode {
	list := make([]ChainNode, len(m.ids))
	for i, id := range m.ids {
		edges := from("a")
		if len(m.inputs[i]) > 0 {
			edges = nil
		}
		for _, j := range m.inputs[i] {
			edges = append(edges, plan.Edge{Node: m.ids[j]})
		}
		list[i] = ChainNode{
			ID: id, Edges: edges, Stream: id,
			Transform: failing(split(id, m.widths[i]), func(path string) error { return m.fails(i, path) }),
		}
	}
	return list
}

// want computes every node's outputs and the dead letters, event by event.
func (m *chainModel) want(roots []string) (outputs map[string][]string, dead []string) {
	outputs = map[string][]string{}
	for i, id := range m.ids {
		in := roots
		if len(m.inputs[i]) > 0 {
			in = nil
		}
		for _, j := range m.inputs[i] {
			in = append(in, outputs[m.ids[j]]...)
		}
		for _, path := range in {
			if m.fails(i, path) != nil {
				dead = append(dead, id+" "+path)
				continue
			}
			for n := range m.widths[i] {
				outputs[id] = append(outputs[id], fmt.Sprintf("%s.%s%d", path, id, n))
			}
		}
	}
	return outputs, dead
}

// TestDividingLosesAndDoublesNothing compares random chains with random guilty
// inputs with a model that handles each event alone.
func TestDividingLosesAndDoublesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawChain(rt)
		var events []*event.Event
		var roots []string
		for i := range rapid.IntRange(1, 6).Draw(rt, "events") {
			roots = append(roots, fmt.Sprint(i))
			events = append(events, pathRoot(fmt.Sprint(i)))
		}
		l := newMemoryLane(unit(1, events...))
		synctest.Test(t, func(t *testing.T) { runStage(t, l, m.nodes()...) })
		want, dead := m.want(roots)
		for _, id := range m.ids {
			slices.Sort(want[id])
			if got := paths(outputs(t, l.commits, id)); !slices.Equal(got, want[id]) {
				rt.Fatalf("outputs of %s:\n%v, want\n%v", id, got, want[id])
			}
		}
		slices.Sort(dead)
		if got := letterNames(l.commits[0].DeadLetters); !slices.Equal(got, dead) {
			rt.Fatalf("dead letters:\n%v, want\n%v", got, dead)
		}
	})
}

func letterNames(letters []stream.DeadLetter) []string {
	list := make([]string, len(letters))
	for i, d := range letters {
		list[i] = d.Node + " " + pathOf(d.Event)
	}
	slices.Sort(list)
	return list
}
