package stage

import (
	"context"
	"fmt"
	"slices"

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
// unit comes again. Committed values are kept up to stateCache bytes, to save asking
// the log for them.
type laneStates struct {
	loader     StateLoader
	generation string
	committed  map[string]nodeValues // by node; a nil value is known to be absent
	staged     map[string]nodeValues
	running    map[string]nodeValues
	last       event.Position
	size       int // bytes of committed, about
}

type nodeValues map[string][]byte

const (
	stateCache    = 16 << 20  // bytes of committed values that a lane keeps from one run to the next
	stateLoad     = 128 << 20 // bytes of them that one run may ask for; with more its events are divided
	stateRead     = 512       // keys that the log is asked for at once
	stateOverhead = 64        // bytes that a key takes besides its value
)

func newLaneStates(loader StateLoader, generation string) *laneStates {
	return &laneStates{
		loader: loader, generation: generation, committed: map[string]nodeValues{}, staged: map[string]nodeValues{}, running: map[string]nodeValues{},
	}
}

// begin starts work on d's unit, or starts it again.
func (s *laneStates) begin(d *stream.Delivery) {
	if d.Unit.After == s.last {
		merge(s.committed, s.staged)
		s.size += sizeOf(s.staged)
	}
	if d.Unsure {
		s.forget()
	}
	clear(s.staged)
	s.last = d.Unit.Last
}

// forget drops what is known of committed values; the log still has them.
func (s *laneStates) forget() {
	clear(s.committed)
	s.size = 0
}

func sizeOf(states map[string]nodeValues) int {
	size := 0
	for _, values := range states {
		for k, v := range values {
			size += stateOverhead + len(k) + len(v)
		}
	}
	return size
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

// load gives batch its State if n keeps any, reading what is not known yet.
func (s *laneStates) load(ctx context.Context, n *ChainNode, batch *node.Batch) error {
	stateful, ok := n.Transform.(node.Stateful)
	if !ok {
		return nil
	}
	keys := stateful.StateKeys(batch)
	if keys == nil {
		return nil
	}
	if s.size > stateCache {
		s.forget()
	}
	known := s.committed[n.ID]
	if known == nil {
		known = nodeValues{}
		s.committed[n.ID] = known
	}
	if err := s.learn(ctx, n.ID, keys, known); err != nil {
		return err
	}
	s.running[n.ID] = nodeValues{}
	batch.State = nodeState{s.running[n.ID], s.staged[n.ID], known}
	return nil
}

// learn asks the log for those of keys that are not known.
func (s *laneStates) learn(ctx context.Context, id string, keys []string, known nodeValues) error {
	var missing []string
	for _, k := range keys {
		if _, ok := known[k]; !ok {
			missing = append(missing, k)
		}
	}
	loaded := 0
	for some := range slices.Chunk(missing, stateRead) {
		values, err := s.loader.LoadState(ctx, stream.StateOf(id, s.generation), some)
		if err != nil {
			return err
		}
		for _, k := range some {
			known[k] = values[k]
			size := stateOverhead + len(k) + len(values[k])
			loaded, s.size = loaded+size, s.size+size
		}
		if loaded > stateLoad && len(keys) > 1 {
			s.forget()
			return node.AsRejected(fmt.Errorf("the state of %d keys has more than %d bytes; the unit is divided", len(keys), stateLoad))
		}
	}
	return nil
}

// changes lists what the accepted runs over the unit have put.
func (s *laneStates) changes() []stream.StateChange {
	var list []stream.StateChange
	for n, values := range s.staged {
		for k, v := range values {
			list = append(list, stream.StateChange{Node: stream.StateOf(n, s.generation), Key: k, Value: v})
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
