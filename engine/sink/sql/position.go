package sqlsink

import (
	"context"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"gorm.io/gorm"
)

const (
	lockPosition = `UPDATE millrace_positions SET owner = ?
		WHERE pipeline = ? AND generation = ? AND sink = ? AND stream = ? AND lane = ?`
	createPosition = `INSERT INTO millrace_positions (pipeline, generation, sink, stream, lane, epoch, ms, seq, owner)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	movePosition = `UPDATE millrace_positions SET epoch = ?, ms = ?, seq = ?
		WHERE pipeline = ? AND generation = ? AND sink = ? AND stream = ? AND lane = ?
		AND epoch = ? AND ms = ? AND seq = ? AND owner = ?`
	putPosition = `UPDATE millrace_positions SET epoch = ?, ms = ?, seq = ?
		WHERE pipeline = ? AND generation = ? AND sink = ? AND stream = ? AND lane = ?`
	dropPosition = `DELETE FROM millrace_positions
		WHERE pipeline = ? AND generation = ? AND sink = ? AND stream = ? AND lane = ?`
	readPosition = `SELECT epoch, ms, seq, owner FROM millrace_positions
		WHERE pipeline = ? AND generation = ? AND sink = ? AND stream = ? AND lane = ?`
)

// laneKey names one lane of one input stream.
type laneKey struct {
	stream string
	lane   int
}

func (k laneKey) String() string { return k.stream + "/" + strconv.Itoa(k.lane) }

// positionRow is a row of millrace_positions, as far as it is read.
type positionRow struct {
	Epoch, Ms, Seq unsigned
	Owner          string
}

func (r positionRow) position() event.Position {
	return event.Position{Epoch: uint64(r.Epoch), Ms: uint64(r.Ms), Seq: uint64(r.Seq)}
}

// unsigned reads a column that holds 64 bits without a sign, also from a database
// that has only signed integers.
type unsigned uint64

// Scan implements [database/sql.Scanner].
func (u *unsigned) Scan(from any) error {
	switch v := from.(type) {
	case int64:
		*u = unsigned(v)
	case uint64:
		*u = unsigned(v)
	case []byte:
		n, err := strconv.ParseUint(string(v), 10, 64)
		*u = unsigned(n)
		return err
	default:
		return fmt.Errorf("position column holds %T", from)
	}
	return nil
}

func (s *Sink) keyArgs(k laneKey) []any {
	return []any{s.cfg.Pipeline, s.cfg.Generation, s.cfg.Node, k.stream, k.lane}
}

// Position implements [node.Positioned]. It also makes this sink the lane's owner:
// once it has returned, a unit that another engine's sink still holds can no
// longer be committed, so that the position returned stays true until this sink
// moves it. It waits for a transaction that has the lane's row, at most five
// seconds; then its error is Away and it may be called again.
func (s *Sink) Position(ctx context.Context, stream string, lane int, start event.Position) (event.Position, error) {
	key := laneKey{stream, lane}
	if err := s.knows(key); err != nil {
		return event.Position{}, err
	}
	var at event.Position
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := s.own(tx, key, start); err != nil {
			return err
		}
		row, _, err := s.read(tx, key)
		at = row.position()
		return err
	})
	if err != nil {
		err = s.classify(fmt.Errorf("position of %s: %w", key, err))
		s.health.Note(key.stream, key.lane, err)
		return event.Position{}, err
	}
	s.health.Note(key.stream, key.lane, nil)
	return at, nil
}

// Rejoin implements [node.Rejoiner].
func (s *Sink) Rejoin(ctx context.Context, stream string, lane int, from, to event.Position) error {
	key := laneKey{stream, lane}
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		args := append(s.numbers(to), s.keyArgs(key)...)
		res := tx.Exec(movePosition, append(append(args, s.numbers(from)...), s.owner)...)
		if res.Error != nil || res.RowsAffected == 1 {
			return res.Error
		}
		row, _, err := s.read(tx, key)
		if err == nil && (row.position() != to || row.Owner != s.owner) {
			err = node.AsFatal(fmt.Errorf("%w: it stands at %s, not at %s", ErrGap, row.position(), from))
		}
		return err
	})
	if err != nil {
		err = s.classify(fmt.Errorf("rejoin the log at %s in %s: %w", to, key, err))
	}
	return err
}

// Place implements [node.Placer]. Streams that the sink is not given may be named.
func (s *Sink) Place(ctx context.Context, stream string, lane int, at event.Position) error {
	key := laneKey{stream, lane}
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if at.IsZero() {
			return tx.Exec(dropPosition, s.keyArgs(key)...).Error
		}
		if err := s.own(tx, key, at); err != nil {
			return err
		}
		return tx.Exec(putPosition, append(s.numbers(at), s.keyArgs(key)...)...).Error
	})
	if err != nil {
		err = s.classify(fmt.Errorf("sink %q: place %s at %s: %w", s.cfg.Node, key, at, err))
	}
	return err
}

// own writes this sink's token into the lane's row, which locks it, and creates
// the row if there is none.
func (s *Sink) own(tx *gorm.DB, key laneKey, start event.Position) error {
	res := tx.Exec(lockPosition, append([]any{s.owner}, s.keyArgs(key)...)...)
	if res.Error != nil || res.RowsAffected == 1 {
		return res.Error
	}
	args := append(s.keyArgs(key), s.numbers(start)...)
	return tx.Exec(createPosition, append(args, s.owner)...).Error
}

func (s *Sink) numbers(p event.Position) []any {
	return []any{s.dialect.number(p.Epoch), s.dialect.number(p.Ms), s.dialect.number(p.Seq)}
}

func (s *Sink) read(tx *gorm.DB, key laneKey) (positionRow, bool, error) {
	var rows []positionRow
	err := tx.Raw(readPosition, s.keyArgs(key)...).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return positionRow{}, false, err
	}
	return rows[0], true, nil
}

// advance moves the lane's position from just before the unit to its end, inside
// the unit's transaction and as its FIRST statement. First, because the row is the
// lane's one lock: a second engine with the same unit waits here and nowhere else,
// so the two never meet in the user's table, where duplicate keys taken in
// different statements could deadlock; a repeat and a gap are found before a
// single row has been sent; and the transaction counts as writing from its first
// statement, so that idle_write_transaction_timeout ends it wherever its engine
// stops. The price is a lock held for the length of the insert, on a row that
// nobody else asks for while leases hold.
func (s *Sink) advance(tx *gorm.DB, u *node.Unit) error {
	key := laneKey{u.Stream, u.Lane}
	args := append(s.numbers(u.Last), s.keyArgs(key)...)
	args = append(append(args, s.numbers(u.After)...), s.owner)
	res := tx.Exec(movePosition, args...)
	if res.Error != nil || res.RowsAffected == 1 {
		return res.Error
	}
	row, found, err := s.read(tx, key)
	if err != nil {
		return err
	}
	return s.whyNotMoved(u, row, found)
}

// whyNotMoved tells a repeat from everything that must stop the lane.
func (s *Sink) whyNotMoved(u *node.Unit, row positionRow, found bool) error {
	at := row.position()
	switch {
	case !found:
		return node.AsFatal(fmt.Errorf("%w: sink %q has none for %s/%d: Position was not called, or millrace_positions was emptied",
			errNoPosition, s.cfg.Node, u.Stream, u.Lane))
	case at.Compare(u.Last) >= 0:
		return errRepeat
	case row.Owner != s.owner:
		return node.AsFatal(fmt.Errorf("%w: %s/%d of sink %q stands at %s", node.ErrTakenOver, u.Stream, u.Lane, s.cfg.Node, at))
	}
	return node.AsFatal(fmt.Errorf("%w: %s/%d of sink %q stands at %s in the database, the unit begins after %s and ends at %s",
		ErrGap, u.Stream, u.Lane, s.cfg.Node, at, u.After, u.Last))
}
