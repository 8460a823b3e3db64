package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
	"github.com/millrace/millrace/plugins/sdk"
)

type none struct{}

// mapOf makes a plugin of f alone.
func mapOf(f sdk.Func) sdk.Plugin {
	return sdk.Map("test", "1.0.0", func(*none) (sdk.Func, error) { return f, nil })
}

func input(root string, fields ...event.Field) *event.Event {
	return &event.Event{
		ID: event.RootID(event.NewIdentity("p", "s", root), 0), RootID: root, Time: 1000,
		Record: &event.Record{Fields: fields},
	}
}

func process(t *testing.T, p sdk.Plugin, events ...*event.Event) ([]node.Result, error) {
	t.Helper()
	tr, err := p.Open(nil, sdk.Node{ID: "n", Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	return tr.Process(t.Context(), &node.Batch{Events: events})
}

func must(t *testing.T, p sdk.Plugin, events ...*event.Event) []node.Result {
	t.Helper()
	results, err := process(t, p, events...)
	if err != nil || len(results) != len(events) {
		t.Fatalf("%d results for %d events, error %v", len(results), len(events), err)
	}
	return results
}

func TestOutputIsDerived(t *testing.T) {
	in := input("m", event.Field{Name: "a", Value: event.Int(1)}, event.Field{Name: "b", Value: event.Int(2)}, event.Field{Name: "c", Value: event.Int(3)})
	p := mapOf(func(e *sdk.Event) error {
		e.Delete("b")
		e.Delete("missing")
		e.Set("d", event.Int(4))
		e.Set("e", event.Int(5))
		e.Set("f", event.Int(6)) // more than there is spare room for
		e.Set("a", event.Int(10))
		e.SetTime(2000)
		return nil
	})
	out := must(t, p, in)[0].Outputs[0]
	want := in.Derive("n", 0, 2000)
	want.Record = &event.Record{Fields: []event.Field{
		{Name: "a", Value: event.Int(10)}, {Name: "c", Value: event.Int(3)}, {Name: "d", Value: event.Int(4)},
		{Name: "e", Value: event.Int(5)}, {Name: "f", Value: event.Int(6)},
	}}
	if !reflect.DeepEqual(out, want) {
		t.Errorf("output %+v %v\nwant %+v %v", out, out.Record, want, want.Record)
	}
	if len(in.Record.Fields) != 3 || in.Record.Fields[0].Value != event.Int(1) {
		t.Errorf("the input became %v", in.Record)
	}
}

func TestEmitMakesOneOutputEach(t *testing.T) {
	in := input("m", event.Field{Name: "n", Value: event.Int(0)})
	p := mapOf(func(e *sdk.Event) error {
		for i := range 100 { // more than the room that was taken for them
			e.Set("n", event.Int(int64(i)))
			e.Emit()
		}
		return nil
	})
	outputs := must(t, p, in)[0].Outputs
	if len(outputs) != 100 {
		t.Fatalf("%d outputs", len(outputs))
	}
	for i, out := range outputs {
		if n, _ := out.Record.Get("n"); n != event.Int(int64(i)) || out.ID != in.Derive("n", i, 0).ID {
			t.Errorf("output %d: n = %v, id %s", i, n.Any(), out.ID)
		}
	}
}

func TestOutcomes(t *testing.T) {
	p := mapOf(func(e *sdk.Event) error {
		switch e.Text("do") {
		case "drop":
			e.Drop()
		case "emit and drop":
			e.Emit()
			e.Drop()
		case "emit and reject":
			e.Emit()
			return sdk.Reject("changed_mind", "found \xff")
		}
		return nil
	})
	do := func(what string) *event.Event {
		return input(what, event.Field{Name: "do", Value: event.String(what)})
	}
	raw := input("raw")
	raw.Record, raw.Payload = nil, []byte("x")
	results := must(t, p, do("drop"), do("emit and drop"), do("emit and reject"), do(""), raw)
	for i, want := range []struct {
		outputs int
		reject  string
	}{{0, ""}, {1, ""}, {0, "changed_mind: found \uFFFD"}, {1, ""}, {0, "no_record"}} {
		got := ""
		if r := results[i].Rejects; len(r) == 1 {
			got = r[0].Code + ": " + r[0].Text
		}
		if len(results[i].Outputs) != want.outputs || !strings.HasPrefix(got, want.reject) || (want.reject == "") != (got == "") {
			t.Errorf("event %d: %d outputs, reject %q; want %d, %q", i, len(results[i].Outputs), got, want.outputs, want.reject)
		}
	}
}

func TestErrorsAndPanicsFailTheUnit(t *testing.T) {
	var log bytes.Buffer
	p := mapOf(func(e *sdk.Event) error {
		if e.In().RootID == "bad" {
			var none *event.Event
			_ = none.Key
		}
		return node.AsAway(errors.New("gone"))
	})
	tr, err := p.Open(nil, sdk.Node{ID: "n", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.Process(t.Context(), &node.Batch{Events: []*event.Event{input("good")}})
	if node.ClassOf(err) != node.Away {
		t.Errorf("error %v of class %v, want away", err, node.ClassOf(err))
	}
	_, err = tr.Process(t.Context(), &node.Batch{Events: []*event.Event{input("bad")}})
	if err == nil || node.ClassOf(err) != node.Unsure || !strings.Contains(err.Error(), "event 0: panic") {
		t.Errorf("error %v of class %v, want a panic of event 0", err, node.ClassOf(err))
	}
	if !strings.Contains(log.String(), "sdk_test.go") {
		t.Errorf("no stack in the log:\n%s", log.String())
	}
}

// pair is a batch transform: each record twice, the second with ordinal 7.
type pair struct{ id string }

func (p *pair) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	for i, e := range in.Events {
		if e.Record == nil {
			results[i].Rejects = []node.Reject{{Record: -1, Code: "no_record", Text: "no record"}}
			continue
		}
		for _, ordinal := range []int{0, 7} {
			out := e.Derive(p.id, ordinal, 0)
			out.Record = &event.Record{Fields: append([]event.Field(nil), e.Record.Fields...)}
			results[i].Outputs = append(results[i].Outputs, out)
		}
	}
	return results, ctx.Err()
}

func (p *pair) Close() error { return nil }

func TestConformance(t *testing.T) {
	record := transformtest.Fields{{Name: "v", Value: event.Int(1)}}
	twice := []transformtest.Expected{{Record: &record}, {Record: &record}}
	for name, c := range map[string]struct {
		plugin sdk.Plugin
		out    []transformtest.Expected
	}{
		"map":   {mapOf(func(e *sdk.Event) error { e.Emit(); e.Emit(); return nil }), twice},
		"batch": {sdk.Batch("pair", "1.0.0", func(_ *none, n sdk.Node) (node.Transform, error) { return &pair{n.ID}, nil }), twice},
	} {
		transformtest.Run(t, transformtest.Suite{
			Cases: []transformtest.Case{{Name: name, In: []transformtest.Input{{Record: &record}}, Out: []transformtest.Output{{Outputs: c.out}}}},
			Open: func(id string, _ map[string]any) (node.Transform, error) {
				return c.plugin.Open(nil, sdk.Node{ID: id, Lanes: 4})
			},
		})
	}
}

// nested is a configuration with places of its own.
type nested struct {
	Rules []struct {
		Factor float64 `json:"factor"`
	} `json:"rules"`
}

func TestConfigurationErrorsNameTheirPlace(t *testing.T) {
	p := sdk.Map("test", "1.0.0", func(*nested) (sdk.Func, error) { return nil, errors.New("opened") })
	for config, want := range map[string]string{
		``:                              "opened",
		`null`:                          "opened",
		`{"rules":[{"factor":1}]}`:      "opened",
		`{"rules":[{"factor":"much"}]}`: "factor: is a string, want float64",
		`{"rules":{}}`:                  "rules: is a object, want ",
		`{"rule":[]}`:                   "rule: unknown field",
		`{`:                             "unexpected EOF",
	} {
		_, err := p.Open(json.RawMessage(config), sdk.Node{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}

func TestNumbersAndMoments(t *testing.T) {
	var seen []string
	p := mapOf(func(e *sdk.Event) error {
		n, ok, err := e.Number("v")
		seen = append(seen, fmt.Sprintf("%v %t %d", n, ok, e.Moment()))
		return err
	})
	in := func(fields ...event.Field) *event.Event { return input("m", fields...) }
	v := func(v event.Value) event.Field { return event.Field{Name: "v", Value: v} }
	timeless := in(v(event.Int(-3)))
	timeless.Time, timeless.Ingested = 0, 7000
	results := must(t, p, in(v(event.Decimal("1.5"))), in(v(event.Null)), timeless, in(v(event.String("1"))), in())
	if got, want := strings.Join(seen, ", "), "1.5 true 1000, 0 false 1000, -3 true 7000, 0 false 1000, 0 false 1000"; got != want {
		t.Errorf("seen %s, want %s", got, want)
	}
	for i, code := range []string{3: "bad_number", 4: "no_field"} {
		if code != "" && (len(results[i].Rejects) != 1 || results[i].Rejects[0].Code != code) {
			t.Errorf("event %d: rejects %v, want %s", i, results[i].Rejects, code)
		}
	}
}

func TestDurationsAreText(t *testing.T) {
	type config struct{ Every sdk.Duration }
	for text, want := range map[string]string{`{"every":"90s"}`: "", `{"every":90}`: "90 is no duration", `{"every":"soon"}`: `"soon" is no duration`} {
		var ms int64
		_, err := sdk.Map("test", "1.0.0", func(c *config) (sdk.Func, error) { ms = c.Every.Milliseconds(); return nil, nil }).Open([]byte(text), sdk.Node{})
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) || err == nil && ms != 90_000 {
			t.Errorf("%s: %d ms, error %v, want %q", text, ms, err, want)
		}
	}
}

func BenchmarkMap(b *testing.B) {
	p := mapOf(func(e *sdk.Event) error { return e.SetFloat("value", 2) })
	tr, err := p.Open(nil, sdk.Node{ID: "n"})
	if err != nil {
		b.Fatal(err)
	}
	in := &node.Batch{}
	for range 256 {
		in.Events = append(in.Events, input("m", event.Field{Name: "value", Value: event.Float(1)}))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Process(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/event")
}
