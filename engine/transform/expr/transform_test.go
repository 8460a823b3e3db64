package exprtransform_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	exprtransform "github.com/millrace/millrace/engine/transform/expr"
)

func reading(metric string, value event.Value) *event.Event {
	id := event.NewIdentity("p", "plant1", metric)
	return &event.Event{
		ID: event.RootID(id, 1000), RootID: "r", Time: 1000, Source: event.Source{Node: "plant1"},
		Record: &event.Record{Fields: []event.Field{{Name: "metric", Value: event.String(metric)}, {Name: "value", Value: value}, {Name: "at", Value: event.Int(5000)}}},
	}
}

func process(t testing.TB, opts exprtransform.Options, events ...*event.Event) []node.Result {
	t.Helper()
	tr, err := exprtransform.New("calc", &opts)
	if err != nil {
		t.Fatal(err)
	}
	results, err := tr.Process(t.Context(), &node.Batch{Events: events})
	if err != nil || len(results) != len(events) {
		t.Fatalf("Process = %d results, %v; want %d", len(results), err, len(events))
	}
	return results
}

// describe writes a result in one line: the record as JSON, rejects as !code.
func describe(r node.Result) string {
	var parts []string
	for _, e := range r.Outputs {
		parts = append(parts, string(e.Record.AppendJSON(nil)))
	}
	for _, bad := range r.Rejects {
		parts = append(parts, "!"+bad.Code)
	}
	return strings.Join(parts, "; ")
}

func TestRecordsAreFilteredAndComputed(t *testing.T) {
	hot, cold := reading("temperature", event.Float(212)), reading("pressure", event.Int(3))
	for _, tc := range []struct {
		rule      string
		opts      exprtransform.Options
		hot, cold string
	}{
		{"filter drops on purpose", exprtransform.Options{Filter: `metric == "temperature"`}, `{"metric":"temperature","value":212,"at":5000}`, ``},
		{"require rejects", exprtransform.Options{Require: `abs(value) < 100`}, `!requirement`, `{"metric":"pressure","value":3,"at":5000}`},
		{"a null condition is false", exprtransform.Options{Filter: `absent`}, ``, ``},
		{"a condition that is no bool is an error", exprtransform.Options{Filter: `value`}, `!bad_expression`, `!bad_expression`},
		{"filter goes before require", exprtransform.Options{Filter: `metric != "temperature"`, Require: `value < 100`}, ``, `{"metric":"pressure","value":3,"at":5000}`},
		{"set replaces in place and appends in order", exprtransform.Options{Set: map[string]string{"value": "(value - 32) / 1.8", "unit": `"C"`, "from": "node"}},
			`{"metric":"temperature","value":100,"at":5000,"from":"plant1","unit":"C"}`, `{"metric":"pressure","value":-16.11111111111111,"at":5000,"from":"plant1","unit":"C"}`},
		{"set sees the record as it came", exprtransform.Options{Set: map[string]string{"metric": "value", "value": "metric"}},
			`{"metric":212,"value":"temperature","at":5000}`, `{"metric":3,"value":"pressure","at":5000}`},
		{"drop goes last", exprtransform.Options{Set: map[string]string{"v": "value + 1"}, Drop: []string{"value", "at", "absent"}},
			`{"metric":"temperature","v":213}`, `{"metric":"pressure","v":4}`},
		{"an expression that fails rejects", exprtransform.Options{Set: map[string]string{"v": `metric == "pressure" ? value : value / metric`}},
			`!bad_expression`, `{"metric":"pressure","value":3,"at":5000,"v":3}`},
		{"time makes the field a time", exprtransform.Options{Time: "at", Drop: []string{"metric"}},
			`{"value":212,"at":"1970-01-01T01:23:20.000Z"}`, `{"value":3,"at":"1970-01-01T01:23:20.000Z"}`},
		{"an unreadable time rejects", exprtransform.Options{Time: "metric"}, `!bad_time`, `!bad_time`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			results := process(t, tc.opts, hot, cold)
			if got := describe(results[0]); got != tc.hot {
				t.Errorf("hot gives %s; want %s", got, tc.hot)
			}
			if got := describe(results[1]); got != tc.cold {
				t.Errorf("cold gives %s; want %s", got, tc.cold)
			}
		})
	}
}

func TestTheEventTimeFollowsTheField(t *testing.T) {
	in := reading("temperature", event.Int(1))
	out := process(t, exprtransform.Options{Time: "at"}, in)[0].Outputs[0]
	if out.Time != 5_000_000 || out.ID != event.DerivedID(in, "calc", 0, 5_000_000) {
		t.Errorf("Time %d, id %s; want 5000000 and the id derived with it", out.Time, out.ID)
	}
	if at, _ := in.Record.Get("at"); at != event.Int(5000) || in.Time != 1000 {
		t.Errorf("the input was changed: at %s, time %d", at.Format(), in.Time)
	}
}

func TestPayloadsAreRefused(t *testing.T) {
	r := process(t, exprtransform.Options{Filter: "true"}, &event.Event{RootID: "r", Payload: []byte("{}")})[0]
	if got := describe(r); got != "!no_record" {
		t.Errorf("got %s", got)
	}
}

func TestOptionsThatCannotWorkAreNamed(t *testing.T) {
	for field, opts := range map[string]exprtransform.Options{
		"":        {},
		"filter":  {Filter: "a +"},
		"require": {Require: "a b"},
		"set.x":   {Set: map[string]string{"x": "("}},
		"zone":    {Time: "at", Zone: "Nowhere"},
	} {
		errs := opts.Check()
		if len(errs) != 1 || errs[0].Field != field {
			t.Errorf("%s: Check = %v", field, errs)
		}
		if _, err := exprtransform.New("n", &opts); err == nil {
			t.Errorf("%s: New took them", field)
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	for name, opts := range map[string]exprtransform.Options{
		"filter and set": {Filter: `metric == "temperature"`, Set: map[string]string{"value": "(value - 32) / 1.8", "unit": `"C"`}},
		"drop only":      {Drop: []string{"at"}},
	} {
		b.Run(name, func(b *testing.B) {
			tr, err := exprtransform.New("calc", &opts)
			if err != nil {
				b.Fatal(err)
			}
			batch := &node.Batch{}
			for i := range 1000 {
				batch.Events = append(batch.Events, reading("temperature", event.Float(float64(i))))
			}
			b.ReportAllocs()
			for b.Loop() {
				if r, err := tr.Process(b.Context(), batch); err != nil || len(r[999].Outputs) != 1 {
					b.Fatal(err, r[999])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/event")
		})
	}
}
