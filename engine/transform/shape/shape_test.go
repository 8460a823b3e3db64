package shape_test

import (
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/transform/shape"
)

func fields(n, from int) []event.Field {
	out := make([]event.Field, n)
	for i := range out {
		out[i] = event.Field{Name: "f", Value: event.Int(int64(from + i))}
	}
	return out
}

func TestRecordsOfASlabDoNotTouchEachOther(t *testing.T) {
	var s shape.Slab
	scratch := fields(3, 0)
	var records []*event.Record
	for i := range 2000 {
		copy(scratch, fields(3, 10*i))
		records = append(records, s.Record(scratch[:i%4]))
	}
	grown := append(records[1].Fields, event.Field{Name: "intruder"})
	if len(grown) != 2 {
		t.Fatalf("record 1 grew to %d fields", len(grown))
	}
	for i, r := range records {
		if len(r.Fields) != i%4 {
			t.Fatalf("record %d has %d fields; want %d", i, len(r.Fields), i%4)
		}
		for k, f := range r.Fields {
			if f != fields(3, 10*i)[k] {
				t.Fatalf("record %d field %d is %v", i, k, f)
			}
		}
	}
}

func TestASlabAllocatesPerBlockNotPerRecord(t *testing.T) {
	six := fields(6, 0)
	got := testing.AllocsPerRun(10, func() {
		var s shape.Slab
		for range 1000 {
			s.Record(six)
		}
	})
	if got > 50 {
		t.Errorf("%v allocations for 1000 records; want blocks", got)
	}
	lone := testing.AllocsPerRun(10, func() {
		var s shape.Slab
		s.Record(six)
	})
	if lone > 2 {
		t.Errorf("%v allocations for a lone record; want 2", lone)
	}
}

func TestApplySetsBeforeItReadsTheTime(t *testing.T) {
	s, err := shape.New(shape.Config{Set: map[string]string{"at": `day + "T00:00:00Z"`}, Time: "at"})
	if err != nil {
		t.Fatal(err)
	}
	run := s.Run("n")
	run.Start(&event.Event{})
	run.Record(0, 0, []event.Field{{Name: "day", Value: event.String("1970-01-02")}})
	out := run.Finish(0).Outputs
	if len(out) != 1 || out[0].Time != 86_400_000 || out[0].Record.Fields[1].Value != event.Time(86_400_000) {
		t.Errorf("got %v; want the time set from day", out)
	}
}
