// Package taken remembers, for sinks whose outside system keeps no position, which
// events of the unit that is under way that system has already: they are not sent
// again when the unit comes again.
package taken

import (
	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Unit is what is known of one lane's present unit; the zero value knows nothing. It
// is used by one goroutine at a time.
type Unit struct {
	last event.Position
	has  map[event.ID]bool
}

// Begin forgets what it knows unless u is the unit that it knows of, or its rest.
func (t *Unit) Begin(u *node.Unit) {
	if t.has == nil || t.last != u.Last {
		t.last, t.has = u.Last, map[event.ID]bool{}
	}
}

// Has reports whether the outside system has an event of the unit.
func (t *Unit) Has(id event.ID) bool { return t.has[id] }

// Add notes that it has.
func (t *Unit) Add(id event.ID) { t.has[id] = true }

// Remove notes that it has not.
func (t *Unit) Remove(id event.ID) { delete(t.has, id) }
