// Package health keeps what sinks say of themselves at the last step of an event's
// way: per lane, why its last attempt failed. It knows no sink.
package health

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/millrace/millrace/engine/node"
)

// Lanes is the health of one sink; the zero value is a sink without troubles. Its
// methods may be called from any goroutine.
type Lanes struct {
	mu     sync.Mutex
	reason map[lane]string // guarded by mu; lanes whose last attempt succeeded are absent
}

// lane is one lane of one input stream.
type lane struct {
	stream string
	number int
}

// Note records the outcome of one attempt. Bad data says nothing about the sink.
func (h *Lanes) Note(stream string, number int, err error) {
	key := lane{stream, number}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || node.ClassOf(err) == node.Rejected {
		delete(h.reason, key)
		return
	}
	if h.reason == nil {
		h.reason = map[lane]string{}
	}
	h.reason[key] = fmt.Sprintf("%s: %v", node.ClassOf(err), err)
}

// Status is ready unless a lane's last attempt failed; it then gives the reason of
// the first of these lanes.
func (h *Lanes) Status() node.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.reason) == 0 {
		return node.Status{Ready: true}
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(h.reason)), func(a, b lane) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.number, b.number))
	})
	return node.Status{Reason: h.reason[first]}
}
