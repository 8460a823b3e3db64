package plan_test

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/plan"
)

func TestStreamsThatReachANode(t *testing.T) {
	s := plan.Stage{ID: "x", Inputs: []string{"left", "right"}, Nodes: []plan.StageNode{
		{ID: "x", Edges: []plan.Edge{{Node: "left", Stream: "left"}}},
		{ID: "y", Edges: []plan.Edge{{Node: "right", Stream: "right"}}},
		{ID: "alone", Edges: []plan.Edge{{Node: "x"}}},
		{ID: "both", Edges: []plan.Edge{{Node: "alone"}, {Node: "y"}}},
	}}
	for id, want := range map[string][]string{"x": {"left"}, "y": {"right"}, "alone": {"left"}, "both": {"left", "right"}} {
		if got := s.Reaching(id); !slices.Equal(got, want) {
			t.Errorf("%s is reached from %q, want %q", id, got, want)
		}
	}
}
