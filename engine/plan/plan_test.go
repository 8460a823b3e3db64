package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/dag"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got:\n%s\nwant:\n%s", path, got, want)
	}
}

func load(t *testing.T, file string) (*spec.Pipeline, *plan.Plan) {
	t.Helper()
	p, diags := spec.Load(file, catalog.Builtin(), nil)
	if p == nil {
		t.Fatalf("%s: %v", file, diags)
	}
	made, diags := plan.Make(p)
	if len(diags) > 0 {
		t.Fatalf("%s: %v", file, diags)
	}
	return p, made
}

func TestGoldenPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range append(files, "../../pipelines/charts.yaml") {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			_, made := load(t, file)
			var out bytes.Buffer
			if err := made.Write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/"+name+".txt", out.Bytes())
		})
	}
}

// TestGoldenRedrives: what a node's dead letters are driven through is the rest of
// its stage; nothing of it reads a live stream.
func TestGoldenRedrives(t *testing.T) {
	for _, name := range []string{"testdata/chain.yaml", "testdata/fan_out.yaml", "../../pipelines/charts.yaml"} {
		p, made := load(t, name)
		var out bytes.Buffer
		for _, n := range p.Nodes {
			small, ok := made.Redrive(n.ID)
			if ok != (n.Source == "" && !plan.IsChart(&n)) {
				t.Errorf("%s: Redrive(%s) = %t", name, n.ID, ok)
			}
			if !ok {
				continue
			}
			fmt.Fprintf(&out, "== %s\n", n.ID)
			if err := small.Write(&out); err != nil {
				t.Fatal(err)
			}
		}
		golden(t, "testdata/"+strings.TrimSuffix(filepath.Base(name), ".yaml")+".redrive.txt", out.Bytes())
	}
}

func TestGoldenJSON(t *testing.T) {
	_, made := load(t, "../../pipelines/charts.yaml")
	out, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/charts.json", append(out, '\n'))
}

func TestGoldenDrawings(t *testing.T) {
	p, made := load(t, "../../pipelines/charts.yaml")
	for _, format := range plan.Formats {
		var out bytes.Buffer
		if err := plan.Draw(p, made).Write(&out, format); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/charts.graph."+format, out.Bytes())
	}
	if err := plan.Draw(p, made).Write(&bytes.Buffer{}, "svg"); err == nil {
		t.Error("svg passes for a format")
	}
}

func TestPipelinesByHandAreRefusedWithAPosition(t *testing.T) {
	for _, c := range []struct {
		rule  string
		nodes []spec.Node
		want  string
	}{
		{"a cycle", []spec.Node{
			{ID: "a", Transform: "select", Inputs: []string{"b"}, Line: 7, Column: 5},
			{ID: "b", Transform: "select", Inputs: []string{"a"}, Line: 9, Column: 5},
		}, "f.yaml:7:5: error: cycle: a -> b -> a"},
		{"a missing input", []spec.Node{
			{ID: "a", Sink: "chart", Inputs: []string{"b"}, Line: 7, Column: 5},
		}, `f.yaml:7:5: error: there is no node "b"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			made, diags := plan.Make(&spec.Pipeline{File: "f.yaml", Nodes: c.nodes})
			if made != nil || len(diags) != 1 || diags[0].String() != c.want {
				t.Errorf("got %v", diags)
			}
		})
	}
}

// drawn is a random pipeline without cycles.
func drawn(t *rapid.T) *spec.Pipeline {
	p := &spec.Pipeline{Name: "random", Lanes: 4}
	var outputs []string
	add := func(kind string, n spec.Node, inputs []string) {
		n.ID = fmt.Sprintf("%s%d", kind, len(p.Nodes))
		for _, id := range inputs {
			if rapid.Bool().Draw(t, n.ID+" reads "+id) {
				n.Inputs = append(n.Inputs, id)
			}
		}
		if len(n.Inputs) == 0 && len(inputs) > 0 {
			n.Inputs = []string{rapid.SampledFrom(inputs).Draw(t, n.ID+" reads")}
		}
		p.Nodes = append(p.Nodes, n)
		if n.Sink == "" {
			outputs = append(outputs, n.ID)
		}
	}
	for range rapid.IntRange(1, 3).Draw(t, "sources") {
		add("source", spec.Node{Source: "amqp"}, nil)
	}
	for range rapid.IntRange(0, 7).Draw(t, "transforms") {
		key := rapid.SampledFrom([]string{"", "", "device"}).Draw(t, "key")
		add("inner", spec.Node{Transform: "select", Key: key, Durable: rapid.IntRange(0, 4).Draw(t, "durable") == 0}, outputs)
	}
	for range rapid.IntRange(1, 3).Draw(t, "sinks") {
		add("sink", spec.Node{Sink: rapid.SampledFrom([]string{"sql", "chart"}).Draw(t, "type")}, outputs)
	}
	return p
}

// TestPropertyPlans draws pipelines and checks what must hold for every plan.
func TestPropertyPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawn(t)
		made, diags := plan.Make(p)
		if len(diags) > 0 {
			t.Fatalf("refused: %v", diags)
		}
		if again, _ := plan.Make(p); !reflect.DeepEqual(made, again) {
			t.Fatal("planned again it is another plan")
		}
		streams := map[string]string{}
		for _, s := range made.Streams {
			streams[s.Name] = s.Producer
		}
		stages := checkStages(t, p, made, streams)
		for _, s := range made.Sinks {
			checkEdges(t, p, s.ID, "", s.Edges, streams, stages)
		}
		for _, c := range made.Charts {
			checkEdges(t, p, c.ID, "", c.Edges, streams, stages)
		}
	})
}

// checkStages checks every stage and returns the stage of each transform.
func checkStages(t *rapid.T, p *spec.Pipeline, made *plan.Plan, streams map[string]string) map[string]string {
	stages, order := map[string]string{}, dag.New[string]()
	for _, s := range made.Stages {
		order.Add(s.ID)
		for _, n := range s.Nodes {
			if stages[n.ID] != "" {
				t.Fatalf("%s is in two stages", n.ID)
			}
			stages[n.ID] = s.ID
		}
	}
	for _, s := range made.Stages {
		for _, n := range s.Nodes {
			checkEdges(t, p, n.ID, s.ID, n.Edges, streams, stages)
			if (n.Key != "" || n.Spec.Durable) && streams[n.ID] != s.ID {
				t.Fatalf("%s has no stream by %s", n.ID, s.ID)
			}
			for _, e := range n.Edges {
				if e.Stream != "" && e.Stream != "journal" {
					order.Connect(streams[e.Stream], s.ID)
				}
			}
		}
	}
	got, err := order.Sort()
	if err != nil || !slices.Equal(got, order.Nodes()) {
		t.Fatalf("stages %v are not in topological order %v: %v", order.Nodes(), got, err)
	}
	return stages
}

// checkEdges checks that a node reads each input once, and from where it rests.
func checkEdges(t *rapid.T, p *spec.Pipeline, id, stage string, edges []plan.Edge, streams, stages map[string]string) {
	if len(edges) != len(p.Node(id).Inputs) {
		t.Fatalf("%s has inputs %v and edges %v", id, p.Node(id).Inputs, edges)
	}
	for i, e := range edges {
		want := streams[e.Node]
		switch {
		case e.Node != p.Node(id).Inputs[i]:
			t.Fatalf("%s reads %s in the place of %s", id, e.Node, p.Node(id).Inputs[i])
		case p.Node(e.Node).Source != "" && e.Stream != "journal":
			t.Fatalf("%s reads source %s from %q", id, e.Node, e.Stream)
		case p.Node(e.Node).Source == "" && want != "" && e.Stream != e.Node:
			t.Fatalf("%s reads past the stream of %s", id, e.Node)
		case p.Node(e.Node).Source == "" && want == "" && (e.Stream != "" || stage == "" || stages[e.Node] != stage):
			t.Fatalf("%s of stage %q reads %s of stage %q through %q", id, stage, e.Node, stages[e.Node], e.Stream)
		}
	}
}
