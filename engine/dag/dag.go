// Package dag is a directed graph whose vertices are names: order, cycles by
// name, groups, what can be reached. The pipeline reader and the planner build
// their graphs with it. It knows nothing of events or nodes, and every answer
// depends only on the order in which vertices and edges were added.
package dag

import (
	"fmt"
	"slices"
	"strings"
)

// Graph is a directed graph. It is built by one goroutine; once built, any
// number may read it.
type Graph[ID ~string] struct {
	ids   []ID
	index map[ID]int
	out   [][]int
	in    [][]int
}

// New returns an empty graph.
func New[ID ~string]() *Graph[ID] { return &Graph[ID]{index: map[ID]int{}} }

// Add adds a vertex and reports whether it is new.
func (g *Graph[ID]) Add(id ID) bool {
	if _, ok := g.index[id]; ok {
		return false
	}
	g.index[id] = len(g.ids)
	g.ids = append(g.ids, id)
	g.out = append(g.out, nil)
	g.in = append(g.in, nil)
	return true
}

// Connect adds an edge between two vertices of the graph and reports whether it
// is new; an edge to or from a name that is no vertex is not added.
func (g *Graph[ID]) Connect(from, to ID) bool {
	a, okA := g.index[from]
	b, okB := g.index[to]
	if !okA || !okB || slices.Contains(g.out[a], b) {
		return false
	}
	g.out[a] = append(g.out[a], b)
	g.in[b] = append(g.in[b], a)
	return true
}

// Has reports whether id is a vertex.
func (g *Graph[ID]) Has(id ID) bool { _, ok := g.index[id]; return ok }

// Nodes returns the vertices in the order in which they were added.
func (g *Graph[ID]) Nodes() []ID { return slices.Clone(g.ids) }

// Inputs returns the vertices with an edge to id, in the edges' order.
func (g *Graph[ID]) Inputs(id ID) []ID { return g.around(g.in, id) }

// Outputs returns the vertices with an edge from id, in the edges' order.
func (g *Graph[ID]) Outputs(id ID) []ID { return g.around(g.out, id) }

func (g *Graph[ID]) around(edges [][]int, id ID) []ID {
	i, ok := g.index[id]
	if !ok {
		return nil
	}
	return g.names(edges[i])
}

func (g *Graph[ID]) names(indexes []int) []ID {
	ids := make([]ID, len(indexes))
	for i, n := range indexes {
		ids[i] = g.ids[n]
	}
	return ids
}

// CycleError names a cycle.
type CycleError[ID ~string] struct {
	Path []ID // first and last are the same
}

func (e *CycleError[ID]) Error() string { return "cycle: " + Arrow(e.Path) }

// Arrow writes a path as "a -> b -> a".
func Arrow[ID ~string](path []ID) string {
	parts := make([]string, len(path))
	for i, id := range path {
		parts[i] = string(id)
	}
	return strings.Join(parts, " -> ")
}

// Sort returns the vertices so that every edge points forward; among those that
// could come next, the one added first comes first. A graph with a cycle gives a
// [*CycleError].
func (g *Graph[ID]) Sort() ([]ID, error) {
	waiting := make([]int, len(g.ids))
	var ready []int // rising
	for i := range g.ids {
		if waiting[i] = len(g.in[i]); waiting[i] == 0 {
			ready = append(ready, i)
		}
	}
	order := make([]int, 0, len(g.ids))
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		order = append(order, i)
		for _, next := range g.out[i] {
			if waiting[next]--; waiting[next] == 0 {
				at, _ := slices.BinarySearch(ready, next)
				ready = slices.Insert(ready, at, next)
			}
		}
	}
	if len(order) < len(g.ids) {
		return nil, &CycleError[ID]{g.Cycles()[0]}
	}
	return g.names(order), nil
}

// Cycles returns one cycle of each group of vertices that can all reach each
// other: a shortest one through the group's first vertex, which begins and ends
// the path. None means that the graph can be sorted.
func (g *Graph[ID]) Cycles() [][]ID {
	var cycles [][]ID
	done := make([]bool, len(g.ids))
	for i := range g.ids {
		if done[i] {
			continue
		}
		if path := g.shortestCycle(i); path != nil {
			cycles = append(cycles, g.names(path))
			g.markGroup(i, done)
		}
	}
	return cycles
}

// shortestCycle searches breadth first from start until an edge leads back.
func (g *Graph[ID]) shortestCycle(start int) []int {
	from := map[int]int{start: -1}
	for queue := []int{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g.out[queue[0]] {
			if next == start {
				return trail(from, queue[0], start)
			}
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func trail(from map[int]int, last, start int) []int {
	path := []int{start}
	for i := last; i != -1; i = from[i] {
		path = append(path, i)
	}
	slices.Reverse(path)
	return path
}

// markGroup marks what start can reach and what can reach start.
func (g *Graph[ID]) markGroup(start int, done []bool) {
	forward, backward := g.reach(g.out, start), g.reach(g.in, start)
	for i := range done {
		done[i] = done[i] || forward[i] && backward[i]
	}
}

func (g *Graph[ID]) reach(edges [][]int, starts ...int) []bool {
	seen := make([]bool, len(g.ids))
	for len(starts) > 0 {
		i := starts[len(starts)-1]
		starts = starts[:len(starts)-1]
		if !seen[i] {
			seen[i] = true
			starts = append(starts, edges[i]...)
		}
	}
	return seen
}

// Unreachable returns the vertices that no path from one of from leads to, from
// itself being reached, in their order.
func (g *Graph[ID]) Unreachable(from ...ID) []ID { return g.missed(g.out, from) }

// Unused returns the vertices from which no path leads to one of to, to itself
// being used, in their order.
func (g *Graph[ID]) Unused(to ...ID) []ID { return g.missed(g.in, to) }

func (g *Graph[ID]) missed(edges [][]int, ids []ID) []ID {
	var starts []int
	for _, id := range ids {
		if i, ok := g.index[id]; ok {
			starts = append(starts, i)
		}
	}
	var missed []ID
	for i, seen := range g.reach(edges, starts...) {
		if !seen {
			missed = append(missed, g.ids[i])
		}
	}
	return missed
}

// Components returns the groups of vertices that edges connect, whatever their
// direction: groups in the order of their first vertex, vertices in theirs.
func (g *Graph[ID]) Components() [][]ID {
	group := make([]int, len(g.ids)) // 0: none yet
	var groups [][]ID
	for i := range g.ids {
		if group[i] == 0 {
			groups = append(groups, nil)
			g.join(i, len(groups), group)
		}
		n := group[i] - 1
		groups[n] = append(groups[n], g.ids[i])
	}
	return groups
}

func (g *Graph[ID]) join(start, number int, group []int) {
	for todo := []int{start}; len(todo) > 0; {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if group[i] == 0 {
			group[i] = number
			todo = append(append(todo, g.out[i]...), g.in[i]...)
		}
	}
}

// String lists the graph's edges, for tests and debugging.
func (g *Graph[ID]) String() string {
	var b strings.Builder
	for i, id := range g.ids {
		fmt.Fprintf(&b, "%s -> %v\n", id, g.names(g.out[i]))
	}
	return b.String()
}
