package sdk

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Event is the draft of an output, which starts as its input. Reading and
// setting fields work on the draft; the input never changes.
type Event struct {
	in     *event.Event
	node   string
	fields []event.Field // the draft's record; shared with the input until own
	own    bool          // fields may be written
	time   int64         // event time of the draft
	drop   bool
	reject *node.Reject // refused by its method
	count  int          // ordinals used so far

	room *room
	out  []*event.Event
}

// In returns the input event, which must not be changed, nor kept: the next events are
// decoded into its memory. Its texts and values may be kept.
func (e *Event) In() *event.Event { return e.in }

// Get returns the named field of the draft, null if there is none.
func (e *Event) Get(name string) event.Value {
	if i := e.index(name); i >= 0 {
		return e.fields[i].Value
	}
	return event.Null
}

// Float returns the named field as a number; false if it is missing or not one.
func (e *Event) Float(name string) (float64, bool) { return e.Get(name).AsFloat() }

// Number returns the named field's number, which may be NaN or infinite; ok is false
// if the field is null. A field that is missing or something else gives an error made
// by [Reject], with code no_field or bad_number.
func (e *Event) Number(name string) (number float64, ok bool, err error) {
	i := e.index(name)
	if i < 0 {
		return 0, false, Reject("no_field", "field %q is missing", name)
	}
	value := e.fields[i].Value
	if value.IsNull() {
		return 0, false, nil
	}
	number, ok = value.AsFloat()
	if !ok {
		return 0, false, Reject("bad_number", "field %q is a %s, want a number", name, value.Kind())
	}
	return number, true, nil
}

// Moment returns when the event happened, in ms since the Unix epoch UTC: the draft's
// event time, or when the engine took the message in if it has none.
func (e *Event) Moment() int64 {
	if e.time != 0 {
		return e.time
	}
	return e.in.Ingested
}

// Text returns the named field's text; "" if it is missing or not text.
func (e *Event) Text(name string) string { return e.Get(name).Text() }

// Set gives the named field a value, in its place or at the end.
func (e *Event) Set(name string, v event.Value) {
	i := e.index(name)
	e.ownFields()
	if i >= 0 {
		e.fields[i].Value = v
		return
	}
	e.fields = append(e.fields, event.Field{Name: name, Value: v})
}

// SetFloat sets the named field to a number. It returns nil, so that a Func can
// end with it.
func (e *Event) SetFloat(name string, f float64) error {
	e.Set(name, event.Float(f))
	return nil
}

// SetTime sets the draft's event time, ms since the Unix epoch UTC.
func (e *Event) SetTime(ms int64) { e.time = ms }

// Delete removes the named field.
func (e *Event) Delete(name string) {
	i := e.index(name)
	if i < 0 {
		return
	}
	e.ownFields()
	e.fields = slices.Delete(e.fields, i, i+1)
}

// ownFields makes the draft's fields its own before they are changed or given
// away; the input's belong to the caller.
func (e *Event) ownFields() {
	if !e.own {
		e.fields = e.room.copyFields(e.fields)
		e.own = true
	}
}

// Drop ends the event without an output: it was not wanted. What Emit gave away
// before stays.
func (e *Event) Drop() { e.drop = true }

// Reject refuses the event for good, whatever Emit gave away before: the same as
// returning [Reject] from a [Func].
func (e *Event) Reject(code, format string, args ...any) {
	e.reject = &node.Reject{Record: -1, Code: code, Text: valid(fmt.Sprintf(format, args...))}
}

// Emit makes an output of the draft as it stands; the draft lives on as a copy.
// A Func that has called Emit makes no further output by returning.
func (e *Event) Emit() {
	e.ownFields()
	e.out = append(e.out, e.room.output(e))
	e.count++
	e.own = false // the emitted event owns these fields now
}

// finish makes the output that a draft stands for unless its Func has said otherwise.
func (e *Event) finish() {
	if !e.drop && e.count == 0 {
		e.Emit()
	}
}

func (e *Event) index(name string) int {
	for i := range e.fields {
		if e.fields[i].Name == name {
			return i
		}
	}
	return -1
}

// room is the memory of one batch's outputs, taken in a few large pieces. It may serve
// the next batch when they are not needed any more.
type room struct {
	events  []event.Event
	records []event.Record
	fields  []event.Field
	results []node.Result
	outputs []*event.Event
	draft   Event
}

// spare is the number of fields that a draft may add before it grows.
const spare = 2

// keptEvents is the largest batch whose room serves again: many times what a chunk has.
const keptEvents = 8192

// clear measures a batch and makes room for one output an event. What the room held
// before is gone, and keeps nothing else alive.
func (r *room) clear(in []*event.Event) {
	if cap(r.results) > keptEvents || cap(r.fields) > 8*keptEvents {
		*r = room{}
	}
	fields := 0
	for _, e := range in {
		fields += spare
		if e.Record != nil {
			fields += len(e.Record.Fields)
		}
	}
	r.events, r.records, r.fields = emptied(r.events, len(in)), emptied(r.records, len(in)), emptied(r.fields, fields)
	r.outputs, r.results = emptied(r.outputs, len(in)), emptied(r.results, len(in))
}

// emptied returns an empty list with room for n elements, all of them zero, in the
// memory of list where they fit.
func emptied[T any](list []T, n int) []T {
	if list == nil || cap(list) < n {
		return make([]T, 0, n)
	}
	clear(list)
	return list[:0]
}

// copyFields returns a copy of fields that may grow by spare without moving.
func (r *room) copyFields(fields []event.Field) []event.Field {
	want := len(fields) + spare
	if cap(r.fields)-len(r.fields) < want {
		r.fields = make([]event.Field, 0, max(want, 256))
	}
	start := len(r.fields)
	r.fields = r.fields[:start+want]
	list := r.fields[start : start+len(fields) : start+want]
	copy(list, fields)
	return list
}

// output makes an event of a draft.
func (r *room) output(e *Event) *event.Event {
	if len(r.events) == cap(r.events) {
		r.events = make([]event.Event, 0, 64)
		r.records = make([]event.Record, 0, 64)
	}
	r.events = append(r.events, *e.in)
	out := &r.events[len(r.events)-1]
	out.ID = event.DerivedID(e.in, e.node, e.count, e.time)
	out.Time = e.time
	r.records = append(r.records, event.Record{Fields: e.fields[:len(e.fields):len(e.fields)]})
	out.Record = &r.records[len(r.records)-1]
	return out
}
