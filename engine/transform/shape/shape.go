// Package shape does to every record what the built-in transforms offer alike:
// it sets fields by expressions, finds the event time, and derives the event
// with its record from shared blocks of memory. It stands between a transform's
// decoder and the outputs of Process; it decodes nothing itself.
package shape

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/transform/eventtime"
)

// Codes of the rejects that [Run.Record] gives.
const (
	BadExpression = "bad_expression" // an expression failed on this record
	BadTime       = "bad_time"       // the time field is missing, null or unreadable
)

// Config is the part of a transform's options that this package serves.
type Config struct {
	Set         map[string]string // field -> expression
	Time        string            // field with the event time; "" inherits the input's time
	TimeFormats []string          // see [eventtime.New]
	Zone        string            // of times that carry none; "" is UTC
}

// Check reports every problem, named as in the options of the transforms.
func (c Config) Check() []spec.FieldError {
	var errs []spec.FieldError
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		if name == "" {
			errs = append(errs, spec.FieldError{Field: "set", Message: "a field has no name"})
			continue
		}
		errs = append(errs, CheckExpression("set."+name, c.Set[name])...)
	}
	if c.Time == "" && (len(c.TimeFormats) > 0 || c.Zone != "") {
		errs = append(errs, spec.FieldError{Field: "time", Message: "missing, though time_formats or zone is given", Hint: "name the field that holds the event time"})
	}
	for i, f := range c.TimeFormats {
		if _, err := eventtime.New([]string{f}, ""); err != nil {
			errs = append(errs, spec.FieldError{Field: fmt.Sprintf("time_formats[%d]", i), Message: err.Error()})
		}
	}
	if _, err := eventtime.New(nil, c.Zone); err != nil {
		errs = append(errs, spec.FieldError{Field: "zone", Message: err.Error(), Hint: "use a name such as Europe/Berlin"})
	}
	return errs
}

// Shape sets fields and finds times. It is safe for concurrent use. The zero
// value leaves records as they are.
type Shape struct {
	set   []assignment
	time  string
	clock *eventtime.Reader
	drop  []string
}

// New compiles c; its errors are those that [Config.Check] reports.
func New(c Config) (*Shape, error) {
	clock, err := eventtime.New(c.TimeFormats, c.Zone)
	if err != nil {
		return nil, err
	}
	set, err := compileSet(c.Set)
	if err != nil {
		return nil, err
	}
	return &Shape{set: set, time: c.Time, clock: clock}, nil
}

// Drop makes the shape remove fields, after everything else. It must be called
// before the shape is used.
func (s *Shape) Drop(fields []string) { s.drop = fields }

// apply sets the fields of the record that e carries and reads its event time.
// All expressions see the record as it comes in. It returns fields with the
// changes (appended in the order of field names), which it changes in place,
// and the event time in ms, 0 if none is configured; or a reject without its
// record number.
func (s *Shape) apply(e *event.Event, fields []event.Field, m *memo) ([]event.Field, int64, *node.Reject) {
	fields, err := s.assign(e, fields)
	if err != nil {
		return nil, 0, &node.Reject{Code: BadExpression, Text: err.Error()}
	}
	fields, ms, bad := s.stamp(fields, m)
	if bad == nil && len(s.drop) > 0 {
		fields = slices.DeleteFunc(fields, func(f event.Field) bool { return slices.Contains(s.drop, f.Name) })
	}
	return fields, ms, bad
}

// stamp reads the event time and makes its field a time.
func (s *Shape) stamp(fields []event.Field, m *memo) ([]event.Field, int64, *node.Reject) {
	if s.time == "" {
		return fields, 0, nil
	}
	i := Find(fields, s.time)
	if i < 0 {
		return nil, 0, &node.Reject{Code: BadTime, Text: fmt.Sprintf("field %q is missing", s.time)}
	}
	ms, err := s.read(fields[i].Value, m)
	if err != nil {
		return nil, 0, &node.Reject{Code: BadTime, Text: fmt.Sprintf("field %q: %v", s.time, err)}
	}
	fields[i].Value = event.Time(ms)
	return fields, ms, nil
}

func (s *Shape) assign(e *event.Event, fields []event.Field) ([]event.Field, error) {
	if len(s.set) == 0 {
		return fields, nil
	}
	var stack [8]event.Value
	values, err := eval(s.set, e, stack[:0])
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		if at := Find(fields, s.set[i].field); at >= 0 {
			fields[at].Value = v
			continue
		}
		fields = append(fields, event.Field{Name: s.set[i].field, Value: v})
	}
	return fields, nil
}

// Find returns the index of the field called name, -1 if there is none.
func Find(fields []event.Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}
