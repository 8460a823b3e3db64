package shape

import "github.com/millrace/millrace/engine/event"

// Blocks grow from what the first record needs up to these sizes, so that a lone
// event costs little and a full unit few allocations. A record that outlives
// its unit keeps its blocks alive, which is why they stay small.
const (
	maxFieldBlock  = 512
	maxRecordBlock = 64
)

// Slab hands out records and output lists cut from shared blocks of memory. The
// zero value is ready. It belongs to one call of Process.
type Slab struct {
	fields  []event.Field
	records []event.Record
	outputs []*event.Event

	fieldBlock, recordBlock int
}

// Record returns a record with a copy of fields.
func (s *Slab) Record(fields []event.Field) *event.Record {
	if len(s.records) == cap(s.records) {
		s.recordBlock = min(max(2*s.recordBlock, 1), maxRecordBlock)
		s.records = make([]event.Record, 0, s.recordBlock)
	}
	s.records = append(s.records, event.Record{Fields: s.copy(fields)})
	return &s.records[len(s.records)-1]
}

func (s *Slab) copy(fields []event.Field) []event.Field {
	n := len(fields)
	if cap(s.fields)-len(s.fields) < n {
		s.fieldBlock = max(n, min(2*s.fieldBlock, maxFieldBlock))
		s.fields = make([]event.Field, 0, s.fieldBlock)
	}
	from := len(s.fields)
	s.fields = append(s.fields, fields...)
	return s.fields[from:len(s.fields):len(s.fields)]
}

// Outputs returns a list with a copy of events, nil if there are none. expect is
// how many more lists of that length are likely to follow.
func (s *Slab) Outputs(events []*event.Event, expect int) []*event.Event {
	n := len(events)
	if n == 0 {
		return nil
	}
	if cap(s.outputs)-len(s.outputs) < n {
		s.outputs = make([]*event.Event, 0, max(n, min(n*(expect+1), maxFieldBlock)))
	}
	from := len(s.outputs)
	s.outputs = append(s.outputs, events...)
	return s.outputs[from:len(s.outputs):len(s.outputs)]
}
