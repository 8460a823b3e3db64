package live

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/engine/event"
)

// place is a position within one lane, without the epoch.
type place struct {
	ms, seq uint64
}

func (p place) less(q place) bool { return p.ms < q.ms || p.ms == q.ms && p.seq < q.seq }

func placeOf(p event.Position) place { return place{p.Ms, p.Seq} }

func (p place) position(epoch uint64) event.Position {
	return event.Position{Epoch: epoch, Ms: p.ms, Seq: p.seq}
}

// Errors of a cursor that a viewer sent; their texts are the reasons of `reset`.
var (
	errMalformed = errors.New("malformed cursor")
	errEpoch     = errors.New("cursor of another log")
	errStreams   = errors.New("cursor of other streams or lanes")
	errUnknown   = errors.New("cursor beyond the end of the log")
	errTooOld    = errors.New("cursor older than what the log keeps")
)

const cursorVersion = 1

// cursors writes and reads ids: "<epoch>.<cursor>", where the cursor is the
// unpadded base64url of
//
//	offset size  field
//	0      1     version, 1
//	1      4     xxhash64 of the names of streams and lanes, low 32 bits, little-endian
//	5      1-10  uvarint: the newest ms of all lanes
//	then for each lane, streams in order of name:
//	       1-10  uvarint: newest ms less this lane's ms
//	       1-10  uvarint: this lane's seq
type cursors struct {
	epoch uint64
	shape uint32
	lanes int // of all streams together
	raw   []byte
}

func newCursors(epoch uint64, streams []string, lanes int) *cursors {
	h := xxhash.New()
	for _, s := range streams {
		fmt.Fprintf(h, "%q/%d;", s, lanes)
	}
	return &cursors{epoch: epoch, shape: uint32(h.Sum64()), lanes: len(streams) * lanes}
}

// own returns cursors that another goroutine may write ids with.
func (c *cursors) own() *cursors {
	return &cursors{epoch: c.epoch, shape: c.shape, lanes: c.lanes}
}

// id returns the id of places, one per lane. It is not for concurrent use.
func (c *cursors) id(places []place) string {
	raw := append(c.raw[:0], cursorVersion)
	raw = binary.LittleEndian.AppendUint32(raw, c.shape)
	var newest uint64
	for _, p := range places {
		newest = max(newest, p.ms)
	}
	raw = binary.AppendUvarint(raw, newest)
	for _, p := range places {
		raw = binary.AppendUvarint(raw, newest-p.ms)
		raw = binary.AppendUvarint(raw, p.seq)
	}
	c.raw = raw
	out := strconv.AppendUint(make([]byte, 0, 24+2*len(raw)), c.epoch, 10)
	return string(base64.RawURLEncoding.AppendEncode(append(out, '.'), raw))
}

// parse reads what id writes. The error is one of the reasons above.
func (c *cursors) parse(id string) ([]place, error) {
	epoch, cursor, ok := strings.Cut(id, ".")
	if !ok {
		return nil, errMalformed
	}
	n, err := strconv.ParseUint(epoch, 10, 64)
	if err != nil {
		return nil, errMalformed
	}
	if n != c.epoch {
		return nil, errEpoch
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < 5 || raw[0] != cursorVersion {
		return nil, errMalformed
	}
	if binary.LittleEndian.Uint32(raw[1:]) != c.shape {
		return nil, errStreams
	}
	return c.places(raw[5:])
}

func (c *cursors) places(raw []byte) ([]place, error) {
	bad := false
	next := func() uint64 {
		u, n := binary.Uvarint(raw)
		if n <= 0 {
			bad = true
			return 0
		}
		raw = raw[n:]
		return u
	}
	newest := next()
	out := make([]place, c.lanes)
	for i := range out {
		back := next()
		bad = bad || back > newest
		out[i] = place{ms: newest - back, seq: next()}
	}
	if bad || len(raw) != 0 {
		return nil, errMalformed
	}
	return out, nil
}
