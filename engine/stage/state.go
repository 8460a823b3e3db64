package stage

import (
	"context"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// StateLoader reads committed keyed state.
type StateLoader interface {
	// LoadState returns the values of keys under node; absent keys are missing.
	LoadState(ctx context.Context, node string, keys []string) (map[string][]byte, error)
}

// laneStates holds the keyed state of one lane's stateful nodes in three layers:
// committed values; over them what accepted runs over parts of the unit at work
// have put; over those what the run at work puts. Staged values become committed
// when the next unit begins just after this one, and are dropped when the same
// unit comes again.
type laneStates struct {
	loader    StateLoader
	suffix    string                // of node names: another generation keeps states of its own
	committed map[string]nodeValues // by node; a nil value is known to be absent
	staged    map[string]nodeValues
	running   map[string]nodeValues
	last      event.Position
}

type nodeValues map[string][]byte

// liveGeneration is the one whose states carry the node's plain name.
const liveGeneration = "live"

func newLaneStates(loader StateLoader, generation string) *laneStates {
	suffix := ""
	if generation != liveGeneration {
		suffix = "@" + generation
	}
	return &laneStates{
		loader: loader, suffix: suffix, committed: map[string]nodeValues{}, staged: map[string]nodeValues{}, running: map[string]nodeValues{},
	}
}

// begin starts work on u, or starts it again.
func (s *laneStates) begin(u *node.Unit) {
	if u.After == s.last {
		merge(s.committed, s.staged)
	}
	clear(s.staged)
	s.last = u.Last
}

// attempt starts one run over the unit or a part of it; accept keeps what it put.
func (s *laneStates) attempt() { clear(s.running) }
func (s *laneStates) accept()  { merge(s.staged, s.running) }

func merge(dst, src map[string]nodeValues) {
	for n, values := range src {
		if dst[n] == nil {
			dst[n] = nodeValues{}
		}
		for k, v := range values {
			dst[n][k] = v
		}
	}
}

// load gives batch its State if n is stateful, reading what is not known yet.
func (s *laneStates) load(ctx context.Context, n *ChainNode, batch *node.Batch) error {
	stateful, ok := n.Transform.(node.Stateful)
	if !ok {
		return nil
	}
	known := s.committed[n.ID]
	if known == nil {
		known = nodeValues{}
		s.committed[n.ID] = known
	}
	var missing []string
	for _, k := range stateful.StateKeys(batch) {
		if _, ok := known[k]; !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		values, err := s.loader.LoadState(ctx, n.ID+s.suffix, missing)
		if err != nil {
			return err
		}
		for _, k := range missing {
			known[k] = values[k]
		}
	}
	s.running[n.ID] = nodeValues{}
	batch.State = nodeState{s.running[n.ID], s.staged[n.ID], known}
	return nil
}

// changes lists what the accepted runs over the unit have put.
func (s *laneStates) changes() []stream.StateChange {
	var list []stream.StateChange
	for n, values := range s.staged {
		for k, v := range values {
			list = append(list, stream.StateChange{Node: n + s.suffix, Key: k, Value: v})
		}
	}
	return list
}

// nodeState is one node's view within one run.
type nodeState struct {
	running, staged, known nodeValues
}

func (s nodeState) Get(key string) []byte {
	for _, layer := range [...]nodeValues{s.running, s.staged} {
		if v, ok := layer[key]; ok {
			return v
		}
	}
	return s.known[key]
}

func (s nodeState) Put(key string, value []byte) { s.running[key] = value }
