package dag

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// build makes a graph of vertices a..e and of edges written as "ab".
func build(vertices string, edges ...string) *Graph[string] {
	g := New[string]()
	for _, v := range vertices {
		g.Add(string(v))
	}
	for _, e := range edges {
		g.Connect(e[:1], e[1:])
	}
	return g
}

func TestSortKeepsInsertionOrder(t *testing.T) {
	for _, c := range []struct {
		rule  string
		graph *Graph[string]
		want  string
	}{
		{"no edges: as added", build("cab"), "[c a b]"},
		{"an edge against the order", build("abc", "ca"), "[b c a]"},
		{"a released early vertex comes next", build("abcd", "ca", "cb"), "[c a b d]"},
		{"a diamond", build("dabc", "ab", "ac", "bd", "cd"), "[a b c d]"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got, err := c.graph.Sort()
			if err != nil || fmt.Sprint(got) != c.want {
				t.Fatalf("got %v, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestCyclesAreNamed(t *testing.T) {
	for _, c := range []struct {
		rule  string
		graph *Graph[string]
		want  []string
	}{
		{"a vertex that feeds itself", build("ab", "aa", "ab"), []string{"a -> a"}},
		{"the shortest of two", build("abcd", "ab", "bc", "cd", "da", "ca"), []string{"a -> b -> c -> a"}},
		{"two groups", build("abcd", "ab", "ba", "bc", "cd", "dc"), []string{"a -> b -> a", "c -> d -> c"}},
		{"what leads into a cycle is no part of it", build("abc", "ab", "bc", "cb"), []string{"b -> c -> b"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var got []string
			for _, path := range c.graph.Cycles() {
				got = append(got, Arrow(path))
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			_, err := c.graph.Sort()
			if e, ok := errors.AsType[*CycleError[string]](err); !ok || Arrow(e.Path) != c.want[0] {
				t.Fatalf("Sort: %v", err)
			}
		})
	}
}

func TestGroupsAndReach(t *testing.T) {
	g := build("abcdef", "ab", "cb", "de")
	if got := g.Components(); !reflect.DeepEqual(got, [][]string{{"a", "b", "c"}, {"d", "e"}, {"f"}}) {
		t.Errorf("components %v", got)
	}
	if got := g.Unreachable("a", "d"); !slices.Equal(got, []string{"c", "f"}) {
		t.Errorf("unreachable %v", got)
	}
	if got := g.Unused("b"); !slices.Equal(got, []string{"d", "e", "f"}) {
		t.Errorf("unused %v", got)
	}
	if got := g.Inputs("b"); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("inputs %v", got)
	}
}

func TestRepeatsAndStrangersAreRefused(t *testing.T) {
	g := build("ab", "ab")
	if g.Add("a") || g.Connect("a", "b") || g.Connect("a", "z") || g.Connect("z", "a") {
		t.Fatalf("accepted: %v", g)
	}
	if g.Outputs("z") != nil || g.Has("z") {
		t.Fatal("a stranger has become a vertex")
	}
}

// drawn is a random graph of up to twelve vertices.
func drawn(t *rapid.T) *Graph[string] {
	g := New[string]()
	n := rapid.IntRange(0, 12).Draw(t, "vertices")
	for i := range n {
		g.Add(fmt.Sprint("n", i))
	}
	if n == 0 {
		return g
	}
	for range rapid.IntRange(0, 24).Draw(t, "edges") {
		pick := rapid.SampledFrom(g.ids)
		g.Connect(pick.Draw(t, "from"), pick.Draw(t, "to"))
	}
	return g
}

func TestPropertySortOrCycle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawn(t)
		order, err := g.Sort()
		if err != nil {
			checkCycle(t, g)
			return
		}
		if len(g.Cycles()) != 0 || len(order) != len(g.ids) {
			t.Fatalf("sorted %v of %v, cycles %v", order, g, g.Cycles())
		}
		for i, id := range order {
			for _, next := range g.Outputs(id) {
				if slices.Index(order, next) <= i {
					t.Fatalf("edge %s -> %s points back in %v", id, next, order)
				}
			}
		}
	})
}

func checkCycle(t *rapid.T, g *Graph[string]) {
	cycles := g.Cycles()
	if len(cycles) == 0 {
		t.Fatalf("not sorted, but without a cycle: %v", g)
	}
	for _, path := range cycles {
		if len(path) < 2 || path[0] != path[len(path)-1] {
			t.Fatalf("path %v is not closed", path)
		}
		for i := range path[1:] {
			if !slices.Contains(g.Outputs(path[i]), path[i+1]) {
				t.Fatalf("path %v uses an edge that is not there", path)
			}
		}
	}
}

func TestPropertyComponentsPartTheGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawn(t)
		group := map[string]int{}
		for i, ids := range g.Components() {
			for _, id := range ids {
				if _, twice := group[id]; twice {
					t.Fatalf("%s is in two groups", id)
				}
				group[id] = i
			}
		}
		if len(group) != len(g.ids) {
			t.Fatalf("%d of %d vertices are in a group", len(group), len(g.ids))
		}
		for _, id := range g.ids {
			for _, next := range g.Outputs(id) {
				if group[id] != group[next] {
					t.Fatalf("edge %s -> %s joins two groups", id, next)
				}
			}
		}
	})
}

func TestPropertyUnreachableIsClosed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawn(t)
		if len(g.ids) == 0 {
			return
		}
		start := rapid.SampledFrom(g.ids).Draw(t, "start")
		missed := g.Unreachable(start)
		if slices.Contains(missed, start) {
			t.Fatal("the start is not reached")
		}
		for _, id := range missed {
			for _, from := range g.Inputs(id) {
				if !slices.Contains(missed, from) {
					t.Fatalf("%s is reached and leads to %s, which is not", from, id)
				}
			}
		}
	})
}
