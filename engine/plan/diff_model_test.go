package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

// TestPropertyNothingIsLostOrDoubled plays plans that take each other's place, in a
// world of one lane: whatever had been read by whom when it began, every event comes to
// every sink once, if there is one way to it before and after.
func TestPropertyNothingIsLostOrDoubled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawForest(t))
		w.play(30)
		for range rapid.IntRange(1, 3).Draw(t, "reloads") {
			next := w.forest.changed(t)
			w.reload(next)
			w.play(20)
		}
		w.finish()
		w.judge(0)
	})
}

// TestPropertyModelSeesLoss is the control: the same without what is to be finished
// first, or without the meeting of those who become one, must be seen to lose.
func TestPropertyModelSeesLoss(t *testing.T) {
	for name, spoil := range map[string]func(*plan.Diff){
		"unfinished": func(d *plan.Diff) { d.Finish = nil },
		"apart":      func(d *plan.Diff) { d.Align = nil },
		"from now":   func(d *plan.Diff) { heirless(d) },
	} {
		wrong := 0
		for try := 0; wrong == 0 && try < 50; try++ {
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(t, drawForest(t))
				w.spoil = spoil
				w.play(30)
				w.reload(w.forest.changed(t))
				w.finish()
				wrong += w.mistakes()
			})
		}
		if wrong == 0 {
			t.Errorf("%s: nothing was lost or doubled", name)
		}
	}
}

func heirless(d *plan.Diff) {
	for i := range d.Moves {
		d.Moves[i].From, d.Moves[i].Start = nil, spec.Now
	}
}

// forest is a pipeline in which each node leads to one other node, or to none, and
// sinks read some of them: there is at most one way from anywhere to anywhere.
type forest struct {
	nodes []tree
	fresh *int // number of the next new node
}

type tree struct {
	id, kind string // source, transform or sink
	inputs   []string
	key      bool
	option   int
}

func drawForest(t *rapid.T) forest {
	f := forest{fresh: new(int)}
	open := []string{}
	for i := range rapid.IntRange(1, 3).Draw(t, "sources") {
		id := fmt.Sprintf("s%d", i)
		f.nodes = append(f.nodes, tree{id: id, kind: "source"})
		open = append(open, id)
	}
	for range rapid.IntRange(1, 5).Draw(t, "transforms") {
		n := tree{id: f.name(), kind: "transform", key: rapid.Bool().Draw(t, "key")}
		for len(n.inputs) == 0 || len(open) > 1 && rapid.Bool().Draw(t, "join") {
			at := rapid.IntRange(0, len(open)-1).Draw(t, "input")
			n.inputs = append(n.inputs, open[at])
			open = slices.Delete(open, at, at+1)
		}
		f.nodes = append(f.nodes, n)
		open = append(open, n.id)
	}
	for i, id := range open {
		f.nodes = append(f.nodes, tree{id: fmt.Sprintf("k%d", i), kind: "sink", inputs: []string{id}})
	}
	for i, n := range slices.Clone(f.nodes) {
		if n.kind == "transform" && rapid.IntRange(0, 3).Draw(t, "tapped") == 0 {
			f.nodes = append(f.nodes, tree{id: fmt.Sprintf("l%d", i), kind: "sink", inputs: []string{n.id}})
		}
	}
	return f
}

func (f forest) name() string {
	*f.fresh++
	return fmt.Sprintf("t%d", *f.fresh)
}

// changed returns the forest after some changes.
func (f forest) changed(t *rapid.T) forest {
	out := forest{fresh: f.fresh}
	for _, n := range f.nodes {
		n.inputs = slices.Clone(n.inputs)
		out.nodes = append(out.nodes, n)
	}
	for range rapid.IntRange(1, 3).Draw(t, "changes") {
		at := rapid.IntRange(0, len(out.nodes)-1).Draw(t, "node")
		n := &out.nodes[at]
		switch change := rapid.SampledFrom([]string{"put before", "take out", "rename", "key", "option"}).Draw(t, "change"); {
		case n.kind == "source" && change != "rename":
		case change == "put before":
			id := out.name()
			put := tree{id: id, kind: "transform", inputs: n.inputs, key: rapid.Bool().Draw(t, "key")}
			n.inputs = []string{id}
			out.nodes = slices.Insert(out.nodes, at, put)
		case n.kind == "sink":
		case change == "take out":
			gone := *n
			out.nodes = slices.Delete(out.nodes, at, at+1)
			out.replace(gone.id, gone.inputs)
		case change == "rename":
			was := n.id
			n.id = out.name()
			out.replace(was, []string{n.id})
		case change == "key":
			n.key = !n.key
		default:
			n.option++
		}
	}
	return out
}

func (f forest) replace(id string, with []string) {
	for i := range f.nodes {
		n := &f.nodes[i]
		if at := slices.Index(n.inputs, id); at >= 0 {
			n.inputs = slices.Insert(slices.Delete(n.inputs, at, at+1), at, with...)
			slices.Sort(n.inputs)
			n.inputs = slices.Compact(n.inputs)
		}
	}
}

func (f forest) pipeline() (*spec.Pipeline, *plan.Plan) {
	p := &spec.Pipeline{Name: "p", Lanes: 1}
	for _, n := range f.nodes {
		made := spec.Node{ID: n.id, Inputs: n.inputs, With: map[string]any{"option": n.option}}
		switch n.kind {
		case "source":
			made.Source = "amqp"
		case "sink":
			made.Sink = "sql"
		default:
			made.Transform = "json"
			if n.key {
				made.Key = "device"
			}
		}
		p.Nodes = append(p.Nodes, made)
	}
	made, diags := plan.Make(p)
	if made == nil {
		panic(fmt.Sprint(diags))
	}
	return p, made
}

// fact is one event in a stream, from a node; or one that a sink has stored.
type fact struct{ root, where string }

// world runs a forest's plan, of one generation, by hand.
type world struct {
	t       *rapid.T
	forest  forest
	file    *spec.Pipeline
	plan    *plan.Plan
	streams map[string][]fact
	places  map[plan.Reading]int
	stored  map[fact]int  // by root and sink
	sent    map[fact]bool // root, and each sink that it must come to
	roots   int
	halted  map[string]bool
	spoil   func(*plan.Diff)
	told    []string
}

func newWorld(t *rapid.T, f forest) *world {
	w := &world{t: t, forest: f, streams: map[string][]fact{}, places: map[plan.Reading]int{}, stored: map[fact]int{}, sent: map[fact]bool{}, halted: map[string]bool{}}
	w.file, w.plan = f.pipeline()
	w.told = []string{f.String()}
	return w
}

// play lets sources bring something in and parts read on, by chance.
func (w *world) play(steps int) {
	for range steps {
		parts := append(w.plan.Parts(plan.StagePart), w.plan.Parts(plan.SinkPart)...)
		at := rapid.IntRange(-2, len(parts)-1).Draw(w.t, "who")
		if at < 0 {
			w.send(rapid.SampledFrom(w.plan.Ingests).Draw(w.t, "source"))
			continue
		}
		for _, stream := range w.inputs(parts[at]) {
			if !w.halted[parts[at]] {
				w.read(parts[at], stream, w.places[plan.Reading{Part: parts[at], Stream: stream}]+rapid.IntRange(0, 3).Draw(w.t, "much"))
			}
		}
	}
}

// send lets a source bring one event in, for every sink that it leads to.
func (w *world) send(source string) {
	if w.halted[source] {
		return
	}
	w.roots++
	root := fmt.Sprintf("r%d", w.roots)
	w.streams["journal"] = append(w.streams["journal"], fact{root, source})
	for _, s := range w.plan.Sinks {
		if !slices.Contains(w.file.Graph().Unused(s.ID), source) {
			w.sent[fact{root, s.ID}] = true
		}
	}
}

func (w *world) inputs(part string) (names []string) {
	for _, s := range w.plan.Stages {
		if s.ID == part {
			return s.Inputs
		}
	}
	for _, s := range w.plan.Sinks {
		for _, e := range s.Edges {
			if s.ID == part && !slices.Contains(names, e.Stream) {
				names = append(names, e.Stream)
			}
		}
	}
	return names
}

// read lets a part read a stream up to there.
func (w *world) read(part, stream string, to int) {
	r := plan.Reading{Part: part, Stream: stream}
	for ; w.places[r] < min(to, len(w.streams[stream])); w.places[r]++ {
		ev := w.streams[stream][w.places[r]]
		for _, s := range w.plan.Stages {
			if s.ID == part {
				w.through(&s, stream, ev)
			}
		}
		for _, s := range w.plan.Sinks {
			if s.ID == part && slices.ContainsFunc(s.Edges, func(e plan.Edge) bool { return e.Stream == stream && e.Node == ev.where }) {
				w.stored[fact{ev.root, part}]++
			}
		}
	}
}

// through hands an event of a stream to a stage's nodes, which stand in order.
func (w *world) through(s *plan.Stage, stream string, ev fact) {
	got := map[string]int{}
	for _, n := range s.Nodes {
		for _, e := range n.Edges {
			if e.Stream == stream && e.Node == ev.where {
				got[n.ID]++
			} else if e.Stream == "" {
				got[n.ID] += got[e.Node]
			}
		}
		for range got[n.ID] {
			if n.Stream != "" {
				w.streams[n.Stream] = append(w.streams[n.Stream], fact{ev.root, n.ID})
			}
		}
	}
}

// reload puts the plan of next in the place of the present one, as [plan.Diff] says.
func (w *world) reload(next forest) {
	file, made := next.pipeline()
	d := plan.Compare(w.file, file, w.plan, made)
	if len(d.Refused) > 0 {
		w.t.Fatalf("refused: %q", d.Refused)
	}
	if w.spoil != nil {
		w.spoil(d)
	}
	w.told = append(w.told, shortly(d), next.String())
	for _, c := range d.Old {
		if c.Change == plan.Kept {
			continue
		}
		for _, r := range d.Finish {
			if r.Part == c.ID {
				w.read(r.Part, r.Stream, len(w.streams[r.Stream]))
			}
		}
		w.halted[c.ID] = true
		w.play(2)
	}
	w.align(d)
	moved := map[plan.Reading]int{}
	for _, m := range d.Moves {
		moved[m.Reading] = len(w.streams[m.Stream])
		for i, from := range m.From {
			at := w.places[plan.Reading{Part: from, Stream: m.Stream}]
			if i > 0 && at != moved[m.Reading] && w.spoil == nil {
				w.t.Fatalf("%v stand apart in %s", m.From, m.Stream)
			}
			moved[m.Reading] = at
		}
	}
	for _, r := range d.Forget {
		delete(w.places, r)
	}
	for r, at := range moved {
		w.places[r] = at
	}
	w.forest, w.file, w.plan, w.halted = next, file, made, map[string]bool{}
}

func (w *world) align(d *plan.Diff) {
	to := map[plan.Reading]int{}
	for _, a := range d.Align {
		furthest := 0
		for _, part := range a.Parts {
			furthest = max(furthest, w.places[plan.Reading{Part: part, Stream: a.Stream}])
		}
		for _, part := range a.Parts {
			to[plan.Reading{Part: part, Stream: a.Stream}] = furthest
		}
	}
	for _, c := range d.Old {
		for _, stream := range w.inputs(c.ID) {
			r := plan.Reading{Part: c.ID, Stream: stream}
			switch at, ok := to[r]; {
			case ok:
				w.read(c.ID, stream, at)
			case len(d.Align) > 0 && slices.Contains(d.Finish, r):
				w.read(c.ID, stream, len(w.streams[stream]))
			}
		}
	}
}

// finish lets everything be read.
func (w *world) finish() {
	for _, part := range append(w.plan.Parts(plan.StagePart), w.plan.Parts(plan.SinkPart)...) {
		for _, stream := range w.inputs(part) {
			w.read(part, stream, len(w.streams[stream]))
		}
	}
}

// mistakes counts events that a sink has not stored just once.
func (w *world) mistakes() (n int) {
	for ev := range w.sent {
		if w.stored[ev] != 1 {
			n++
		}
	}
	return n
}

func (w *world) judge(want int) {
	if n := w.mistakes(); n != want {
		w.t.Fatalf("%d events were lost or doubled on the way through\n%s", n, strings.Join(w.told, "\n"))
	}
}

// String writes the forest as [pipelineOf] reads it.
func (f forest) String() string {
	var list []string
	for _, n := range f.nodes {
		text := n.id
		if n.kind != "source" {
			text += "<" + strings.Join(n.inputs, ",")
		}
		if n.kind == "sink" {
			text += " sink"
		}
		if n.key {
			text += " key"
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}
