package event_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
)

// TestIDsStayWhatTheyAre pins ids to bytes: rows in databases bear them, so that
// no later engine may compute others.
func TestIDsStayWhatTheyAre(t *testing.T) {
	identity := event.NewIdentity("charts", "plant1", "m-1")
	root := &event.Event{ID: event.RootID(identity, 1700000000000), RootID: "m-1"}
	for name, pair := range map[string][2]string{
		"identity": {hex.EncodeToString(identity[:]), "27cc3a34fd087864ae4b554fc59b1187"},
		"root":     {root.ID.String(), "018bcfe5680027cc3a34fd087864ae4b"},
		"derived":  {event.DerivedID(root, "readings", 7, 1700000000001).String(), "018bcfe56801dfa21f3333da95da26ca"},
		"untimed":  {event.RootID(identity, 0).String(), "00000000000027cc3a34fd087864ae4b"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s id is %s; want %s", name, pair[0], pair[1])
		}
	}
}

func TestIDsTellLineagesApart(t *testing.T) {
	root := func(id string) *event.Event {
		return &event.Event{ID: event.RootID(event.NewIdentity("p", "n", id), 5), RootID: id}
	}
	child := root("a").Derive("x", 1, 5)
	ids := map[string]event.ID{
		"root":                  root("a").ID,
		"other root":            root("b").ID,
		"other pipeline":        event.RootID(event.NewIdentity("q", "n", "a"), 5),
		"other source":          event.RootID(event.NewIdentity("p", "m", "a"), 5),
		"names that run over":   event.RootID(event.NewIdentity("pn", "", "a"), 5),
		"child":                 child.ID,
		"its sibling":           root("a").Derive("x", 2, 5).ID,
		"child by another node": root("a").Derive("y", 1, 5).ID,
		"child of another root": root("b").Derive("x", 1, 5).ID,
		"grandchild":            child.Derive("x", 1, 5).ID,
	}
	seen := map[event.ID]string{}
	for name, id := range ids {
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have one id, %s", name, other, id)
		}
		seen[id] = name
	}
}

func TestAnIDDependsOnLineageAlone(t *testing.T) {
	in := &event.Event{ID: event.RootID(event.NewIdentity("p", "n", "a"), 5), RootID: "a"}
	later := *in
	later.ID = event.RootID(event.NewIdentity("p", "n", "a"), 99)
	later.Plugin, later.Key, later.Ingested = "scale@2.0.0#ffffffff", "k", 1234
	a, b := in.Derive("x", 3, 7), later.Derive("x", 3, 7)
	if a.ID != b.ID {
		t.Errorf("ids %s and %s; want the same from another plugin version, key and parent's time", a.ID, b.ID)
	}
}

func TestIDsSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(1, 1<<48-1)
		a, b := ms.Draw(t, "a"), ms.Draw(t, "b")
		text := rapid.String()
		idA := event.RootID(event.NewIdentity("p", "n", text.Draw(t, "id a")), a)
		idB := event.RootID(event.NewIdentity("p", "n", text.Draw(t, "id b")), b)
		if a < b && slices.Compare(idA[:], idB[:]) >= 0 {
			t.Fatalf("%s of %d does not come before %s of %d", idA, a, idB, b)
		}
		if !idA.Time().Equal(time.UnixMilli(a)) {
			t.Fatalf("id of %d says %s", a, idA.Time())
		}
	})
}

func TestTimesThatAnIDCannotHoldAreLeftOut(t *testing.T) {
	for _, ms := range []int64{-1, 1 << 48, math.MinInt64, math.MaxInt64} {
		if id := event.RootID(event.Identity{1}, ms); !id.Time().IsZero() {
			t.Errorf("id of %d ms says %s; want no time", ms, id.Time())
		}
	}
}

func TestParseIDReadsWhatStringWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := event.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if got, err := event.ParseID(id.String()); err != nil || got != id {
			t.Fatalf("ParseID(%s) = %s, %v", id, got, err)
		}
	})
	for _, s := range []string{"", "00", "zz" + event.ID{}.String()[2:], event.ID{}.String() + "00"} {
		if id, err := event.ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %s; want an error", s, id)
		}
	}
}

func TestDeriveLeavesTheParentAlone(t *testing.T) {
	in := goldenFrame().Events[0]
	before := *in
	out := in.Derive("x", 0, 0)
	if out.Time != in.Time || out.RootID != in.RootID || out.Source != in.Source || len(out.Headers) != len(in.Headers) {
		t.Errorf("derived %+v; want time, root, source and headers of %+v", out, in)
	}
	if out.Payload != nil || out.Record != nil || out.ContentType != "" {
		t.Errorf("derived event has content: %+v", out)
	}
	if in.ID != before.ID || string(in.Payload) != string(before.Payload) || in.ContentType != before.ContentType {
		t.Errorf("the parent was changed: %+v", in)
	}
}

func TestPositionsCompareByEpochThenEntry(t *testing.T) {
	ordered := []event.Position{{}, {Ms: 1}, {Ms: 1, Seq: 1}, {Ms: 2}, {Epoch: 1}, {Epoch: 1, Ms: 1}, {Epoch: 2}}
	for i, p := range ordered {
		for k, q := range ordered {
			want := 0
			if i < k {
				want = -1
			} else if i > k {
				want = 1
			}
			if got := p.Compare(q); got != want {
				t.Errorf("%s compared with %s is %d; want %d", p, q, got, want)
			}
		}
		if p.IsZero() != (i == 0) {
			t.Errorf("%s IsZero = %v", p, p.IsZero())
		}
	}
}

func TestParsePositionReadsWhatStringWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.Uint64()
		p := event.Position{Epoch: u.Draw(t, "epoch"), Ms: u.Draw(t, "ms"), Seq: u.Draw(t, "seq")}
		if got, err := event.ParsePosition(p.String()); err != nil || got != p {
			t.Fatalf("ParsePosition(%s) = %s, %v", p, got, err)
		}
	})
	for _, s := range []string{"", "1", "1.2", "1.2-", "1.2-3x", "1.2-3 ", " 1.2-3", "+1.2-3", "01.2-3", "1.2--3", "1.99999999999999999999-0"} {
		if p, err := event.ParsePosition(s); !errors.Is(err, event.ErrFormat) {
			t.Errorf("ParsePosition(%q) = %s, %v; want ErrFormat", s, p, err)
		}
	}
}

func TestValuesSayWhatTheyHold(t *testing.T) {
	for _, tc := range []struct {
		v            event.Value
		kind         string
		format, json string
		any          any
	}{
		{event.Null, "null", "", "null", nil},
		{event.Bool(true), "bool", "true", "true", true},
		{event.Int(math.MinInt64), "int", "-9223372036854775808", "-9223372036854775808", int64(math.MinInt64)},
		{event.Float(0.1), "float", "0.1", "0.1", 0.1},
		{event.Decimal("1.50"), "decimal", "1.50", "1.50", "1.50"},
		{event.String("ü\n"), "string", "ü\n", `"ü\n"`, "ü\n"},
		{event.Time(-1), "time", "1969-12-31T23:59:59.999Z", `"1969-12-31T23:59:59.999Z"`, time.UnixMilli(-1).UTC()},
		{event.JSON(`{"a":[1]}`), "json", `{"a":[1]}`, `{"a":[1]}`, `{"a":[1]}`},
	} {
		if tc.v.Kind().String() != tc.kind || tc.v.Format() != tc.format || string(tc.v.AppendJSON(nil)) != tc.json || tc.v.Any() != tc.any {
			t.Errorf("%s: Format %q, JSON %s, Any %v; want %q, %s, %v", tc.v.Kind(), tc.v.Format(), tc.v.AppendJSON(nil), tc.v.Any(), tc.format, tc.json, tc.any)
		}
	}
	if got := event.Bytes([]byte{0, 255}); got.Format() != "AP8=" || string(got.AppendJSON(nil)) != `"AP8="` {
		t.Errorf("bytes: Format %q, JSON %s", got.Format(), got.AppendJSON(nil))
	}
}

func TestNumbersThatJSONLacksBecomeNull(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(event.Float(f).AppendJSON(nil)); got != "null" {
			t.Errorf("%v as JSON is %s; want null", f, got)
		}
	}
}

func TestRecordsAreJSONInFieldOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &event.Record{}
		for _, name := range rapid.SliceOfNDistinct(rapid.String(), 0, 6, func(s string) string { return s }).Draw(t, "names") {
			v := rapid.OneOf(rapid.Just(event.Null), rapid.Map(rapid.Bool(), event.Bool), rapid.Map(rapid.Int64(), event.Int), rapid.Map(rapid.Float64(), event.Float), rapid.Map(rapid.String(), event.String))
			r.Fields = append(r.Fields, event.Field{Name: name, Value: v.Draw(t, "value")})
		}
		text := r.AppendJSON(nil)
		var back map[string]any
		if err := json.Unmarshal(text, &back); err != nil || len(back) != len(r.Fields) {
			t.Fatalf("%s: %v, %d fields; want %d", text, err, len(back), len(r.Fields))
		}
	})
}

func TestWithReplacesInPlaceOrAppends(t *testing.T) {
	r := &event.Record{Fields: []event.Field{{Name: "a", Value: event.Int(1)}, {Name: "b", Value: event.Int(2)}}}
	replaced, appended := r.With("a", event.Int(9)), r.With("c", event.Int(3))
	if got := string(replaced.AppendJSON(nil)); got != `{"a":9,"b":2}` {
		t.Errorf("replaced: %s", got)
	}
	if got := string(appended.AppendJSON(nil)); got != `{"a":1,"b":2,"c":3}` {
		t.Errorf("appended: %s", got)
	}
	if got := string(r.AppendJSON(nil)); got != `{"a":1,"b":2}` {
		t.Errorf("the record was changed: %s", got)
	}
}

func BenchmarkDerive(b *testing.B) {
	in := goldenFrame().Events[0]
	b.ReportAllocs()
	for b.Loop() {
		if in.Derive("readings", 1, 1700000000000).RootID == "" {
			b.Fatal("no root id")
		}
	}
}
