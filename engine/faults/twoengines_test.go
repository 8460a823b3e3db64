package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/engine/testserver"
)

// Two engines, of which the owner is stopped in the middle of a transaction.

// slowRow is the number whose row waits in the database while the test holds a lock
// of that name, inside the transaction that has moved the lane's position.
const slowRow = 250

const slowTrigger = `CREATE TRIGGER slow BEFORE INSERT ON readings FOR EACH ROW
 IF NEW.n = %[2]d THEN
  SET @held = GET_LOCK('%[1]s', 120);
  SET @held = RELEASE_LOCK('%[1]s');
 END IF`

// holdSlowRow makes the slow row wait until the returned function is called.
func (r *rig) holdSlowRow(name string) (letGo func()) {
	r.t.Helper()
	r.exec(fmt.Sprintf(slowTrigger, name, slowRow))
	conn, err := r.db.Conn(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var got int
	if err := conn.QueryRowContext(r.t.Context(), "SELECT GET_LOCK(?, 0)", name).Scan(&got); err != nil || got != 1 {
		r.t.Fatalf("lock %s: %d, %v", name, got, err)
	}
	return func() {
		r.t.Helper()
		if _, err := conn.ExecContext(r.t.Context(), "SELECT RELEASE_LOCK(?)", name); err != nil {
			r.t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// awaitSession waits until the number of this database's sessions in that state is want.
func (r *rig) awaitSession(state string, want int) {
	r.t.Helper()
	const query = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state = ?"
	testserver.Eventually(r.t, time.Minute, fmt.Sprintf("%d sessions in state %q", want, state), func() error {
		var n int
		if err := r.db.QueryRow(query, state).Scan(&n); err != nil {
			return err
		}
		if n != want {
			return fmt.Errorf("%d sessions", n)
		}
		return nil
	})
}

// positionHeld reports whether somebody's transaction holds a position row.
func (r *rig) positionHeld() bool {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		r.t.Fatal(err)
	}
	defer tx.Rollback()
	var rows int
	err = tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+r.positionTable()+" FOR UPDATE NOWAIT").Scan(&rows)
	if held, ok := errors.AsType[*mysql.MySQLError](err); ok && held.Number == 1205 { // lock wait timeout
		return true
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return false
}

// TestFaultStalledOwnerInTransaction stops the owner while its transaction holds a
// lane's position row, beyond its lease. The database ends the transaction before the
// lease is over, so that the other engine is not held up; what the first wakes up
// with is refused. What it costs to have no such limit shows TestFaultTakeoverControl
// of the SQL sink.
func TestFaultStalledOwnerInTransaction(t *testing.T) {
	r := newRig(t, setup{})
	direct := slices.Clone(r.env)
	line := r.throughProxy("AMQP_URLS", testserver.SharedRabbitMQ(t).Addr())
	first := r.start("one")
	r.awaitReady(first)
	r.env = direct
	second := r.start("two")
	l := newLedger()
	r.burst(l, 0, 200)
	r.settle(l)
	testserver.Eventually(t, time.Minute, "position rows that nobody holds", func() error {
		if r.positionHeld() {
			return errors.New("one is held")
		}
		return nil
	})
	letGo := r.holdSlowRow(t.Name())
	r.burst(l, 200, 300)
	r.awaitSession("User lock", 1)
	first.signal(t, syscall.SIGSTOP)
	line.Down()
	if !r.positionHeld() { // asked while the row still waits: afterwards the database's time runs
		t.Fatal("the stopped engine holds no position row: the test shows nothing")
	}
	stopped := time.Now()
	letGo()
	r.awaitSession("User lock", 0)
	r.awaitRow(slowRow)
	took := []time.Duration{time.Since(stopped)} // the lease is 5 s
	first.signal(t, syscall.SIGCONT)
	line.Up()
	r.awaitSaid(first, "lease lost")
	r.burst(l, 300, 900)
	prove(t, proof{name: "two_engines_one_lane", faults: 1, verdict: r.settle(l), took: took})
	r.awaitReady(second)
}

// awaitRow waits until the row of number n is there, for ten leases.
func (r *rig) awaitRow(n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	testserver.Eventually(r.t, 50*time.Second, fmt.Sprintf("the row of number %d", n), func() error {
		var id string
		return r.db.QueryRowContext(ctx, "SELECT source_id FROM readings WHERE n = ?", n).Scan(&id)
	})
}

// awaitSaid waits until the engine has written the words.
func (r *rig) awaitSaid(e *engine, words string) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "an engine that says "+words, func() error {
		if !strings.Contains(e.log.tail(1<<20), words) {
			return errors.New("it has not")
		}
		return nil
	})
}
