package expr

import (
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/event"
)

// reader looks one thing up in an event; it never allocates.
type reader func(ev *event.Event) event.Value

// slot is one thing that a program looks up before it runs.
type slot struct {
	kind slotKind
	name string
	get  func(ev *event.Event) any
}

// slotKind says what a slot's name names.
type slotKind string

const (
	variableSlot slotKind = "variable"
	fieldSlot    slotKind = "field"
	headerSlot   slotKind = "header"
	sourceSlot   slotKind = "source"
	recordSlot   slotKind = "record"
	headersSlot  slotKind = "headers"
)

// key is the slot's name in the program's environment; the blank keeps it apart
// from everything that an expression can spell.
func (s slot) key() string { return string(s.kind) + " " + s.name }

// variables are the names that do not mean a record field, except payload,
// headers and record, which are looked into.
var variables = map[string]reader{
	"message_id":  func(ev *event.Event) event.Value { return text(ev.Source.MessageID) },
	"routing_key": func(ev *event.Event) event.Value { return event.String(ev.Source.RoutingKey) },
	"queue":       func(ev *event.Event) event.Value { return event.String(ev.Source.Queue) },
	"exchange":    func(ev *event.Event) event.Value { return event.String(ev.Source.Exchange) },
	"node":        func(ev *event.Event) event.Value { return event.String(ev.Source.Node) },
	"root_id":     func(ev *event.Event) event.Value { return event.String(ev.RootID) },
	"key":         func(ev *event.Event) event.Value { return event.String(ev.Key) },
	"plugin":      func(ev *event.Event) event.Value { return text(ev.Plugin) },
	"time":        eventTime,
}

// afterIngest are the variables that a message does not have yet when its
// identity is computed.
var afterIngest = map[string]bool{"root_id": true, "key": true, "plugin": true, "time": true, "node": true}

// identityNames are the names that an identity may use.
var identityNames = []string{"message_id", "routing_key", "queue", "exchange", "headers", "payload"}

// sourceMembers are the members of `source`.
var sourceMembers = map[string]reader{
	"node":        variables["node"],
	"exchange":    variables["exchange"],
	"routing_key": variables["routing_key"],
	"queue":       variables["queue"],
	"message_id":  variables["message_id"],
	"redelivered": func(ev *event.Event) event.Value { return event.Bool(ev.Source.Redelivered) },
}

// Variables returns the names that an expression knows without a record, sorted.
func Variables() []string {
	names := append(slices.Collect(maps.Keys(variables)), "payload", "headers", "record")
	slices.Sort(names)
	return names
}

// text is null for "", so that `message_id ?? other` does what it says.
func text(s string) event.Value {
	if s == "" {
		return event.Null
	}
	return event.String(s)
}

func eventTime(ev *event.Event) event.Value {
	if ev.Time == 0 {
		return event.Null
	}
	return event.Time(ev.Time)
}

func fieldReader(name string) reader {
	return func(ev *event.Event) event.Value {
		if ev.Record == nil {
			return event.Null
		}
		v, _ := ev.Record.Get(name)
		return v
	}
}

func headerReader(name string) reader {
	return func(ev *event.Event) event.Value {
		for i := range ev.Headers {
			if ev.Headers[i].Name == name {
				return ev.Headers[i].Value
			}
		}
		return event.Null
	}
}

// boxed hands a reader's value to the VM.
func boxed(r reader) func(ev *event.Event) any {
	return func(ev *event.Event) any { return toAny(r(ev)) }
}

func wholeRecord(ev *event.Event) any {
	if ev.Record == nil {
		return nil
	}
	m := make(map[string]any, len(ev.Record.Fields))
	for _, f := range ev.Record.Fields {
		m[f.Name] = toAny(f.Value)
	}
	return m
}

func wholeHeaders(ev *event.Event) any {
	m := make(map[string]any, len(ev.Headers))
	for _, h := range ev.Headers {
		if _, repeated := m[h.Name]; !repeated {
			m[h.Name] = toAny(h.Value)
		}
	}
	return m
}
