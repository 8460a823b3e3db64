package transformtest

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

func TestDifferenceShowsBothSides(t *testing.T) {
	text, key := "x", "k"
	record := Fields{{Name: "a", Value: event.Int(1)}, {Name: "b", Value: event.Null}}
	want := Output{Outputs: []Expected{{Record: &record, Key: &key}, {Payload: &text}}, Rejects: []Rejected{{Record: -1, Code: "bad", Text: "found"}}}
	got := node.Result{
		Outputs: []*event.Event{
			{Key: "k", Record: &event.Record{Fields: record}}, {Payload: []byte("x"), Key: "not asked for"},
		},
		Rejects: []node.Reject{{Record: -1, Code: "bad", Text: "it was found there"}},
	}
	if lines := want.difference(got); lines != nil {
		t.Errorf("what is as expected differs:\n%s", strings.Join(lines, "\n"))
	}
	got.Outputs[0].Record = &event.Record{Fields: []event.Field{{Name: "a", Value: event.Float(1)}, {Name: "b", Value: event.Null}}}
	got.Outputs, got.Rejects = append(got.Outputs, &event.Event{Payload: []byte("y")}), nil
	all := strings.Join(want.difference(got), "\n")
	for _, line := range []string{
		`- output 0 record a: int "1"`, `+ output 0 record a: float "1"`, `  output 0 record b: null ""`,
		`+ output 2 payload: "y"`, "- reject of record -1: bad: found",
	} {
		if !strings.Contains(all, line) {
			t.Errorf("%q is not in\n%s", line, all)
		}
	}
}

// TestCompareTellsBothListsAgain: a difference without its additions is the one
// list, without its removals the other.
func TestCompareTellsBothListsAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 12)
		want, got := list.Draw(t, "want"), list.Draw(t, "got")
		var left, right []string
		for _, line := range compare(want, got) {
			if line[0] != '+' {
				left = append(left, line[2:])
			}
			if line[0] != '-' {
				right = append(right, line[2:])
			}
		}
		if slices.Equal(want, got) != (left == nil && right == nil) {
			t.Fatalf("%v and %v: %v, %v", want, got, left, right)
		}
		if !slices.Equal(want, got) && (!slices.Equal(left, want) || !slices.Equal(right, got)) {
			t.Fatalf("%v and %v come back as %v and %v", want, got, left, right)
		}
	})
	long := make([]string, 2000)
	if lines := compare(long, long[1:]); len(lines) != 3999 {
		t.Errorf("long lists: %d lines", len(lines))
	}
}
