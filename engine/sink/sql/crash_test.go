package sqlsink

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// writer stores a unit and says where the next one begins: the sink, or one of the
// controls that do it in a wrong order.
type writer interface {
	Position(ctx context.Context, stream string, lane int, start event.Position) (event.Position, error)
	Write(ctx context.Context, u *node.Unit) error
}

// resume drives w over the journal, units that begin where the stored position is,
// until all of it is stored; errors are what a crash leaves, and the loop is the
// engine starting again.
func resume(t *testing.T, w writer, journal []*event.Event) {
	t.Helper()
	const unit = 10
	for range 100 {
		at, err := w.Position(t.Context(), "readings", 0, laneStart)
		if err != nil {
			continue
		}
		done := int(at.Ms - laneStart.Ms)
		if done >= len(journal) {
			return
		}
		u := &node.Unit{Stream: "readings", After: at, Last: at, Events: journal[done:min(done+unit, len(journal))]}
		u.Last.Ms += uint64(len(u.Events))
		if err := w.Write(t.Context(), u); err != nil && node.ClassOf(err) != node.Away {
			t.Fatalf("Write = %v (%s)", err, node.ClassOf(err))
		}
	}
	t.Fatal("the journal was not stored in 100 tries")
}

func journalOf(n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = reading(i)
	}
	return events
}

// exactlyOnce is the oracle: every event of the journal is in the table once, and
// nothing else.
func (s *store) exactlyOnce(t testing.TB, journal []*event.Event) error {
	t.Helper()
	rows, err := s.db.Query("SELECT event_id, COUNT(*) FROM readings GROUP BY event_id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	times := map[event.ID]int{}
	for rows.Next() {
		var id []byte
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			t.Fatal(err)
		}
		times[event.ID(id)] = n
	}
	for i, e := range journal {
		if n := times[e.ID]; n != 1 {
			return fmt.Errorf("event %d is stored %d times", i, n)
		}
	}
	if len(times) != len(journal) {
		return fmt.Errorf("%d ids are stored, want %d", len(times), len(journal))
	}
	return nil
}

// crashOnce makes the n-th passing of a step crash.
func crashOnce(at step, n int, crash func(tx *sql.Tx) error) func(context.Context, step, *sql.Tx) error {
	return func(_ context.Context, s step, tx *sql.Tx) error {
		if s != at {
			return nil
		}
		if n--; n != 0 {
			return nil
		}
		return crash(tx)
	}
}

// TestCrashBetweenSteps ends the connection between every two steps of a unit's
// transaction and lets the engine begin again from the stored position.
func TestCrashBetweenSteps(t *testing.T) {
	for _, at := range []step{stepPosition, stepInsert, stepCommit} {
		for _, when := range []string{"before", "after"} {
			t.Run(when+" "+string(at), func(t *testing.T) {
				onBoth(t, func(t *testing.T, st *store) {
					s := st.readings(t)
					crash := func(tx *sql.Tx) error { return st.crash(t, tx, when == "after" && at == stepCommit) }
					hook, watched := crashOnce(at, 3, crash), &steps{}
					if when == "before" {
						watched.before = hook
					} else {
						watched.after = hook
					}
					watch(s, watched)
					journal := journalOf(95)
					resume(t, s, journal)
					if err := st.exactlyOnce(t, journal); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// crash ends the transaction as a dead connection does: the server rolls back what
// is not committed, and the answer is lost.
func (s *store) crash(t testing.TB, tx *sql.Tx, committed bool) error {
	switch {
	case s.isSQLite() && !committed:
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	case !committed:
		s.killSession(t, tx)
		return nil // the next step meets the dead connection
	}
	return mysql.ErrInvalidConn
}

// splitWriter is the control: position and rows in transactions of their own.
type splitWriter struct {
	st            *store
	s             *Sink
	positionFirst bool
	crashIn       int // units until the crash between the two
}

func (w *splitWriter) Position(ctx context.Context, stream string, lane int, start event.Position) (event.Position, error) {
	return w.s.Position(ctx, stream, lane, start)
}

func (w *splitWriter) Write(ctx context.Context, u *node.Unit) error {
	rows := func() error {
		return w.s.insert(ctx, w.s.db.WithContext(ctx), new(batch), u)
	}
	position := func() error { return w.s.advance(w.s.db.WithContext(ctx), u) }
	first, second := rows, position
	if w.positionFirst {
		first, second = position, rows
	}
	if err := first(); err != nil {
		return err
	}
	if w.crashIn--; w.crashIn == 0 {
		return node.AsAway(fmt.Errorf("crash"))
	}
	return second()
}

// TestCrashControl shows that the oracle sees what one transaction protects from:
// position and rows apart lose rows in one order and, in a table that cannot tell
// repeats, double them in the other.
func TestCrashControl(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		for _, positionFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("position first %t", positionFirst), func(t *testing.T) {
				s := st.readings(t)
				st.withoutKey(t, s)
				journal := journalOf(95)
				resume(t, &splitWriter{st: st, s: s, positionFirst: positionFirst, crashIn: 3}, journal)
				if err := st.exactlyOnce(t, journal); err == nil {
					t.Fatal("rows and position in two transactions passed the oracle")
				}
				st.exec(t, "DELETE FROM millrace_positions")
				st.exec(t, "DROP TABLE readings")
			})
		}
	})
}

// withoutKey makes the table one that takes repeats.
func (s *store) withoutKey(t testing.TB, sink *Sink) {
	s.exec(t, "DROP TABLE readings")
	s.exec(t, "CREATE TABLE readings (event_id BLOB, source_id TEXT, plant TEXT, device TEXT, metric TEXT, event_time TEXT, value DOUBLE, unit TEXT, plugin TEXT)")
	keyless := *sink.schema.Load()
	keyless.tail = ""
	sink.schema.Store(&keyless)
}

// TestCommitAnswerLost shows a unit whose COMMIT arrived and whose answer did not:
// sent again it is told from a new one.
func TestCommitAnswerLost(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.readings(t)
		u := unitOf(begin(t, s, 0), 0, 20)
		var commits int
		s.cfg.OnCommit = func(int, time.Duration) { commits++ }
		watch(s, &steps{after: crashOnce(stepCommit, 1, func(*sql.Tx) error { return mysql.ErrInvalidConn })})
		wantClass(t, s.Write(t.Context(), u), node.Away)
		if st := s.Status(); st.Ready || st.Reason == "" {
			t.Fatalf("Status = %+v, want not ready with a reason", st)
		}
		mustWrite(t, s, u)
		if err := st.exactlyOnce(t, u.Events); err != nil {
			t.Fatal(err)
		}
		if st := s.Status(); !st.Ready {
			t.Fatalf("Status = %+v, want ready", st)
		}
		if commits != 0 {
			t.Fatalf("OnCommit was called %d times for a commit nobody heard of", commits)
		}
	})
}
