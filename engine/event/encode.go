package event

import (
	"encoding/binary"
	"sync"
	"unsafe"
)

// Flags of an encoded event.
const (
	flagRedelivered = 1 << iota
	flagPayload
	flagRecord
	flagRootPosition
	flagMessageID // the broker's id differs from the root id and follows
	flagHeaders
	knownFlags = 1<<iota - 1
)

// tableRef marks a value's kind byte: the text is in the string table.
const tableRef = 0x80

// maxInterned is the longest text value that is looked up in the string table;
// longer ones seldom repeat within a frame.
const maxInterned = 20

// encoder holds the buffers of one encoding; it is reused through a pool.
type encoder struct {
	index   map[string]uint64
	table   []byte // length-prefixed strings in order of first use
	events  []byte
	out     []byte
	fields  uint64
	headers uint64
	seen    *[seenSlots]seenString

	lastIngested int64
	lastRootMs   uint64
}

// seenString remembers where a string of this frame lies and its index in the
// table. Strings of a frame mostly share memory with each other, as the decoder
// and the sources make them, so that most look-ups need no hash of the text.
type seenString struct {
	at    uintptr
	size  int
	index uint64
}

const seenSlots = 128

var encoders = sync.Pool{New: func() any {
	return &encoder{index: map[string]uint64{}, seen: &[seenSlots]seenString{}}
}}

// body encodes f without the header. The result is valid until the next call.
func (e *encoder) body(f *Frame) []byte {
	clear(e.index)
	clear(e.seen[:]) // places mean nothing once the frame's strings may be gone
	*e = encoder{index: e.index, seen: e.seen, table: e.table[:0], events: e.events[:0], out: e.out[:0]}
	for _, ev := range f.Events {
		e.event(ev)
	}
	out := binary.AppendVarint(e.out, f.Watermark)
	out = binary.AppendUvarint(out, uint64(len(f.Events)))
	out = binary.AppendUvarint(out, e.fields)
	out = binary.AppendUvarint(out, e.headers)
	out = binary.AppendUvarint(out, uint64(len(e.index)))
	out = append(out, e.table...)
	e.out = append(out, e.events...)
	return e.out
}

func (e *encoder) event(ev *Event) {
	e.events = append(e.events, flagsOf(ev))
	e.events = append(e.events, ev.ID[:]...)
	e.text(ev.RootID)
	e.ref(ev.Key)
	e.varint(ev.Time)
	e.varint(ev.Ingested - e.lastIngested)
	e.lastIngested = ev.Ingested
	e.source(&ev.Source, ev.RootID)
	e.ref(ev.Plugin)
	if !ev.Root.IsZero() {
		e.uvarint(ev.Root.Epoch)
		e.varint(int64(ev.Root.Ms - e.lastRootMs))
		e.uvarint(ev.Root.Seq)
		e.lastRootMs = ev.Root.Ms
	}
	e.headerList(ev.Headers)
	e.content(ev)
}

func flagsOf(ev *Event) byte {
	var flags byte
	set := func(on bool, flag byte) {
		if on {
			flags |= flag
		}
	}
	set(ev.Source.Redelivered, flagRedelivered)
	set(ev.Payload != nil, flagPayload)
	set(ev.Record != nil, flagRecord)
	set(!ev.Root.IsZero(), flagRootPosition)
	set(ev.Source.MessageID != ev.RootID, flagMessageID)
	set(len(ev.Headers) > 0, flagHeaders)
	return flags
}

func (e *encoder) source(s *Source, rootID string) {
	e.ref(s.Node)
	e.ref(s.Exchange)
	e.ref(s.RoutingKey)
	e.ref(s.Queue)
	if s.MessageID != rootID {
		e.text(s.MessageID)
	}
}

func (e *encoder) headerList(headers []Header) {
	if len(headers) == 0 {
		return
	}
	e.headers += uint64(len(headers))
	e.uvarint(uint64(len(headers)))
	for i := range headers {
		e.ref(headers[i].Name)
		e.value(&headers[i].Value)
	}
}

func (e *encoder) content(ev *Event) {
	e.ref(ev.ContentType)
	if ev.Payload != nil {
		e.uvarint(uint64(len(ev.Payload)))
		e.events = append(e.events, ev.Payload...)
	}
	if ev.Record != nil {
		e.fields += uint64(len(ev.Record.Fields))
		e.uvarint(uint64(len(ev.Record.Fields)))
		for i := range ev.Record.Fields {
			e.ref(ev.Record.Fields[i].Name)
			e.value(&ev.Record.Fields[i].Value)
		}
	}
}

func (e *encoder) value(v *Value) {
	switch v.kind {
	case KindNull:
		e.events = append(e.events, byte(KindNull))
	case KindBool:
		e.events = append(e.events, byte(KindBool), byte(v.num))
	case KindInt, KindTime:
		e.events = append(e.events, byte(v.kind))
		e.varint(int64(v.num))
	case KindFloat:
		e.events = append(e.events, byte(KindFloat))
		e.events = binary.LittleEndian.AppendUint64(e.events, v.num)
	default:
		if len(v.str) <= maxInterned {
			e.events = append(e.events, byte(v.kind)|tableRef)
			e.ref(v.str)
			return
		}
		e.events = append(e.events, byte(v.kind))
		e.text(v.str)
	}
}

// ref appends the index of s in the string table and puts s there if it is new.
func (e *encoder) ref(s string) {
	at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	slot := &e.seen[(at>>3^at>>10^uintptr(len(s)))%seenSlots]
	if slot.at != at || slot.size != len(s) || at == 0 {
		*slot = seenString{at, len(s), e.lookUp(s)}
	}
	e.uvarint(slot.index)
}

func (e *encoder) lookUp(s string) uint64 {
	i, ok := e.index[s]
	if !ok {
		i = uint64(len(e.index))
		e.index[s] = i
		e.table = binary.AppendUvarint(e.table, uint64(len(s)))
		e.table = append(e.table, s...)
	}
	return i
}

func (e *encoder) text(s string) {
	e.uvarint(uint64(len(s)))
	e.events = append(e.events, s...)
}

func (e *encoder) uvarint(u uint64) { e.events = binary.AppendUvarint(e.events, u) }
func (e *encoder) varint(i int64)   { e.events = binary.AppendVarint(e.events, i) }
