package sdk

import (
	"fmt"
	"log/slog"
	"reflect"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// restless does something else with each event: it drops, rejects, splits and grows.
func restless(e *Event) error {
	switch n := e.Get("n").AsInt(); n % 5 {
	case 0:
		e.Drop()
	case 1:
		return Reject("odd", "number %d", n)
	case 2:
		e.Emit()
		e.Set("more", event.Int(n))
		e.Set("still more", event.Int(n))
		e.Set("too much", event.Int(n))
		e.Emit()
	case 3:
		e.Delete("n")
	}
	return nil
}

func numbered(from, to int) []*event.Event {
	var events []*event.Event
	for n := from; n < to; n++ {
		events = append(events, &event.Event{
			RootID: fmt.Sprint("m-", n), Record: &event.Record{Fields: []event.Field{{Name: "n", Value: event.Int(int64(n))}}},
		})
	}
	return events
}

func TestARoomUsedAgainGivesTheSameResults(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, m := range map[string]interface {
		lodger
		node.Transform
	}{
		"map": &mapper{node: "n", f: restless, log: log},
		"batch": &batchMapper{node: "n", log: log, f: func(events []*Event) error {
			for _, e := range events {
				if err := restless(e); err != nil {
					e.Reject("odd", "%v", err)
				}
			}
			return nil
		}},
	} {
		var r room
		for _, size := range []int{30, 7, 0, 64, 1, keptEvents + 1, 12} {
			in := &node.Batch{Events: numbered(size, 2*size)}
			got, err1 := m.processIn(t.Context(), in, &r)
			want, err2 := m.Process(t.Context(), in)
			if err1 != nil || err2 != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %d events: got %v, %v; want %v, %v", name, size, got, err1, want, err2)
			}
		}
	}
}

func TestASmallBatchTakesNoNewRoom(t *testing.T) {
	m := &mapper{node: "n", f: func(*Event) error { return nil }}
	in := &node.Batch{Events: numbered(0, 100)}
	var r room
	again := func() {
		if _, err := m.processIn(t.Context(), in, &r); err != nil {
			t.Error(err)
		}
	}
	again()
	if allocs := testing.AllocsPerRun(10, again); allocs > 0 {
		t.Errorf("%v allocations for a batch in a room that it fits in", allocs)
	}
}
