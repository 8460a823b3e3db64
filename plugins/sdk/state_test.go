package sdk_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
	"github.com/millrace/millrace/plugins/sdk"
)

// plain, deep and packed are one count in three forms.
type plain struct {
	N    int
	Last string
}

type deep struct {
	Seen []string
}

type packed struct{ n uint64 }

func (p *packed) MarshalBinary() ([]byte, error) { return binary.AppendUvarint(nil, p.n), nil }
func (p *packed) UnmarshalBinary(b []byte) error {
	p.n, _ = binary.Uvarint(b)
	return nil
}

// counted makes a plugin that counts each key's events, by way of add and count.
// Field do of an event makes it fail after it has counted.
func counted[S any](layout sdk.Layout[S], add func(*S, string), count func(*S) int) sdk.Plugin {
	return sdk.Stateful("counted", "1.0.0", layout, func(*none) (sdk.StateFunc[S], error) {
		return func(e *sdk.Event, s *S) error {
			add(s, e.In().RootID)
			e.Set("n", event.Int(int64(count(s))))
			switch e.Text("do") {
			case "reject":
				return sdk.Reject("told_to", "the event says so")
			case "refuse":
				e.Reject("told_to", "the event says so")
			case "panic":
				panic("the event says so")
			case "error":
				return errors.New("the event says so")
			case "drop":
				e.Drop()
			case "forget":
				*s = *new(S)
			}
			return nil
		}, nil
	})
}

func counters() map[string]sdk.Plugin {
	return map[string]sdk.Plugin{
		"plain": counted(sdk.JSON[plain]("1"), func(s *plain, id string) { s.N++; s.Last = id }, func(s *plain) int { return s.N }),
		"deep": counted(sdk.JSON[deep]("1"), func(s *deep, id string) {
			if len(s.Seen) > 0 {
				s.Seen[0] = id // also what it has is written to
			}
			s.Seen = append(s.Seen, id)
		}, func(s *deep) int { return len(s.Seen) }),
		"binary": counted(sdk.Binary[packed]("1"), func(s *packed, _ string) { s.n++ }, func(s *packed) int { return int(s.n) }),
	}
}

// memory is a state that notes what was put.
type memory struct {
	values map[string][]byte
	puts   int
}

func (m *memory) Get(key string) []byte { return m.values[key] }
func (m *memory) Put(key string, value []byte) {
	m.puts++
	if value == nil {
		delete(m.values, key)
		return
	}
	m.values[key] = value
}

func keyed(key, do string) *event.Event {
	e := input("m-"+key+do, event.Field{Name: "do", Value: event.String(do)})
	e.Key = key
	return e
}

// opened opens p and returns a function that processes units on one state.
func opened(t *testing.T, p sdk.Plugin, m *memory) func(events ...*event.Event) ([]node.Result, error) {
	t.Helper()
	tr, err := p.Open(nil, sdk.Node{ID: "n", Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	return func(events ...*event.Event) ([]node.Result, error) {
		return tr.Process(t.Context(), &node.Batch{Events: events, State: m})
	}
}

func counts(results []node.Result) []int64 {
	var list []int64
	for _, r := range results {
		n := int64(-len(r.Rejects))
		for _, out := range r.Outputs {
			v, _ := out.Record.Get("n")
			n = v.AsInt()
		}
		list = append(list, n)
	}
	return list
}

func TestStateFollowsItsKey(t *testing.T) {
	for name, p := range counters() {
		m := &memory{}
		send := opened(t, p, m)
		for _, want := range [][]int64{{1, 1, 2, 0, 4}, {5, 2, 6, 0, 8}} {
			results, err := send(keyed("a", ""), keyed("b", ""), keyed("a", "x"), keyed("a", "drop"), keyed("a", "y"))
			if err != nil || !slices.Equal(counts(results), want) {
				t.Errorf("%s: counts %v, want %v; error %v", name, counts(results), want, err)
			}
		}
		if m.puts != 4 {
			t.Errorf("%s: %d puts for two keys of two units", name, m.puts)
		}
	}
}

func TestARefusedEventLeavesTheStateAlone(t *testing.T) {
	for name, p := range counters() {
		for _, do := range []string{"reject", "refuse"} {
			m := &memory{}
			send := opened(t, p, m)
			results, err := send(keyed("a", do), keyed("a", ""), keyed("a", do), keyed("a", "x"), keyed("b", do))
			if want := []int64{-1, 1, -1, 2, -1}; err != nil || !slices.Equal(counts(results), want) {
				t.Errorf("%s, %s: counts %v, want %v; error %v", name, do, counts(results), want, err)
			}
			if got := slices.Sorted(maps.Keys(m.values)); !slices.Equal(got, []string{"a"}) {
				t.Errorf("%s, %s: state of keys %q, want a", name, do, got)
			}
		}
	}
}

func TestAFailedBatchPutsNothing(t *testing.T) {
	for name, p := range counters() {
		for _, do := range []string{"panic", "error"} {
			m := &memory{}
			send := opened(t, p, m)
			if _, err := send(keyed("a", ""), keyed("b", ""), keyed("a", do)); err == nil || !strings.Contains(err.Error(), "event 2") {
				t.Errorf("%s, %s: error %v, want one about event 2", name, do, err)
			}
			if m.puts != 0 {
				t.Errorf("%s, %s: %d puts by a batch that failed", name, do, m.puts)
			}
			if results, err := send(keyed("a", "")); err != nil || counts(results)[0] != 1 {
				t.Errorf("%s, %s: the next counts %v, %v; want 1", name, do, counts(results), err)
			}
		}
	}
}

func TestAnEmptyStateIsForgotten(t *testing.T) {
	for name, p := range counters() {
		m := &memory{}
		send := opened(t, p, m)
		for _, events := range [][]*event.Event{{keyed("a", ""), keyed("b", "")}, {keyed("a", "forget")}, {keyed("c", "forget")}} {
			if _, err := send(events...); err != nil {
				t.Fatal(err)
			}
		}
		if got := slices.Sorted(maps.Keys(m.values)); !slices.Equal(got, []string{"b"}) || m.puts != 3 {
			t.Errorf("%s: keys %q after %d puts, want b after 3", name, got, m.puts)
		}
	}
}

// Three layouts of one plugin's life.
type first struct{ Total int }
type second struct{ Sum, Count int }
type third struct{ Mean float64 }

var (
	layout1 = sdk.JSON[first]("1")
	layout2 = sdk.From(sdk.JSON[second]("2"), layout1, func(old first) (second, error) { return second{old.Total, 1}, nil })
	layout3 = sdk.From(sdk.JSON[third]("3"), layout2, func(old second) (third, error) {
		if old.Count == 0 {
			return third{}, errors.New("no count")
		}
		return third{float64(old.Sum) / float64(old.Count)}, nil
	})
)

func TestOlderStateIsConverted(t *testing.T) {
	p := sdk.Stateful("mean", "3.0.0", layout3, func(*none) (sdk.StateFunc[third], error) {
		return func(e *sdk.Event, s *third) error { return e.SetFloat("mean", s.Mean) }, nil
	})
	if p.StateVersion != "3" || !slices.Equal(p.ReadableStates, []string{"1", "2"}) {
		t.Fatalf("it writes %q and reads %q", p.StateVersion, p.ReadableStates)
	}
	m := &memory{values: map[string][]byte{
		"one": node.PackState("1", []byte(`{"Total":7}`)), "two": node.PackState("2", []byte(`{"Sum":6,"Count":4}`)),
		"three": node.PackState("3", []byte(`{"Mean":2.5}`)), "untouched": node.PackState("1", []byte(`{"Total":1}`)),
	}}
	results, err := opened(t, p, m)(keyed("one", ""), keyed("two", ""), keyed("three", ""), keyed("none", ""))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{7, 1.5, 2.5, 0} {
		if got, _ := results[i].Outputs[0].Record.Get("mean"); got != event.Float(want) {
			t.Errorf("event %d: mean %v, want %v", i, got.Any(), want)
		}
	}
	for key, want := range map[string]string{"one": `3 {"Mean":7}`, "two": `3 {"Mean":1.5}`, "three": `3 {"Mean":2.5}`, "untouched": `1 {"Total":1}`} {
		version, value, _ := node.UnpackState(m.values[key])
		if got := version + " " + string(value); got != want {
			t.Errorf("state of %s: %s, want %s", key, got, want)
		}
	}
}

func TestStateThatCannotBeUsedStopsThePipeline(t *testing.T) {
	for what, stored := range map[string][]byte{
		"a foreign version": node.PackState("9", nil), "no state": []byte("x"), "no JSON": node.PackState("1", []byte("{")),
	} {
		m := &memory{values: map[string][]byte{"a": stored}}
		if _, err := opened(t, counters()["plain"], m)(keyed("a", "")); node.ClassOf(err) != node.Fatal {
			t.Errorf("%s: error %v of class %v, want fatal", what, err, node.ClassOf(err))
		}
	}
}

func TestStateThatCannotBeStoredIsRefused(t *testing.T) {
	nan := func(s *third, _ string) { s.Mean = math.NaN() }
	m := &memory{}
	_, err := opened(t, counted(sdk.JSON[third]("1"), nan, func(*third) int { return 0 }), m)(keyed("a", ""))
	if node.ClassOf(err) != node.Rejected || m.puts != 0 {
		t.Errorf("plain: error %v, %d puts", err, m.puts)
	}
	type means struct{ List []float64 }
	grow := func(s *means, id string) {
		s.List = append(s.List, map[string]float64{"m-a": 1, "m-ax": math.Inf(1)}[id])
	}
	results, err := opened(t, counted(sdk.JSON[means]("1"), grow, func(s *means) int { return len(s.List) }), m)(keyed("a", ""), keyed("a", "x"), keyed("a", "y"))
	if want := []int64{1, -1, 2}; err != nil || !slices.Equal(counts(results), want) || results[1].Rejects[0].Code != "bad_state" {
		t.Errorf("with a list: counts %v, want %v; error %v", counts(results), want, err)
	}
}

func TestStatefulPluginsConform(t *testing.T) {
	record := transformtest.Fields{{Name: "v", Value: event.Int(1)}}
	out := func(n int64) transformtest.Output {
		want := transformtest.Fields{record[0], {Name: "n", Value: event.Int(n)}}
		return transformtest.Output{Outputs: []transformtest.Expected{{Record: &want}}}
	}
	in := func(key string) transformtest.Input { return transformtest.Input{Key: key, Record: &record} }
	for name, p := range counters() {
		transformtest.Run(t, transformtest.Suite{
			Cases: []transformtest.Case{{
				Name: name, In: []transformtest.Input{in("a"), in("b"), in("a"), in("")}, Out: []transformtest.Output{out(1), out(1), out(2), out(1)},
			}},
			Open: func(id string, _ map[string]any) (node.Transform, error) {
				return p.Open(nil, sdk.Node{ID: id, Lanes: 4})
			},
		})
	}
}

func TestMapBatch(t *testing.T) {
	p := sdk.MapBatch("total", "1.0.0", func(*none) (sdk.BatchFunc, error) {
		return func(events []*sdk.Event) error {
			for i, e := range events {
				e.Set("place", event.Int(int64(i)))
				switch e.Text("do") {
				case "drop":
					e.Drop()
				case "refuse":
					e.Reject("told_to", "no")
				case "twice":
					e.Emit()
					e.Emit()
				case "error":
					return node.AsAway(fmt.Errorf("event %d", i))
				case "panic":
					panic(i)
				}
			}
			return nil
		}, nil
	})
	raw := input("raw")
	raw.Record, raw.Payload = nil, []byte("x")
	results := must(t, p, keyed("a", ""), keyed("a", "drop"), raw, keyed("a", "refuse"), keyed("a", "twice"))
	for i, want := range []string{"1/0", "0/0", "0/1", "0/1", "2/0"} {
		if got := fmt.Sprintf("%d/%d", len(results[i].Outputs), len(results[i].Rejects)); got != want {
			t.Errorf("event %d: %s outputs/rejects, want %s", i, got, want)
		}
	}
	if place, _ := results[4].Outputs[1].Record.Get("place"); place != event.Int(3) {
		t.Errorf("the last event was number %v of the run, want 3: raw ones are left out", place.Any())
	}
	for do, class := range map[string]node.Class{"error": node.Away, "panic": node.Unsure} {
		if _, err := process(t, p, keyed("a", ""), keyed("a", do)); err == nil || node.ClassOf(err) != class {
			t.Errorf("%s: error %v of class %v, want %v", do, err, node.ClassOf(err), class)
		}
	}
}
