package chart

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
)

// Getter reads one value from an event; an error means that it has none. A Getter
// is called from one goroutine at a time.
type Getter func(e *event.Event) (event.Value, error)

// Compiler turns the text of an expression into a Getter. It is called once per
// goroutine that reads events, so that a Getter may keep state.
type Compiler func(source string) (Getter, error)

// Outcome says what [Extractor.Point] made of an event.
type Outcome uint8

// The outcomes.
const (
	OK        Outcome = iota
	NoValue           // the expression gave nothing, or no number
	NonFinite         // NaN or an infinity, which never leave the engine
)

// Point is one value of one series, as read from one event. Its texts may share
// memory with the event's frame; clone them to keep them.
type Point struct {
	Chart  string
	Series string
	Time   int64 // ms since the Unix epoch, UTC
	Value  float64
}

// Sink is one chart node: its options and how to compile their expressions.
type Sink struct {
	ID      string
	Options Options
	compile Compiler
}

// New returns the chart node id. compile is asked only for expressions that are
// more than a field's name or a quoted text; nil refuses those. Every expression
// is compiled once here, so that errors show before anything runs.
func New(id string, opts Options, compile Compiler) (*Sink, error) {
	if compile == nil {
		compile = func(source string) (Getter, error) {
			return nil, fmt.Errorf("expression %q: only field names and quoted texts are supported here", source)
		}
	}
	s := &Sink{ID: id, Options: opts.withDefaults(), compile: compile}
	if errs := s.Options.Check(); len(errs) > 0 {
		return nil, fmt.Errorf("chart sink %q: %w", id, errs[0])
	}
	_, err := s.Extractor()
	return s, err
}

// Title is the heading over the node's charts.
func (s *Sink) Title() string {
	if s.Options.Title != "" {
		return s.Options.Title
	}
	return s.ID
}

// Extractor returns a new extractor for the use of one goroutine.
func (s *Sink) Extractor() (*Extractor, error) {
	x := &Extractor{}
	for _, part := range []struct {
		name, source string
		into         *Getter
	}{
		{"chart", s.Options.Chart, &x.chart},
		{"series", s.Options.Series, &x.series},
		{"value", s.Options.Value, &x.value},
		{"time", s.Options.Time, &x.time},
		{"unit", s.Options.Unit, &x.unit},
	} {
		get, err := s.getter(part.source)
		if err != nil {
			return nil, fmt.Errorf("chart sink %q: %s: %w", s.ID, part.name, err)
		}
		*part.into = get
	}
	return x, nil
}

// getter takes the fast way for field names and quoted texts.
func (s *Sink) getter(source string) (Getter, error) {
	source = strings.TrimSpace(source)
	switch {
	case source == "":
		return nil, nil
	case fieldName.MatchString(source) && !variables[source]:
		return field(source), nil
	}
	if text, ok := quoted(source); ok {
		v := event.String(text)
		return func(*event.Event) (event.Value, error) { return v, nil }, nil
	}
	return s.compile(source)
}

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variables are bare names that mean something else than the record's field.
var variables = map[string]bool{
	"message_id": true, "routing_key": true, "queue": true, "exchange": true, "node": true,
	"headers": true, "payload": true, "record": true, "root_id": true, "time": true, "key": true,
	"plugin": true, "true": true, "false": true, "nil": true,
}

func quoted(source string) (string, bool) {
	if len(source) < 2 || strings.ContainsAny(source[1:len(source)-1], `"'\`) {
		return "", false
	}
	if q := source[0]; q != source[len(source)-1] || q != '"' && q != '\'' {
		return "", false
	}
	return source[1 : len(source)-1], true
}

// field reads a field of the record. Records of one stream mostly have their
// fields in the same places, so the last place is tried first.
func field(name string) Getter {
	last := 0
	return func(e *event.Event) (event.Value, error) {
		if e.Record == nil {
			return event.Null, nil
		}
		fields := e.Record.Fields
		if last < len(fields) && fields[last].Name == name {
			return fields[last].Value, nil
		}
		for i := range fields {
			if fields[i].Name == name {
				last = i
				return fields[i].Value, nil
			}
		}
		return event.Null, nil
	}
}

// Extractor reads points from events. It is used by one goroutine at a time.
type Extractor struct {
	chart, series, value, time, unit Getter
}

// Point reads e's point. A missing chart or series gives "", a missing time the
// event time and then the time of ingest.
func (x *Extractor) Point(e *event.Event) (Point, Outcome) {
	v, err := x.value(e)
	if err != nil {
		return Point{}, NoValue
	}
	number, ok := asNumber(v)
	if !ok {
		return Point{}, NoValue
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return Point{}, NonFinite
	}
	return Point{Chart: textOf(x.chart, e), Series: textOf(x.series, e), Time: x.timeOf(e), Value: number}, OK
}

// Unit reads e's unit, "" if it has none.
func (x *Extractor) Unit(e *event.Event) string { return textOf(x.unit, e) }

func asNumber(v event.Value) (float64, bool) {
	if v.Kind() == event.KindBool {
		if v.AsBool() {
			return 1, true
		}
		return 0, true
	}
	return v.AsFloat()
}

func textOf(get Getter, e *event.Event) string {
	if get == nil {
		return ""
	}
	v, err := get(e)
	if err != nil {
		return ""
	}
	if v.Kind() == event.KindString {
		return v.Text()
	}
	return v.Format()
}

func (x *Extractor) timeOf(e *event.Event) int64 {
	if x.time != nil {
		if v, err := x.time(e); err == nil {
			if ms, ok := asMillis(v); ok {
				return ms
			}
		}
	}
	if e.Time != 0 {
		return e.Time
	}
	return e.Ingested
}

// asMillis takes a time, a number of ms since the epoch, or an RFC 3339 text.
func asMillis(v event.Value) (int64, bool) {
	switch v.Kind() {
	case event.KindTime, event.KindInt:
		return v.AsInt(), true
	case event.KindFloat, event.KindDecimal:
		f, ok := v.AsFloat()
		return int64(f), ok && math.Abs(f) < 1<<53
	case event.KindString:
		if t, err := time.Parse(time.RFC3339Nano, v.Text()); err == nil {
			return t.UnixMilli(), true
		}
		ms, err := strconv.ParseInt(v.Text(), 10, 64)
		return ms, err == nil
	default:
		return 0, false
	}
}
