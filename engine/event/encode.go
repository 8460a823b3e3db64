package event

import (
	"encoding/binary"
	"slices"
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
	out     []byte // body that is to be packed
	fields  uint64
	headers uint64
	seen    *[seenSlots]seenString

	preamble []byte
	empty    uint64 // 1 + index of "", which has no place to be told by; 0: not in the table

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

// gather encodes the events of f, and what the preamble says of them.
func (e *encoder) gather(f *Frame) {
	clear(e.index)
	clear(e.seen[:]) // places mean nothing once the frame's strings may be gone
	*e = encoder{index: e.index, seen: e.seen, table: e.table[:0], events: e.events[:0], out: e.out, preamble: e.preamble[:0]}
	for _, ev := range f.Events {
		e.event(ev)
	}
	e.preamble = binary.AppendVarint(e.preamble, f.Watermark)
	e.preamble = binary.AppendUvarint(e.preamble, uint64(len(f.Events)))
	e.preamble = binary.AppendUvarint(e.preamble, e.fields)
	e.preamble = binary.AppendUvarint(e.preamble, e.headers)
	e.preamble = binary.AppendUvarint(e.preamble, uint64(len(e.index)))
}

// size returns the bytes of the body that gather has made.
func (e *encoder) size() int { return len(e.preamble) + len(e.table) + len(e.events) }

func (e *encoder) appendBody(dst []byte) []byte {
	dst = slices.Grow(dst, e.size())
	return append(append(append(dst, e.preamble...), e.table...), e.events...)
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
	if s == "" {
		e.emptyRef()
		return
	}
	at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	slot := &e.seen[(at>>3^at>>10^uintptr(len(s)))%seenSlots]
	if slot.at != at || slot.size != len(s) {
		*slot = seenString{at, len(s), e.lookUp(s)}
	}
	e.uvarint(slot.index)
}

func (e *encoder) emptyRef() {
	if e.empty == 0 {
		e.empty = 1 + e.lookUp("")
	}
	e.uvarint(e.empty - 1)
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

func (e *encoder) uvarint(u uint64) {
	if u < 0x80 {
		e.events = append(e.events, byte(u))
		return
	}
	e.events = binary.AppendUvarint(e.events, u)
}

func (e *encoder) varint(i int64) { e.uvarint(uint64(i)<<1 ^ uint64(i>>63)) }
