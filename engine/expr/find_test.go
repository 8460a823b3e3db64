package expr

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
)

// lookup is find by decoding everything.
func lookup(doc any, path []string) any {
	for _, name := range path {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = m[name]
	}
	return doc
}

func checkFind(t *testing.T, doc []byte, path []string) {
	t.Helper()
	var whole any
	dec := json.NewDecoder(strings.NewReader(string(doc)))
	dec.UseNumber()
	if err := dec.Decode(&whole); err != nil {
		t.Fatal(err)
	}
	var want event.Value
	var err error
	if n, ok := lookup(whole, path).(json.Number); ok {
		want = number(string(n))
	} else if want, err = fromAny(lookup(whole, path)); err != nil {
		t.Fatal(err)
	}
	got, err := valueOf(find(doc, path))
	if err != nil || got != want {
		t.Fatalf("%q in %s: got %s %q, %v, want %s %q", path, doc, got.Kind(), got.Format(), err, want.Kind(), want.Format())
	}
}

func TestFind(t *testing.T) {
	for _, doc := range []string{
		`{"a":1}`, ` { "b" : [1,{"a":2}], "a" : {"b":"x"} } `, `{"a":{"b":{"a":1.50}},"b":null}`, `{}`, `[]`, `{"a":[]}`,
		`{"a":"\"}{","b":"x"}`, `{"\u0061":7}`, `{"a":1,"a":2}`, `{"a":{"b":1},"a":3}`, `{"b":"\\","a":true}`, `"a"`, `17`, `null`,
		`{"x":{"a":1},"a":{"x":false,"b":-1e-7}}`, "{\"a\":\"\xff\"}", `{"a":12345678901234567890}`, `{"":1}`, `{"a":{"":2}}`,
	} {
		for _, path := range [][]string{{"a"}, {"b"}, {"a", "b"}, {"a", "b", "a"}, {"x", "a"}, {""}, {"a", ""}} {
			checkFind(t, []byte(doc), path)
		}
	}
}

// FuzzFind compares find with decoding everything, for any valid JSON.
func FuzzFind(f *testing.F) {
	f.Add([]byte(`{"ts":"2026","value":1.5,"nested":{"a":[1,2,{"b":"\u00e9"}]}}`), "nested.a")
	f.Add([]byte(`{"a":{"a":{"a":1}},"a":"\\\""}`), "a.a")
	f.Add([]byte(` [ {"a" : 1 } , "x" ] `), "a")
	f.Fuzz(func(t *testing.T, doc []byte, path string) {
		if !json.Valid(doc) {
			return
		}
		checkFind(t, doc, strings.Split(path, "."))
	})
}

// FuzzCompile feeds any text as an expression: an error or a program, and the
// program's errors are errors, not panics.
func FuzzCompile(f *testing.F) {
	for _, src := range []string{`device`, `payload.a[0].b + 1`, `let x = record; x.y ?? headers["z"]`, `map(1..3, # * value)`, `source.node`} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		p, err := Compile(src)
		if (p == nil) == (err == nil) {
			t.Fatalf("program %v with error %v", p, err)
		}
		if p != nil {
			if _, err := p.Eval(sample()); err != nil && err.Error() == "" {
				t.Fatal("an error without a word")
			}
		}
	})
}
