package node

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/engine/event"
)

// stateFormat is the first byte of every stored state value.
const stateFormat = 1

// PackState returns a state value as it is stored: with the version of its layout,
// so that whoever reads it later knows what it is. The bytes are described in
// FORMAT.md.
func PackState(version string, value []byte) []byte {
	stored := make([]byte, 0, 1+binary.MaxVarintLen32+len(version)+len(value))
	stored = append(stored, stateFormat)
	stored = binary.AppendUvarint(stored, uint64(len(version)))
	return append(append(stored, version...), value...)
}

// UnpackState returns what was given to [PackState]; the value shares memory with
// stored. Its error wraps [event.ErrFormat].
func UnpackState(stored []byte) (version string, value []byte, err error) {
	if len(stored) == 0 || stored[0] != stateFormat {
		return "", nil, fmt.Errorf("state value of %d bytes does not begin with format %d: %w", len(stored), stateFormat, event.ErrFormat)
	}
	length, n := binary.Uvarint(stored[1:])
	if n <= 0 || length > uint64(len(stored)-1-n) {
		return "", nil, fmt.Errorf("state value of %d bytes ends within its version: %w", len(stored), event.ErrFormat)
	}
	value = stored[1+n:]
	return string(value[:length]), value[length:], nil
}

// StatefulOf returns t's state by key, false if it keeps none now.
func StatefulOf(t Transform) (Stateful, bool) {
	s, ok := t.(Stateful)
	return s, ok && s.StateVersion() != ""
}

// Keys returns the keys of events, each once, in the order of their first event.
func Keys(events []*event.Event) []string {
	var keys []string
	seen := make(map[string]struct{}, min(len(events), 64))
	for _, e := range events {
		if _, ok := seen[e.Key]; !ok {
			seen[e.Key] = struct{}{}
			keys = append(keys, e.Key)
		}
	}
	return keys
}
