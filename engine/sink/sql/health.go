package sqlsink

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/millrace/millrace/engine/node"
)

// health keeps, per lane, why its last attempt failed.
type health struct {
	mu   sync.Mutex
	lane map[laneKey]string // guarded by mu; lanes whose last attempt succeeded are absent
}

// note records the outcome of one attempt. Bad data says nothing about the sink.
func (h *health) note(key laneKey, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || node.ClassOf(err) == node.Rejected {
		delete(h.lane, key)
		return
	}
	if h.lane == nil {
		h.lane = map[laneKey]string{}
	}
	h.lane[key] = fmt.Sprintf("%s: %v", node.ClassOf(err), err)
}

func (h *health) status() node.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lane) == 0 {
		return node.Status{Ready: true}
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(h.lane)), func(a, b laneKey) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.lane, b.lane))
	})
	return node.Status{Reason: h.lane[first]}
}
