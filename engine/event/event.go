// Package event holds the one type of event and the one type of frame that move
// through Millrace, and their binary codec. It stands at the bottom of every
// import arrow: it imports nothing else of this project, opens no connection
// and starts no goroutine.
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ID names one event for ever: bytes 0..5 are the event time in milliseconds
// since the Unix epoch (big-endian, 0 if the event has none), bytes 6..15 the
// first ten bytes of a SHA-256 over the event's lineage. Time-prefixed ids keep
// a primary key's inserts at the right edge of its index.
type ID [16]byte

// String returns the id as 32 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Time returns the event time in the id's prefix; the zero time if it has none.
func (id ID) Time() time.Time {
	ms := id.millis()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (id ID) millis() int64 {
	var b [8]byte
	copy(b[2:], id[:6])
	return int64(binary.BigEndian.Uint64(b[:]))
}

// ParseID reads the 32 hex digits that [ID.String] writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return id, fmt.Errorf("event id %q: want %d hex digits, have %d", s, 2*len(id), len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("event id %q: %w", s, err)
	}
	return id, nil
}

// maxIDMillis is the largest event time that six bytes hold (the year 10889).
const maxIDMillis = 1<<48 - 1

func newID(ms int64, lineage [sha256.Size]byte) ID {
	if ms < 0 || ms > maxIDMillis {
		ms = 0
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms))
	var id ID
	copy(id[:6], b[2:])
	copy(id[6:], lineage[:])
	return id
}

// Identity tells two source messages apart: the first 16 bytes of
// SHA-256(pipeline, source node, message identity). The same message published
// twice has one identity; equal message ids of two sources have two.
type Identity [16]byte

// NewIdentity computes the identity of the message that the author's identity
// expression names messageID, as read by source node of pipeline.
func NewIdentity(pipeline, node, messageID string) Identity {
	sum := lineageHash(nil, pipeline, node, messageID)
	return Identity(sum[:16])
}

// RootID computes the id of a source event from its identity. eventMillis is
// the broker's own timestamp in milliseconds since the epoch, 0 if none.
func RootID(identity Identity, eventMillis int64) ID {
	var sum [sha256.Size]byte
	copy(sum[:], identity[:])
	return newID(eventMillis, sum)
}

// DerivedID computes the id of an output event: its own event time, then
// SHA-256(root id, node id, lineage hash of the parent, ordinal). The parent's
// time prefix does not enter, so that an id depends on what an event is made
// from and by which nodes, and on nothing else; a plugin's version is no part
// of it. ordinal counts the records found in the parent, rejected and filtered
// ones included.
func DerivedID(parent *Event, node string, ordinal int, eventMillis int64) ID {
	var num [8]byte
	binary.BigEndian.PutUint64(num[:], uint64(ordinal))
	tail := make([]byte, 0, 18)
	tail = append(tail, parent.ID[6:]...)
	tail = append(tail, num[:]...)
	return newID(eventMillis, lineageHash(tail, parent.RootID, node))
}

// lineageHash hashes length-prefixed parts, so that no two lists of parts give
// the same bytes, and then tail as it is.
func lineageHash(tail []byte, parts ...string) [sha256.Size]byte {
	var stack [256]byte
	buf := stack[:0]
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	return sha256.Sum256(append(buf, tail...))
}

// Event is one immutable fact. Whoever receives a *Event must not change it;
// [Event.Derive] makes the next one. Exactly one of Payload (before a decode
// node) and Record (after it) carries the content.
type Event struct {
	ID     ID
	RootID string // the source message's identity as text; "" never occurs
	Key    string // partitioning key: events of one key keep their order
	Time   int64  // event time, ms since the Unix epoch UTC; 0 if unknown

	Headers     []Header
	Payload     []byte
	ContentType string // media type of Payload; "" if the source named none
	Record      *Record

	Source   Source
	Plugin   string   // maker: "name@version#hash8" of the last plugin that made it, "" if none did
	Ingested int64    // when the source handed it over, ms since the Unix epoch UTC
	Root     Position // journal entry that the event descends from; zero before the journal
}

// Header is one typed message header. Names may repeat and keep their order.
type Header struct {
	Name  string
	Value Value
}

// Size estimates the bytes that h holds in memory.
func (h Header) Size() int { return len(h.Name) + h.Value.size() }

// Source says where the root message came from.
type Source struct {
	Node        string // id of the source node
	Exchange    string
	RoutingKey  string
	Queue       string
	MessageID   string // the broker's message id, which may differ from the identity
	Redelivered bool
}

// Derive returns a new event made by node from e: same root, key, headers and
// source, no content yet, id from [DerivedID]. eventMillis 0 inherits e's time.
func (e *Event) Derive(node string, ordinal int, eventMillis int64) *Event {
	if eventMillis == 0 {
		eventMillis = e.Time
	}
	out := *e
	out.ID = DerivedID(e, node, ordinal, eventMillis)
	out.Time = eventMillis
	out.Payload, out.ContentType, out.Record = nil, "", nil
	return &out
}

// Size estimates the bytes that e holds in memory, for limits in bytes.
func (e *Event) Size() int {
	n := 160 + len(e.RootID) + len(e.Key) + len(e.Payload)
	for _, h := range e.Headers {
		n += h.Size()
	}
	if e.Record != nil {
		for _, f := range e.Record.Fields {
			n += len(f.Name) + f.Value.size()
		}
	}
	return n
}

// Position is a reader's place in a lane: the id of a Redis stream entry under
// the epoch of the log it belongs to. The zero Position is before every entry.
type Position struct {
	Epoch uint64
	Ms    uint64
	Seq   uint64
}

// Compare returns -1, 0 or +1, comparing (epoch, ms, seq) in that order.
func (p Position) Compare(q Position) int {
	for _, d := range [3][2]uint64{{p.Epoch, q.Epoch}, {p.Ms, q.Ms}, {p.Seq, q.Seq}} {
		if d[0] < d[1] {
			return -1
		}
		if d[0] > d[1] {
			return 1
		}
	}
	return 0
}

// IsZero reports whether p is before every entry of every epoch.
func (p Position) IsZero() bool { return p == Position{} }

// EntryID returns the Redis stream id, "ms-seq".
func (p Position) EntryID() string { return fmt.Sprintf("%d-%d", p.Ms, p.Seq) }

// String returns "epoch.ms-seq".
func (p Position) String() string { return fmt.Sprintf("%d.%d-%d", p.Epoch, p.Ms, p.Seq) }

// ParsePosition reads what [Position.String] writes.
func ParsePosition(s string) (Position, error) {
	var p Position
	var rest string
	n, err := fmt.Sscanf(s, "%d.%d-%d%s", &p.Epoch, &p.Ms, &p.Seq, &rest)
	if n != 3 || p.String() != s {
		return Position{}, fmt.Errorf("position %q: want epoch.ms-seq: %w", s, errors.Join(err, ErrFormat))
	}
	return p, nil
}
