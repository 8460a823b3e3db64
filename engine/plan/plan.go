// Package plan turns a pipeline's logical graph into what runs: ingests that
// write the journal, stages that read one stream and write the next, sink stages
// that read a stream and write outside, and charts that follow a stream with
// cursors. It opens nothing; the same file always gives the same plan.
package plan

import (
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/spec"
)

// Plan is how a pipeline runs. All names derive from node ids, so that a plan
// made again after a restart finds its streams and positions.
type Plan struct {
	Pipeline string    `json:"pipeline"`
	Lanes    int       `json:"lanes"`
	Streams  []Stream  `json:"streams"`         // journal first, then in topological order
	Ingests  []string  `json:"ingests"`         // source node ids, in file order
	Notes    []string  `json:"notes,omitempty"` // what is worth knowing of sources
	Stages   []Stage   `json:"stages"`          // transforms, in topological order
	Sinks    []SinkRun `json:"sinks"`           // in file order
	Charts   []Chart   `json:"charts"`          // in file order
}

// Stream is one append-only stream of the plan.
type Stream struct {
	Name     string `json:"name"`     // "journal", or the id of the node whose outputs rest here
	Producer string `json:"producer"` // "ingest", or the id of the stage that appends
	Why      string `json:"why"`      // why events rest here, for people
}

// Stage is a connected group of transform nodes run together between streams:
// one reader per (input stream, lane).
type Stage struct {
	ID     string      `json:"id"`     // id of its first node in topological order
	Inputs []string    `json:"inputs"` // streams
	Nodes  []StageNode `json:"nodes"`  // in topological order
}

// StageNode is one transform or plugin node within a stage.
type StageNode struct {
	ID     string     `json:"id"`
	Edges  []Edge     `json:"edges"`            // where its events come from, in the file's order
	Key    string     `json:"key,omitempty"`    // expression that re-keys its outputs
	Stream string     `json:"stream,omitempty"` // where its outputs rest; "" if only the stage's own nodes read them
	Spec   *spec.Node `json:"-"`
}

// Edge is one input of a node: the outputs of a node of the same stage (Stream
// is ""), or a stream's events. From the journal only events of source Node are
// meant.
type Edge struct {
	Node   string `json:"node"`
	Stream string `json:"stream,omitempty"`
}

// SinkRun is one sink node with a position of its own per (input stream, lane).
type SinkRun struct {
	ID    string     `json:"id"`
	Edges []Edge     `json:"edges"` // Stream is never ""
	Spec  *spec.Node `json:"-"`
}

// Chart is a chart sink: no stage, no position; the live hub follows its streams.
type Chart struct {
	ID    string     `json:"id"`
	Edges []Edge     `json:"edges"`
	Spec  *spec.Node `json:"-"`
}

// Reaching returns the stage's input streams whose events can reach node id, in the
// order of Inputs.
func (s *Stage) Reaching(id string) []string {
	reach := map[string]map[string]bool{} // by node, which comes behind those that it reads
	for _, n := range s.Nodes {
		reach[n.ID] = map[string]bool{}
		for _, e := range n.Edges {
			if e.Stream != "" {
				reach[n.ID][e.Stream] = true
			} else {
				maps.Copy(reach[n.ID], reach[e.Node])
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.Inputs), func(name string) bool { return !reach[id][name] })
}
