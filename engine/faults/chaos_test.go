package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/engine/testserver"
)

// The database's side again: a MariaDB that is there and does not do what it is
// asked.

// awaitReason waits until /readyz is red and says all the words.
func (r *rig) awaitReason(e *engine, words ...string) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, fmt.Sprintf("readiness that says %q", words), func() error {
		status, body, err := e.get("/readyz")
		for _, word := range words {
			if err == nil && (status == http.StatusOK || !strings.Contains(body, word)) {
				err = fmt.Errorf("%d: %s", status, body)
			}
		}
		return err
	})
}

// goesOn waits until the engine is ready and more rows are there, and returns how
// long that took.
func (r *rig) goesOn(e *engine) time.Duration {
	r.t.Helper()
	began, before := time.Now(), r.rows()
	r.awaitReady(e)
	r.awaitRows(before + 1)
	return time.Since(began)
}

// keepsAll checks that nothing was given up.
func (r *rig) keepsAll(e *engine) {
	r.t.Helper()
	if n := r.metric(e, "millrace_dead_letters_total"); n > 0 {
		r.t.Errorf("%.0f events were given up because of the database", n)
	}
}

// TestFaultDatabaseCutAtCommit breaks the engine's connection at a COMMIT: before
// it arrives, after it is done and before the answer arrives, and by killing the
// server with it. Nobody can tell these apart, and each row is there once.
func TestFaultDatabaseCutAtCommit(t *testing.T) {
	maria := testserver.MariaDB(t)
	r := newRig(t, setup{maria: maria})
	line := newCommitLine(t, maria.Addr())
	r.redirect("DB_DSN", maria.Addr(), line.addr())
	l := newLedger()
	p := proof{name: "mariadb_chaos/commit", faults: often(6, 30)}
	e := r.start("commit")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		r.awaitRows(500)
		for i := range p.faults {
			how := cut(i) % cuts
			line.atCommit(t, how)
			if how == cutKill {
				maria.Kill()
				maria.Start()
			}
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// storm is a client that locks rows of the target table and the engine's
// positions the other way round than the engine does, again and again until ctx
// ends. It counts how often it was the victim itself.
func (r *rig) storm(ctx context.Context, victim *atomic.Int64) {
	for ctx.Err() == nil {
		tx, err := r.db.BeginTx(ctx, nil)
		if err != nil {
			continue // ctx has ended
		}
		_, err = tx.Exec("UPDATE readings SET value = value + 1 ORDER BY arrival DESC LIMIT 500")
		if err == nil {
			_, err = tx.Exec("UPDATE millrace_positions SET owner = owner")
		}
		if e, ok := errors.AsType[*mysql.MySQLError](err); ok && e.Number == 1213 {
			victim.Add(1)
		}
		_ = tx.Rollback() // its rows stay as they were
	}
}

// deadlocks counts all that the server has had.
func (r *rig) deadlocks() (n int64) {
	r.t.Helper()
	var name string
	if err := r.db.QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").Scan(&name, &n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// TestFaultDatabaseDeadlockStorm: two other clients lock the engine's rows against
// its own order until it has been the victim of many deadlocks.
func TestFaultDatabaseDeadlockStorm(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	e := r.start("storm")
	p := proof{name: "mariadb_chaos/deadlocks"}
	before := r.deadlocks()
	var own atomic.Int64
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		r.awaitRows(1000)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { r.storm(ctx, &own) })
		}
		defer wg.Wait()
		defer cancel()
		testserver.Eventually(t, 5*time.Minute, "deadlocks that the engine loses", func() error {
			if p.faults = int(r.deadlocks() - before - own.Load()); p.faults < often(10, 40) {
				return fmt.Errorf("%d", p.faults)
			}
			return nil
		})
	})
	p.took = append(p.took, r.calm(e))
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// calm waits until the engine is ready, and returns how long that took.
func (r *rig) calm(e *engine) time.Duration {
	r.t.Helper()
	began := time.Now()
	r.awaitReady(e)
	return time.Since(began)
}

// hog takes the server's connections until it has no more to give, and returns
// what frees them.
func hog(t *testing.T, maria *testserver.MariaDBServer, dsn string) (more func(), free func()) {
	pool := maria.Open(t, dsn)
	pool.SetMaxIdleConns(0)
	var held []*sql.Conn
	more = func() {
		for {
			conn, err := pool.Conn(t.Context())
			if err != nil {
				return // that was the last one
			}
			held = append(held, conn)
		}
	}
	return more, func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}
}

// TestFaultDatabaseWithoutConnections: another program has taken all connections
// when the engine has lost its own.
func TestFaultDatabaseWithoutConnections(t *testing.T) {
	maria := testserver.MariaDB(t)
	r := newRig(t, setup{maria: maria})
	line := r.throughProxy("DB_DSN", maria.Addr())
	l := newLedger()
	p := proof{name: "mariadb_chaos/connections", faults: often(2, 10)}
	e := r.start("full")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 500)
			r.exec("SET GLOBAL max_connections = 10")
			more, free := hog(t, maria, r.dsn)
			testserver.Eventually(t, time.Minute, "an engine without a connection", func() error {
				line.Down()
				more()
				line.Up()
				_, body, err := e.get("/readyz")
				if err == nil && !strings.Contains(body, "Too many connections") {
					err = errors.New(body)
				}
				return err
			})
			free()
			r.exec("SET GLOBAL max_connections = 151")
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// asPlainUser lets the engine log in as one whom read_only binds.
func (r *rig) asPlainUser(maria *testserver.MariaDBServer) {
	r.t.Helper()
	root := maria.Open(r.t, "root@unix("+filepath.Join(maria.Dir, "s")+")/mysql")
	for _, statement := range []string{
		"CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'pl4in'",
		"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX ON *.* TO plain@'127.0.0.1'",
	} {
		if _, err := root.Exec(statement); err != nil {
			r.t.Fatal(err)
		}
	}
	login, _, _ := strings.Cut(r.dsn, "@")
	r.redirect("DB_DSN", login, "plain:pl4in")
}

// TestFaultDatabaseReadOnly: the server takes no writes for a while, as in a
// switchover.
func TestFaultDatabaseReadOnly(t *testing.T) {
	maria := testserver.MariaDB(t)
	r := newRig(t, setup{maria: maria})
	r.asPlainUser(maria)
	l := newLedger()
	p := proof{name: "mariadb_chaos/read_only", faults: often(2, 10)}
	e := r.start("readonly")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 500)
			r.exec("SET GLOBAL read_only = 1")
			r.awaitReason(e, "read-only")
			r.exec("SET GLOBAL read_only = 0")
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// drifts change the table under the engine, and mend it: the word that readiness
// must say, what breaks it, what mends it. What is narrowed clips the rows that
// are there, in a column that no oracle looks at.
var drifts = []struct{ word, harm, mend string }{
	{"readings.plant", "ALTER TABLE readings DROP COLUMN plant", "ALTER TABLE readings ADD COLUMN plant VARCHAR(64)"},
	{"readings.plant", "ALTER TABLE readings MODIFY plant VARCHAR(3)", "ALTER TABLE readings MODIFY plant VARCHAR(64)"},
}

// TestFaultDatabaseSchemaDrift drops a column, and makes one narrower, under load:
// the engine pauses, says why, and goes on by itself when a person has mended it.
func TestFaultDatabaseSchemaDrift(t *testing.T) {
	r := newRig(t, setup{})
	careless := testserver.SharedMariaDB(t).Open(t, r.dsn+"?sql_mode=''")
	l := newLedger()
	p := proof{name: "mariadb_chaos/drift"}
	e := r.start("drift")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		for range often(1, 5) {
			for _, d := range drifts {
				r.awaitRows(r.rows() + 500)
				if _, err := careless.Exec(d.harm); err != nil {
					t.Fatal(err)
				}
				p.faults++
				r.awaitReason(e, d.word, "paused")
				r.exec(d.mend)
				p.took = append(p.took, r.goesOn(e))
			}
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}
