package jsontransform_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
	jsontransform "github.com/millrace/millrace/engine/transform/json"
)

// FuzzDecode holds the decoder to encoding/json: both must agree on which
// payloads are JSON, and on the value of every field.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"id":"a","device":"d","metric":"m","ts":"2026-08-21T10:00:00Z","value":1.5,"unit":"C"}`,
		`[{"a":1},{"b":[1,{"c":null}]}]`, `{"a":"\u00e9\ud83d\ude00\n"}`, ` { "a" : { } , "b" : [ ] } `, `{"a":1`, `{"a":1,"a":2}`,
		`{"a":-0.0e-0}`, `[1,"x"]`, "{\"a\":\"\xff\"}", `{"":""}`, `null`, `{"a":"\ud800"}`, `{"a":01}`, "\"\u2028\"",
	} {
		f.Add(s)
	}
	tr, err := jsontransform.New("n", &jsontransform.Options{MaxDepth: 1000})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := payload(text)
		r := processWith(t, tr, e)[0]
		whole := len(r.Rejects) == 1 && r.Rejects[0].Record == -1
		if valid := json.Valid([]byte(text)); valid == whole && !(whole && r.Rejects[0].Code == jsontransform.TooDeep) {
			t.Fatalf("%q: encoding/json says %v, here %v", text, valid, r.Rejects)
		}
		if utf8.ValidString(text) {
			compare(t, text, r.Outputs)
		}
	})
}

func compare(t *testing.T, text string, outputs []*event.Event) {
	var elements []json.RawMessage
	if json.Unmarshal([]byte(text), &elements) != nil {
		elements = []json.RawMessage{json.RawMessage(text)}
	}
	if len(outputs) > len(elements) {
		t.Fatalf("%q: %d records of %d elements", text, len(outputs), len(elements))
	}
	if len(outputs) != len(elements) {
		return // some are rejected
	}
	for i, out := range outputs {
		var want map[string]json.RawMessage
		if err := json.Unmarshal(elements[i], &want); err != nil {
			t.Fatalf("%q: element %d: %v", text, i, err)
		}
		if len(want) != len(out.Record.Fields) {
			t.Fatalf("%q: %d fields; want %d", text, len(out.Record.Fields), len(want))
		}
		for _, field := range out.Record.Fields {
			raw, ok := want[field.Name]
			if !ok || !same(field.Value, raw) {
				t.Fatalf("%q: field %q is %s %q; want %q", text, field.Name, field.Value.Kind(), field.Value.Format(), raw)
			}
		}
	}
}

// same compares a value with the JSON it was read from.
func same(v event.Value, raw json.RawMessage) bool {
	var want any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&want) != nil {
		return false
	}
	switch want := want.(type) {
	case nil:
		return v.IsNull()
	case bool:
		return v.Kind() == event.KindBool && v.AsBool() == want
	case string:
		return v.Kind() == event.KindString && v.Text() == want
	case json.Number:
		f, err := strconv.ParseFloat(want.String(), 64)
		got, ok := v.AsFloat()
		return ok == (err == nil) && (err != nil || math.Float64bits(f) == math.Float64bits(got) || f == got)
	default:
		var buf bytes.Buffer
		return json.Compact(&buf, raw) == nil && v.Kind() == event.KindJSON && v.Text() == buf.String()
	}
}
