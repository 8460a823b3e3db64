package selecttransform_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	selecttransform "github.com/millrace/millrace/engine/transform/selectx"
)

func record() *event.Event {
	return &event.Event{RootID: "r", Time: 1000, Record: &event.Record{Fields: []event.Field{
		{Name: "a", Value: event.Int(1)}, {Name: "b", Value: event.Int(2)}, {Name: "c", Value: event.Int(3)}}}}
}

func process(t testing.TB, opts selecttransform.Options, events ...*event.Event) []node.Result {
	t.Helper()
	tr, err := selecttransform.New("pick", &opts)
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

type options = selecttransform.Options

func TestFieldsAreSelected(t *testing.T) {
	for _, tc := range []struct {
		rule string
		opts options
		want string
	}{
		{"keep orders", options{Keep: []string{"c", "a"}}, `{"c":3,"a":1}`},
		{"keep skips what is absent", options{Keep: []string{"c", "x"}}, `{"c":3}`},
		{"keep fills what is absent", options{Keep: []string{"c", "x"}, Missing: "fill"}, `{"c":3,"x":null}`},
		{"keep rejects what is absent", options{Keep: []string{"c", "x"}, Missing: "reject"}, `!missing_field`},
		{"drop keeps the order", options{Drop: []string{"b", "x"}}, `{"a":1,"c":3}`},
		{"rename stays in place", options{Rename: map[string]string{"b": "B"}}, `{"a":1,"B":2,"c":3}`},
		{"rename may swap", options{Rename: map[string]string{"a": "b", "b": "a"}}, `{"b":1,"a":2,"c":3}`},
		{"rename onto a dropped name", options{Drop: []string{"c"}, Rename: map[string]string{"a": "c"}}, `{"c":1,"b":2}`},
		{"rename onto a kept name", options{Rename: map[string]string{"a": "c"}}, `!duplicate_field`},
		{"keep then rename", options{Keep: []string{"b", "a"}, Rename: map[string]string{"a": "x"}}, `{"b":2,"x":1}`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			in := record()
			if got := describe(process(t, tc.opts, in)[0]); got != tc.want {
				t.Errorf("got %s; want %s", got, tc.want)
			}
			if got := string(in.Record.AppendJSON(nil)); got != `{"a":1,"b":2,"c":3}` {
				t.Errorf("the input was changed: %s", got)
			}
		})
	}
}

func TestPayloadsAreRefused(t *testing.T) {
	r := process(t, options{Drop: []string{"a"}}, &event.Event{RootID: "r", Payload: []byte("{}")})[0]
	if got := describe(r); got != "!no_record" {
		t.Errorf("got %s", got)
	}
}

func TestOptionsThatCannotWorkAreNamed(t *testing.T) {
	for field, opts := range map[string]options{
		"":         {},
		"drop":     {Keep: []string{"a"}, Drop: []string{"b"}},
		"keep[1]":  {Keep: []string{"a", "a"}},
		"missing":  {Keep: []string{"a"}, Missing: "cry"},
		"rename.a": {Drop: []string{"a"}, Rename: map[string]string{"a": "x"}},
		"rename.b": {Rename: map[string]string{"a": "x", "b": "x"}},
		"rename.c": {Rename: map[string]string{"c": ""}},
		"rename.d": {Keep: []string{"a"}, Rename: map[string]string{"d": "x"}},
	} {
		errs := opts.Check()
		if len(errs) != 1 || errs[0].Field != field {
			t.Errorf("%s: Check = %v", field, errs)
		}
		if _, err := selecttransform.New("n", &opts); err == nil {
			t.Errorf("%s: New took them", field)
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	tr, err := selecttransform.New("pick", &options{Keep: []string{"c", "a"}, Rename: map[string]string{"a": "x"}})
	if err != nil {
		b.Fatal(err)
	}
	batch := &node.Batch{}
	for range 1000 {
		batch.Events = append(batch.Events, record())
	}
	b.ReportAllocs()
	for b.Loop() {
		if r, err := tr.Process(b.Context(), batch); err != nil || len(r[999].Outputs) != 1 {
			b.Fatal(err, r[999])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/event")
}
