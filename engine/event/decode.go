package event

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// Smallest encodings, which bound what a frame of a given size can announce.
const (
	minEventSize  = 1 + len(ID{}) + 10
	minFieldSize  = 2
	minStringSize = 1
)

// maxKept is the largest body whose memory a [Decoder] keeps for the next one, in bytes.
const maxKept = 256 << 10

// Decoder decodes frames one after another into memory that it uses again. The zero
// Decoder is ready. It must not be used concurrently.
type Decoder struct {
	size    int // of the body that was last decoded, in bytes
	frame   Frame
	events  []Event
	records []Record
	fields  []Field
	headers []Header
	table   []string
}

// Decode reads a frame as [DecodeFrame] does. The frame, its events and their lists are
// valid until the next call; texts and payloads refer to b alone and stay.
func (m *Decoder) Decode(b []byte) (*Frame, error) {
	body, err := bodyOf(b)
	if err != nil {
		return nil, err
	}
	if m.size > maxKept {
		*m = Decoder{}
	}
	m.size = len(body)
	return m.body(body)
}

func (m *Decoder) body(body []byte) (*Frame, error) {
	d := &decoder{b: body}
	m.frame.Watermark = d.varint()
	n := d.count(minEventSize)
	m.fields = renew(m.fields, d.count(minFieldSize))
	m.headers = renew(m.headers, d.count(minFieldSize))
	m.table = renew(m.table, d.count(minStringSize))
	d.fields, d.headers, d.table = m.fields, m.headers, m.table
	for i := range d.table {
		d.table[i] = d.text()
	}
	if d.bad {
		return nil, fmt.Errorf("frame preamble: %w", ErrFormat)
	}
	m.events, m.records, m.frame.Events = renew(m.events, n), renew(m.records, n), renew(m.frame.Events, n)
	for i := range m.events {
		d.event(&m.events[i], &m.records[i])
		if d.bad {
			return nil, fmt.Errorf("frame event %d at byte %d: %w", i, d.pos, ErrFormat)
		}
		m.frame.Events[i] = &m.events[i]
	}
	if d.pos != len(d.b) || len(d.fields) != 0 || len(d.headers) != 0 {
		return nil, fmt.Errorf("frame has bytes or counts left over: %w", ErrFormat)
	}
	return &m.frame, nil
}

// renew returns n zero elements, in the memory of list where they fit. What list has
// beyond its length is zero: so nothing of an earlier frame is kept alive.
func renew[T any](list []T, n int) []T {
	if list == nil || cap(list) < n {
		return make([]T, n)
	}
	clear(list)
	return list[:n]
}

// decoder walks a body. The first malformed byte sets bad, after which every
// read gives zeros; callers look at bad where a loop could run long.
type decoder struct {
	b   []byte
	pos int
	bad bool

	table   []string
	fields  []Field  // arena that records are cut from
	headers []Header // arena that header lists are cut from

	lastIngested int64
	lastRootMs   uint64
}

func (d *decoder) event(ev *Event, rec *Record) {
	flags := d.byte()
	if flags&^knownFlags != 0 {
		d.bad = true
	}
	copy(ev.ID[:], d.bytes(uint64(len(ev.ID))))
	ev.RootID = d.text()
	ev.Key = d.ref()
	ev.Time = d.varint()
	d.lastIngested += d.varint()
	ev.Ingested = d.lastIngested
	d.source(ev, flags)
	ev.Plugin = d.ref()
	if flags&flagRootPosition != 0 {
		d.rootPosition(ev)
	}
	if flags&flagHeaders != 0 {
		ev.Headers = cut(d, &d.headers)
		for i := range ev.Headers {
			ev.Headers[i] = Header{Name: d.ref(), Value: d.value()}
		}
	}
	d.content(ev, rec, flags)
}

func (d *decoder) source(ev *Event, flags byte) {
	ev.Source = Source{
		Node: d.ref(), Exchange: d.ref(), RoutingKey: d.ref(), Queue: d.ref(),
		MessageID: ev.RootID, Redelivered: flags&flagRedelivered != 0,
	}
	if flags&flagMessageID != 0 {
		ev.Source.MessageID = d.text()
		d.bad = d.bad || ev.Source.MessageID == ev.RootID
	}
}

func (d *decoder) rootPosition(ev *Event) {
	ev.Root.Epoch = d.uvarint()
	d.lastRootMs += uint64(d.varint())
	ev.Root.Ms = d.lastRootMs
	ev.Root.Seq = d.uvarint()
	d.bad = d.bad || ev.Root.IsZero()
}

func (d *decoder) content(ev *Event, rec *Record, flags byte) {
	ev.ContentType = d.ref()
	if flags&flagPayload != 0 {
		payload := d.bytes(d.uvarint())
		ev.Payload = payload[:len(payload):len(payload)]
	}
	if flags&flagRecord == 0 {
		return
	}
	rec.Fields = cut(d, &d.fields)
	for i := range rec.Fields {
		rec.Fields[i] = Field{Name: d.ref(), Value: d.value()}
	}
	ev.Record = rec
}

// cut takes the announced number of elements from the front of arena.
func cut[T any](d *decoder, arena *[]T) []T {
	n := d.uvarint()
	if n > uint64(len(*arena)) {
		d.bad = true
		return nil
	}
	list := (*arena)[:n:n]
	*arena = (*arena)[n:]
	return list
}

func (d *decoder) value() Value {
	tag := d.byte()
	v := Value{kind: Kind(tag &^ tableRef)}
	switch {
	case v.kind > KindJSON, tag&tableRef != 0 && v.kind < KindDecimal, tag&tableRef != 0 && v.kind == KindTime:
		d.bad = true
	case tag&tableRef != 0:
		v.str = d.ref()
	case v.kind == KindBool:
		v.num = uint64(d.byte())
		d.bad = d.bad || v.num > 1
	case v.kind == KindInt || v.kind == KindTime:
		v.num = uint64(d.varint())
	case v.kind == KindFloat:
		if b := d.bytes(8); len(b) == 8 {
			v.num = binary.LittleEndian.Uint64(b)
		}
	case v.kind != KindNull:
		v.str = d.text()
	}
	return v
}

// count reads a number of elements of at least size bytes each, so that what is
// allocated for them is bounded by the bytes that are there.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64((len(d.b)-d.pos)/size) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) ref() string {
	i := d.uvarint()
	if i >= uint64(len(d.table)) {
		d.bad = true
		return ""
	}
	return d.table[i]
}

// text returns a string that shares the body's memory, which never changes.
func (d *decoder) text() string {
	b := d.bytes(d.uvarint())
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (d *decoder) bytes(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)-d.pos) {
		d.bad = true
		return nil
	}
	b := d.b[d.pos : d.pos+int(n)]
	d.pos += int(n)
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	if d.pos < len(d.b) && d.b[d.pos] < 0x80 && !d.bad {
		d.pos++
		return uint64(d.b[d.pos-1])
	}
	return d.longUvarint()
}

func (d *decoder) longUvarint() uint64 {
	u, n := binary.Uvarint(d.b[d.pos:])
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.pos += n
	return u
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}
