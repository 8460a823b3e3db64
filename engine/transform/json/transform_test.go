package jsontransform_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	jsontransform "github.com/millrace/millrace/engine/transform/json"
)

func payload(text string) *event.Event {
	id := event.NewIdentity("p", "plant1", text)
	return &event.Event{ID: event.RootID(id, 1000), RootID: "r", Time: 1000, Payload: []byte(text),
		Source: event.Source{Node: "plant1", RoutingKey: "plant3.dev7.temp"}}
}

func process(t testing.TB, opts jsontransform.Options, events ...*event.Event) []node.Result {
	t.Helper()
	tr, err := jsontransform.New("readings", &opts)
	if err != nil {
		t.Fatal(err)
	}
	results, err := tr.Process(t.Context(), &node.Batch{Events: events})
	if err != nil || len(results) != len(events) {
		t.Fatalf("Process = %d results, %v; want %d", len(results), err, len(events))
	}
	return results
}

// describe writes a result in one line: records as kind:value, rejects as !n:code.
func describe(r node.Result) string {
	var parts []string
	for _, e := range r.Outputs {
		var fields []string
		for _, f := range e.Record.Fields {
			fields = append(fields, fmt.Sprintf("%s=%s:%s", f.Name, f.Value.Kind(), f.Value.Format()))
		}
		parts = append(parts, strings.Join(fields, " "))
	}
	for _, bad := range r.Rejects {
		parts = append(parts, fmt.Sprintf("!%d:%s", bad.Record, bad.Code))
	}
	return strings.Join(parts, "; ")
}

func TestPayloadsBecomeRecords(t *testing.T) {
	for _, tc := range []struct {
		rule, in string
		opts     jsontransform.Options
		want     string
	}{
		{rule: "an object is one record", in: `{"a":1,"b":1.5,"c":"x","d":true,"e":null}`,
			want: "a=int:1 b=float:1.5 c=string:x d=bool:true e=null:"},
		{rule: "numbers keep their digits", in: `{"a":12345678901234567890,"b":0.10000000000000000001,"c":1.10}`,
			want: "a=decimal:12345678901234567890 b=decimal:0.10000000000000000001 c=float:1.1"},
		{rule: "an array is one record per element", in: ` [ {"a":1} , {"a":2} ] `, want: "a=int:1; a=int:2"},
		{rule: "an empty array is no record", in: `[]`, want: ""},
		{rule: "an empty object is an empty record", in: `{}`, want: ""},
		{rule: "nested values stay text, without blanks", in: `{"a":{"b": [1, "x y"]},"c":[ ]}`,
			want: `a=json:{"b":[1,"x y"]} c=json:[]`},
		{rule: "flatten joins names", in: `{"a":{"b":{"c":1},"d":[1]},"e":{}}`, opts: jsontransform.Options{Flatten: "_"},
			want: "a_b_c=int:1 a_d=json:[1]"},
		{rule: "flatten finds clashes", in: `{"a":{"b":1},"a_b":2}`, opts: jsontransform.Options{Flatten: "_"}, want: "!0:duplicate_field"},
		{rule: "path leads to an array", in: `{"n":2,"data":{"items":[{"a":1},{"a":2}]},"z":{}}`, opts: jsontransform.Options{Path: "data.items"},
			want: "a=int:1; a=int:2"},
		{rule: "path leads to an object", in: `{"data":{"a":1}}`, opts: jsontransform.Options{Path: "data"}, want: "a=int:1"},
		{rule: "nothing at the path", in: `{"data":{"a":1}}`, opts: jsontransform.Options{Path: "data.items"}, want: "!-1:no_path"},
		{rule: "a path through a bare value", in: `{"data":1}`, opts: jsontransform.Options{Path: "data.items"}, want: "!-1:no_path"},
		{rule: "a path that forks", in: `{"d":[],"d":[]}`, opts: jsontransform.Options{Path: "d"}, want: "!-1:duplicate_field"},
		{rule: "escapes are resolved", in: `{"a\u0041":"\u00e9\n\t\"\\\/\ud83d\ude00"}`, want: "aA=string:é\n\t\"\\/😀"},
		{rule: "half a surrogate pair spoils its record alone", in: `[{"a":"\ud83d"},{"a":"\ud83d\u0041"},{"a":1}]`, want: "a=int:1; !0:bad_text; !1:bad_text"},
		{rule: "bytes that are not UTF-8 spoil their record alone", in: "[{\"a\":\"\xff\"},{\"a\":1},{\"\xc3\":1}]", want: "a=int:1; !0:bad_text; !2:bad_text"},
		{rule: "bytes that are not UTF-8 beside the records", in: "{\"x\":\"\xff\",\"d\":[{\"a\":1}]}", opts: jsontransform.Options{Path: "d"}, want: "!-1:bad_text"},
		{rule: "a repeated name spoils its record alone", in: `[{"a":1,"a":2},{"a":1}]`, want: "a=int:1; !0:duplicate_field"},
		{rule: "a repeated name is found through escapes", in: `{"a":1,"\u0061":2}`, want: "!0:duplicate_field"},
		{rule: "bare values are no records", in: `[1,"x",null,[{"a":1}],{"a":1},true]`, want: "a=int:1; !0:not_an_object; !1:not_an_object; !2:not_an_object; !3:not_an_object; !5:not_an_object"},
		{rule: "scalar takes bare values", in: `[1,"x",null,[]]`, opts: jsontransform.Options{Scalar: "v"}, want: "v=int:1; v=string:x; v=null:; !3:not_an_object"},
		{rule: "a bare payload", in: " 21.5\n", opts: jsontransform.Options{Scalar: "v"}, want: "v=float:21.5"},
		{rule: "broken JSON is rejected whole", in: `[{"a":1},{"a":}]`, want: "!-1:bad_json"},
		{rule: "a cut payload is rejected whole", in: `[{"a":1},{"a":2}`, want: "!-1:bad_json"},
		{rule: "two values are not one", in: `{"a":1}{"a":2}`, want: "!-1:bad_json"},
		{rule: "broken JSON beside the path", in: `{"d":[{"a":1}],"x":01}`, opts: jsontransform.Options{Path: "d"}, want: "!-1:bad_json"},
		{rule: "empty payload", in: ``, want: "!-1:no_payload"},
		{rule: "max_depth", in: `{"a":[[1]]}`, opts: jsontransform.Options{MaxDepth: 2}, want: "!-1:too_deep"},
		{rule: "max_depth is allowed itself", in: `{"a":[1]}`, opts: jsontransform.Options{MaxDepth: 2}, want: "a=json:[1]"},
		{rule: "max_records", in: `[{},{},{}]`, opts: jsontransform.Options{MaxRecords: 2}, want: "!-1:too_many_records"},
		{rule: "max_fields", in: `[{"a":1,"b":2,"c":3},{"a":1,"b":2}]`, opts: jsontransform.Options{MaxFields: 2}, want: "a=int:1 b=int:2; !0:too_many_fields"},
		{rule: "max_bytes", in: `{"a":1}`, opts: jsontransform.Options{MaxBytes: 6}, want: "!-1:too_large"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := describe(process(t, tc.opts, payload(tc.in))[0]); got != tc.want {
				t.Errorf("%s gives %s; want %s", tc.in, got, tc.want)
			}
		})
	}
}

func TestTimeComesFromTheNamedField(t *testing.T) {
	for in, want := range map[string]string{
		`{"ts":"2023-11-14T22:13:20.5+00:00","v":1}`: "ts=time:2023-11-14T22:13:20.500Z v=int:1",
		`{"ts":1700000000500}`:                       "ts=time:2023-11-14T22:13:20.500Z",
		`{"ts":1700000000}`:                          "ts=time:2023-11-14T22:13:20.000Z",
		`[{"ts":"soon"},{"ts":null},{"v":1}]`:        "!0:bad_time; !1:bad_time; !2:bad_time",
	} {
		r := process(t, jsontransform.Options{Time: "ts"}, payload(in))[0]
		if got := describe(r); got != want {
			t.Errorf("%s gives %s; want %s", in, got, want)
		}
		for _, e := range r.Outputs {
			if ts, _ := e.Record.Get("ts"); e.Time != ts.AsInt() || e.ID.Time().UnixMilli() != e.Time {
				t.Errorf("%s: Time %d, id time %s; want %d", in, e.Time, e.ID.Time(), ts.AsInt())
			}
		}
	}
}

func TestWithoutATimeFieldTheInputsTimeStays(t *testing.T) {
	out := process(t, jsontransform.Options{}, payload(`{"ts":5}`))[0].Outputs[0]
	if out.Time != 1000 || out.RootID != "r" || out.Payload != nil {
		t.Errorf("Time %d, root %q, payload %q; want the input's time and root, no payload", out.Time, out.RootID, out.Payload)
	}
}

func TestSetSeesTheRecordAsItCame(t *testing.T) {
	r := process(t, jsontransform.Options{Set: map[string]string{"plant": `"one"`, "a": `"changed"`}}, payload(`{"a":1,"b":2}`))[0]
	if got, want := describe(r), "a=string:changed b=int:2 plant=string:one"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestIDsCountRejectedRecords(t *testing.T) {
	in := payload(`[{"a":1},7,{"a":3}]`)
	r := process(t, jsontransform.Options{}, in)[0]
	if len(r.Outputs) != 2 {
		t.Fatalf("%d outputs; want 2", len(r.Outputs))
	}
	for i, ordinal := range []int{0, 2} {
		if want := event.DerivedID(in, "readings", ordinal, in.Time); r.Outputs[i].ID != want {
			t.Errorf("output %d has id %s; want that of record %d, %s", i, r.Outputs[i].ID, ordinal, want)
		}
	}
}

func TestEventsWithARecordAreRefused(t *testing.T) {
	e := payload("")
	e.Record = &event.Record{}
	if got := describe(process(t, jsontransform.Options{}, e)[0]); got != "!-1:no_payload" {
		t.Errorf("got %s", got)
	}
}

func TestManyFieldsAreCheckedForRepeats(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `"f%d":%d,`, i, i)
	}
	good := "{" + b.String() + `"last":1}`
	bad := "{" + b.String() + `"f999":1}`
	results := process(t, jsontransform.Options{}, payload(good), payload(bad), payload(good))
	if n := len(results[0].Outputs[0].Record.Fields); n != 1001 || len(results[2].Outputs) != 1 {
		t.Errorf("%d fields; want 1001", n)
	}
	if got := describe(results[1]); got != "!0:duplicate_field" {
		t.Errorf("repeated name gives %s", got)
	}
}

func TestOptionsThatCannotWorkAreNamed(t *testing.T) {
	for field, opts := range map[string]jsontransform.Options{
		"path":            {Path: "a..b"},
		"max_depth":       {MaxDepth: -1},
		"max_records":     {MaxRecords: -1},
		"max_fields":      {MaxFields: 70000},
		"max_bytes":       {MaxBytes: -5},
		"zone":            {Time: "ts", Zone: "Nowhere/City"},
		"time":            {Zone: "UTC"},
		"time_formats[1]": {Time: "ts", TimeFormats: []string{"auto", "%d"}},
		"set.a":           {Set: map[string]string{"a": `"x" +`}},
	} {
		errs := opts.Check()
		if len(errs) != 1 || errs[0].Field != field {
			t.Errorf("%s: Check = %v", field, errs)
		}
		if _, err := jsontransform.New("n", &opts); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: New = %v; want an error that names it", field, err)
		}
	}
}

func TestExpressionsSeeTheMessageAndTheRecord(t *testing.T) {
	r := process(t, jsontransform.Options{Set: map[string]string{
		"device": `split(routing_key, ".")[1]`, "double": "a * 2", "from": "node",
	}}, payload(`[{"a":1},{"a":"x"},{"a":2.5}]`))[0]
	want := "a=int:1 device=string:dev7 double=int:2 from=string:plant1; a=float:2.5 device=string:dev7 double=float:5 from=string:plant1; !1:bad_expression"
	if got := describe(r); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
