package chart

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
)

func reading(fields ...event.Field) *event.Event {
	return &event.Event{RootID: "r", Time: 1000, Ingested: 2000, Record: &event.Record{Fields: fields}}
}

func extractor(t *testing.T, o Options, c Compiler) *Extractor {
	t.Helper()
	s, err := New("live", o, c)
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.Extractor()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestPoint(t *testing.T) {
	f := func(n string, v event.Value) event.Field { return event.Field{Name: n, Value: v} }
	full := Options{Chart: "metric", Series: "device", Value: "value", Time: "ts", Unit: "unit"}
	for _, c := range []struct {
		name string
		opts Options
		ev   *event.Event
		want Point
		out  Outcome
	}{
		{"all fields are read", full,
			reading(f("metric", event.String("temp")), f("device", event.String("m1")), f("value", event.Float(1.5)), f("ts", event.Time(77))),
			Point{"temp", "m1", 77, 1.5}, OK},
		{"without time the event time counts", full, reading(f("value", event.Int(3))), Point{"", "", 1000, 3}, OK},
		{"without any time the ingest time counts", Options{}, &event.Event{Ingested: 9, Record: &event.Record{Fields: []event.Field{f("value", event.Int(3))}}}, Point{"", "", 9, 3}, OK},
		{"a text time is read", full, reading(f("value", event.Int(3)), f("ts", event.String("1970-01-01T00:00:01.5Z"))), Point{"", "", 1500, 3}, OK},
		{"a number names a series", full, reading(f("value", event.Int(3)), f("device", event.Int(7))), Point{"", "7", 1000, 3}, OK},
		{"a bool is drawn as 0 or 1", full, reading(f("value", event.Bool(true))), Point{"", "", 1000, 1}, OK},
		{"a decimal is a number", full, reading(f("value", event.Decimal("12.25"))), Point{"", "", 1000, 12.25}, OK},
		{"a text is no number", full, reading(f("value", event.String("12"))), Point{}, NoValue},
		{"null is no number", full, reading(f("value", event.Null)), Point{}, NoValue},
		{"a raw payload has no point", full, &event.Event{Payload: []byte("x")}, Point{}, NoValue},
		{"NaN stays inside", full, reading(f("value", event.Float(math.NaN()))), Point{}, NonFinite},
		{"an infinity stays inside", full, reading(f("value", event.Float(math.Inf(-1)))), Point{}, NonFinite},
		{"a decimal beyond float64 stays inside", full, reading(f("value", event.Decimal("1e999"))), Point{}, NoValue},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, out := extractor(t, c.opts, nil).Point(c.ev)
			if got != c.want || out != c.out {
				t.Fatalf("Point = %+v, %v; want %+v, %v", got, out, c.want, c.out)
			}
		})
	}
}

func TestFieldsMayMove(t *testing.T) {
	x := extractor(t, Options{}, nil)
	a := reading(event.Field{Name: "value", Value: event.Int(1)})
	b := reading(event.Field{Name: "unit", Value: event.String("C")}, event.Field{Name: "value", Value: event.Int(2)})
	for i, want := range []float64{1, 2, 1} {
		if p, _ := x.Point([]*event.Event{a, b, a}[i]); p.Value != want {
			t.Fatalf("event %d: value %v, want %v", i, p.Value, want)
		}
	}
}

func TestExpressionsGoToTheCompiler(t *testing.T) {
	var asked []string
	compile := func(source string) (Getter, error) {
		asked = append(asked, source)
		return func(e *event.Event) (event.Value, error) { return event.String(e.Key), nil }, nil
	}
	x := extractor(t, Options{Chart: `"fixed"`, Series: "key", Unit: "'°C'"}, compile)
	ev := reading(event.Field{Name: "value", Value: event.Int(1)})
	ev.Key = "k"
	if p, _ := x.Point(ev); p.Chart != "fixed" || p.Series != "k" || x.Unit(ev) != "°C" {
		t.Fatalf("Point = %+v, unit %q", p, x.Unit(ev))
	}
	for _, source := range asked {
		if source != "key" {
			t.Fatalf("compiler was asked for %q; names and quoted texts need no compiler", source)
		}
	}
}

func TestNewReportsBadExpression(t *testing.T) {
	bad := errors.New("bad")
	_, err := New("live", Options{Series: "a + b"}, func(string) (Getter, error) { return nil, bad })
	if !errors.Is(err, bad) {
		t.Fatalf("New = %v; want the compiler's error", err)
	}
	if _, err := New("live", Options{Series: "a + b"}, nil); err == nil {
		t.Fatal("New without a compiler took an expression")
	}
}

func TestCheckNamesEveryBadOption(t *testing.T) {
	d := 13
	o := Options{Window: time.Millisecond, MaxPoints: 1, Decimals: &d}
	got := map[string]bool{}
	for _, e := range o.Check() {
		got[e.Field] = true
	}
	for _, want := range []string{"window", "max_points", "decimals", "value"} {
		if !got[want] {
			t.Errorf("Check does not name %q: %v", want, o.Check())
		}
	}
	if errs := Type.NewConfig().(*Options).Check(); len(errs) > 0 {
		t.Errorf("defaults are refused: %v", errs)
	}
}

func BenchmarkPoint(b *testing.B) {
	s, err := New("live", Options{Chart: "metric", Series: "device", Time: "ts"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	x, _ := s.Extractor()
	ev := reading(
		event.Field{Name: "device", Value: event.String("m1")}, event.Field{Name: "metric", Value: event.String("temp")},
		event.Field{Name: "ts", Value: event.Time(5)}, event.Field{Name: "value", Value: event.Float(1.5)})
	b.ReportAllocs()
	for b.Loop() {
		x.Point(ev)
	}
}
