package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"gorm.io/gorm"
)

// placeholderLimit is what both databases take in one statement at least.
const placeholderLimit = 32_000

// softBytes ends a statement before it outgrows the 256 KiB that the driver keeps
// as its buffer: longer ones gain nothing and are allocated each time.
const softBytes = 224 << 10

// batch turns the events of one unit into INSERT statements. Its buffers are used
// again for the next unit; it belongs to one Write at a time.
type batch struct {
	enc     encoder
	hints   []int
	schema  *schema
	events  []*event.Event
	rows    []int // indexes of the events in the statement being built
	rejects []node.EventReject
}

// insert stores u's events through tx. It always goes through the whole unit, so
// that every bad row is found: a unit with rejects is rolled back by the caller.
func (s *Sink) insert(ctx context.Context, tx *gorm.DB, b *batch, u *node.Unit) error {
	b.begin(s, u)
	for i := range u.Events {
		if b.full(s) {
			if err := s.flush(ctx, tx, b); err != nil {
				return err
			}
		}
		if b.add(s, i) {
			continue
		}
		if err := s.flush(ctx, tx, b); err != nil {
			return err
		}
		b.add(s, i)
	}
	if err := s.flush(ctx, tx, b); err != nil || len(b.rejects) == 0 {
		return err
	}
	slices.SortFunc(b.rejects, func(x, y node.EventReject) int { return x.Index - y.Index })
	return &node.RejectedError{Rejects: slices.Clone(b.rejects)}
}

func (b *batch) begin(s *Sink, u *node.Unit) {
	b.schema, b.events, b.rejects = s.schema.Load(), u.Events, b.rejects[:0]
	b.enc.d = s.dialect
	b.hints = slices.Grow(b.hints[:0], len(b.schema.columns))[:len(b.schema.columns)]
	b.restart()
}

func (b *batch) restart() {
	b.rows = b.rows[:0]
	b.enc.args = b.enc.args[:0]
	b.enc.buf = append(b.enc.buf[:0], b.schema.insert...)
}

func (b *batch) full(s *Sink) bool {
	return len(b.rows) >= s.cfg.Options.rowsPerInsert() || len(b.enc.buf) >= softBytes ||
		len(b.enc.args)+len(b.schema.columns) > placeholderLimit
}

// add appends event i as one row, or notes why it cannot be one. It returns false,
// having done neither, if the statement must be sent before there is room.
func (b *batch) add(s *Sink, i int) bool {
	mark, args := len(b.enc.buf), len(b.enc.args)
	if len(b.rows) > 0 {
		b.enc.buf = append(b.enc.buf, ',')
	}
	problem, column := b.row(b.events[i])
	size := len(b.enc.buf) + len(b.schema.tail)
	if problem == nil && size <= s.statement {
		b.rows = append(b.rows, i)
		return true
	}
	b.enc.buf, b.enc.args = b.enc.buf[:mark], b.enc.args[:args]
	if problem == nil && len(b.rows) > 0 {
		return false
	}
	if problem == nil {
		problem, column = bad("too_long", "the row's statement has %d bytes, the database takes %d", size, s.statement), "*"
	}
	b.rejects = append(b.rejects, problem.reject(i, column))
	return true
}

func (b *batch) row(e *event.Event) (*badValue, string) {
	b.enc.buf = appendHex(append(b.enc.buf, '('), unsafe.String(&e.ID[0], len(e.ID)))
	for i := range b.schema.columns {
		c := &b.schema.columns[i]
		b.enc.buf = append(b.enc.buf, ',')
		v, err := c.get(e, &b.hints[i])
		if err != nil {
			return bad("expression", "%v", err), c.name
		}
		if v.IsNull() && !c.nullable {
			return bad("null", "the value is missing, the column is NOT NULL"), c.name
		}
		if problem := b.enc.value(&c.typ, v); problem != nil {
			return problem, c.name
		}
	}
	b.enc.buf = append(b.enc.buf, ')')
	return nil, ""
}

// flush sends the statement that was built. If the server refuses data in it, the
// rows at fault are found and noted.
func (s *Sink) flush(ctx context.Context, tx *gorm.DB, b *batch) error {
	if len(b.rows) == 0 {
		return nil
	}
	err := s.send(ctx, tx, b)
	if err != nil && s.dialect.fault(err) == faultData {
		err = s.bisect(ctx, tx, b, slices.Clone(b.rows), err)
	}
	b.restart()
	return err
}

// send runs the statement through GORM's connection of this transaction. Not
// through Exec: it looks for @names and question marks in the text, which here is
// data, and copies it once more byte by byte.
func (s *Sink) send(ctx context.Context, tx *gorm.DB, b *batch) error {
	b.enc.buf = append(b.enc.buf, b.schema.tail...)
	text := unsafe.String(unsafe.SliceData(b.enc.buf), len(b.enc.buf)) // not kept by the driver
	_, err := tx.Statement.ConnPool.ExecContext(ctx, text, b.enc.args...)
	return err
}

// bisect finds every row of rows that the server refuses with cause; a refused
// statement leaves nothing behind, so the good rows go in beside the search and
// collide with each other as they would have. The caller rolls all of it back.
func (s *Sink) bisect(ctx context.Context, tx *gorm.DB, b *batch, rows []int, cause error) error {
	if len(rows) == 1 {
		s.suspect.Store(true)
		b.rejects = append(b.rejects, node.EventReject{Index: rows[0], Reject: node.Reject{
			Record: -1, Code: "refused", Text: fmt.Sprintf("the database refuses the row: %v", cause),
		}})
		return nil
	}
	for _, half := range [2][]int{rows[:len(rows)/2], rows[len(rows)/2:]} {
		b.restart()
		for _, i := range half {
			b.add(s, i)
		}
		err := s.send(ctx, tx, b)
		if err != nil && s.dialect.fault(err) == faultData {
			err = s.bisect(ctx, tx, b, half, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errRepeat ends the transaction of a unit that was stored before.
var errRepeat = errors.New("unit is stored already")
