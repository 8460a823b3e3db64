package sdk

import (
	"fmt"

	"github.com/millrace/millrace/engine/node"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// unitState is the keyed state of one unit: what the host has sent of it, over it
// what was put. It lasts from the unit's first chunk to its answer.
type unitState struct {
	version string
	values  map[string][]byte // in the form of [node.PackState]; nil: removed
	put     []string          // keys that were put, each once
	changed map[string]bool
}

var _ node.State = (*unitState)(nil)

// begin forgets the unit before.
func (s *unitState) begin() {
	if s != nil {
		s.values, s.put, s.changed = map[string][]byte{}, nil, map[string]bool{}
	}
}

// bring adds what came with a chunk.
func (s *unitState) bring(states []*pluginv1.KeyState) {
	for _, k := range states {
		s.values[string(k.Key)] = node.PackState(k.Version, k.Value)
	}
}

// Get implements [node.State].
func (s *unitState) Get(key string) []byte { return s.values[key] }

// Put implements [node.State].
func (s *unitState) Put(key string, value []byte) {
	s.values[key] = value
	if !s.changed[key] {
		s.changed[key] = true
		s.put = append(s.put, key)
	}
}

// statePart is where what was put is cut into messages, in bytes.
const statePart = 1 << 20

// parts returns what was put, cut into messages. Its error is that of a state that
// does not fit into any.
func (s *unitState) parts() ([][]*pluginv1.KeyState, error) {
	if s == nil || len(s.put) == 0 {
		return nil, nil
	}
	var parts [][]*pluginv1.KeyState
	size := statePart
	for _, key := range s.put {
		k, err := s.wire(key)
		if err != nil {
			return nil, err
		}
		if size += sizeOf(k); size >= statePart {
			parts, size = append(parts, nil), sizeOf(k)
		}
		last := &parts[len(parts)-1]
		*last = append(*last, k)
	}
	return parts, nil
}

func (s *unitState) wire(key string) (*pluginv1.KeyState, error) {
	stored := s.values[key]
	if stored == nil {
		return &pluginv1.KeyState{Key: []byte(key), Removed: true}, nil
	}
	version, value, err := node.UnpackState(stored)
	if err != nil {
		return nil, err
	}
	if limit := pluginv1.MaxMessageBytes - (64 << 10); len(key)+len(value) > limit {
		return nil, node.AsRejected(fmt.Errorf("the state of key %q has %d bytes, which does not fit in a message of %d bytes",
			key, len(value), pluginv1.MaxMessageBytes))
	}
	return &pluginv1.KeyState{Key: []byte(key), Value: value, Version: version}, nil
}

// sizeOf returns about how many bytes states take in a message.
func sizeOf(states ...*pluginv1.KeyState) int {
	size := 0
	for _, k := range states {
		size += 32 + len(k.Key) + len(k.Value)
	}
	return size
}
