package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/testserver"
)

// privateStore is a MariaDB that the test may kill.
func privateStore(t testing.TB) (*testserver.MariaDBServer, *store) {
	t.Helper()
	server := testserver.MariaDB(t)
	dsn := server.Database(t)
	return server, &store{dsn, server.Open(t, dsn)}
}

// lanesUnderLoad writes units in four lanes until stop is closed, as the engine
// does: a unit that failed with Away comes again, after a restart of the lane from
// the stored position. It returns all events of units that were acknowledged.
func lanesUnderLoad(t *testing.T, s *Sink, stop <-chan struct{}) []*event.Event {
	const lanes = 4
	var all [lanes][]*event.Event
	var wg sync.WaitGroup
	for lane := range lanes {
		wg.Go(func() { all[lane] = laneUnderLoad(t, s, lane, stop) })
	}
	wg.Wait()
	var events []*event.Event
	for _, lane := range all {
		events = append(events, lane...)
	}
	return events
}

func laneUnderLoad(t *testing.T, s *Sink, lane int, stop <-chan struct{}) []*event.Event {
	const size = 50
	var stored []*event.Event
	at := laneStart
	for {
		u := unitOf(at, lane*1_000_000+len(stored), size)
		u.Lane = lane
		for err := errors.New("not tried"); err != nil; {
			if _, err = s.Position(t.Context(), "readings", lane, laneStart); err == nil {
				err = s.Write(t.Context(), u)
			}
			if err != nil && node.ClassOf(err) != node.Away {
				t.Errorf("lane %d: %v (%s)", lane, err, node.ClassOf(err))
				return stored
			}
		}
		stored, at = append(stored, u.Events...), u.Last
		select {
		case <-stop:
			return stored
		default:
		}
	}
}

// TestFaultServerKilled kills the server under load and starts it again, several
// times: what was acknowledged is stored exactly once.
func TestFaultServerKilled(t *testing.T) {
	server, st := privateStore(t)
	s := st.readings(t)
	stop, done := make(chan struct{}), make(chan []*event.Event)
	go func() { done <- lanesUnderLoad(t, s, stop) }()
	for range 4 {
		before := st.one(t, "SELECT COUNT(*) FROM readings")
		testserver.Eventually(t, time.Minute, "rows arrive", func() error {
			if now := st.one(t, "SELECT COUNT(*) FROM readings"); now == before {
				return fmt.Errorf("still %s rows", now)
			}
			return nil
		})
		server.Kill()
		server.Start()
	}
	close(stop)
	if err := st.exactlyOnce(t, <-done); err != nil {
		t.Fatal(err)
	}
}

// TestFaultConnectionDropped cuts the network under load.
func TestFaultConnectionDropped(t *testing.T) {
	server, st := privateStore(t)
	link := testserver.Proxy(t, server.Addr())
	c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
	c.DSN = spec.Secret(strings.Replace(st.dsn, server.Addr(), link.Addr(), 1))
	s := st.open(t, c)
	stop, done := make(chan struct{}), make(chan []*event.Event)
	go func() { done <- lanesUnderLoad(t, s, stop) }()
	for range 20 {
		before := st.one(t, "SELECT SUM(ms) FROM millrace_positions")
		testserver.Eventually(t, time.Minute, "units arrive", func() error {
			if now := st.one(t, "SELECT SUM(ms) FROM millrace_positions"); now == before {
				return fmt.Errorf("positions still sum up to %s", now)
			}
			return nil
		})
		link.Drop()
	}
	close(stop)
	if err := st.exactlyOnce(t, <-done); err != nil {
		t.Fatal(err)
	}
}

// TestFaultServerAway: an engine that starts, writes or asks while the server is
// away hears Away, with a reason that shows no secret, and works when it is back.
func TestFaultServerAway(t *testing.T) {
	server, st := privateStore(t)
	s := st.readings(t)
	u := unitOf(begin(t, s, 0), 0, 5)
	server.Kill()
	_, err := Open(t.Context(), s.cfg)
	wantClass(t, err, node.Away)
	errWrite := s.Write(t.Context(), u)
	wantClass(t, errWrite, node.Away)
	_, errPosition := s.Position(t.Context(), "readings", 0, laneStart)
	wantClass(t, errPosition, node.Away)
	for _, text := range []string{err.Error(), errWrite.Error(), errPosition.Error(), s.Status().Reason} {
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "refused") && !strings.Contains(text, "connection") {
			t.Errorf("reason %q", text)
		}
	}
	server.Start()
	mustWrite(t, s, u)
	if !s.Status().Ready {
		t.Errorf("Status = %+v after the server came back", s.Status())
	}
}

// stallTTL lets the server end an idle transaction after three seconds: before the lock
// wait of who wants its rows is over, and not in the middle of a transaction on a busy
// machine.
const stallTTL = 4 * time.Second

// stall opens a sink whose next transaction stops after its insert, as a process
// does that was stopped (SIGSTOP) there. release lets it go on.
func stall(t *testing.T, st *store, ttl time.Duration, prepare string) (s *Sink, stalled <-chan struct{}, release func()) {
	c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
	c.LeaseTTL = ttl
	s = st.open(t, c)
	reached, resume := make(chan struct{}), make(chan struct{})
	var once sync.Once
	watch(s, &steps{after: func(ctx context.Context, at step, tx *sql.Tx) error {
		if at != stepInsert {
			return nil
		}
		once.Do(func() {
			if prepare != "" {
				if _, err := tx.Exec(prepare); err != nil {
					t.Error(err)
				}
			}
			close(reached)
			<-resume
		})
		return nil
	}})
	return s, reached, sync.OnceFunc(func() { close(resume) })
}

// TestFaultTakeover stops an engine in the middle of a transaction and lets a
// second one take its lane over: the second waits until the server has ended the
// first's transaction, and what the first holds is refused when it wakes up.
func TestFaultTakeover(t *testing.T) {
	st := mariadbStore(t)
	old, stalled, release := stall(t, st, stallTTL, "")
	defer release()
	stale := unitOf(begin(t, old, 0), 0, 30)
	woken := make(chan error)
	go func() { woken <- old.Write(t.Context(), stale) }()
	<-stalled

	fresh := st.open(t, old.cfg)
	at, err := fresh.Position(t.Context(), "readings", 0, laneStart)
	if err != nil || at != laneStart {
		t.Fatalf("Position = %s, %v; want %s: the stalled transaction must not count", at, err, laneStart)
	}
	release()
	wantClass(t, <-woken, node.Away)
	err = old.Write(t.Context(), stale)
	wantClass(t, err, node.Fatal)
	if !errors.Is(err, node.ErrTakenOver) {
		t.Fatalf("Write of the stale engine = %v, want ErrTakenOver", err)
	}
	longer := unitOf(at, 0, 45) // cut otherwise than the stale engine's
	mustWrite(t, fresh, longer)
	if err := st.exactlyOnce(t, longer.Events); err != nil {
		t.Fatal(err)
	}
	mustRepeat(t, old, longer)
}

// mustRepeat: a unit that is stored is a repeat even for an engine that has lost
// the lane; only new ones are refused.
func mustRepeat(t *testing.T, s *Sink, u *node.Unit) {
	t.Helper()
	if err := s.Write(t.Context(), u); err != nil {
		t.Fatalf("Write of a stored unit = %v", err)
	}
}

// TestFaultTakeoverControl takes idle_write_transaction_timeout away: the stopped
// engine then holds the lane, and the second one cannot have it.
func TestFaultTakeoverControl(t *testing.T) {
	st := mariadbStore(t)
	old, stalled, release := stall(t, st, stallTTL, "SET SESSION idle_write_transaction_timeout = 0, idle_transaction_timeout = 0")
	defer release()
	stale := unitOf(begin(t, old, 0), 0, 30)
	woken := make(chan error)
	go func() { woken <- old.Write(t.Context(), stale) }()
	<-stalled
	fresh := st.open(t, old.cfg)
	_, err := fresh.Position(t.Context(), "readings", 0, laneStart)
	wantClass(t, err, node.Away) // lock wait timeout
	release()
	if err := <-woken; err != nil {
		t.Fatalf("Write = %v", err)
	}
}

// TestFenceControl shows what the owner in the position row is for: without it a
// stale engine's unit still joins, and the new owner's next unit meets a gap.
func TestFenceControl(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		old := st.readings(t)
		stale := unitOf(begin(t, old, 0), 0, 10)
		fresh := st.open(t, old.cfg)
		next := unitOf(begin(t, fresh, 0), 0, 25)
		next.Last.Ms += 5
		fresh.owner = old.owner // the protection off
		st.exec(t, "UPDATE millrace_positions SET owner = ?", old.owner)
		mustWrite(t, old, stale)
		err := fresh.Write(t.Context(), next)
		wantClass(t, err, node.Fatal)
		if !errors.Is(err, ErrGap) {
			t.Fatalf("Write = %v, want ErrGap", err)
		}
	})
}

// TestFaultLockWait holds a row of the user's table: the sink waits five seconds,
// says Away, and stores the unit when the row is free.
func TestFaultLockWait(t *testing.T) {
	st := mariadbStore(t)
	s := st.readings(t)
	u := unitOf(begin(t, s, 0), 0, 5)
	tx, err := st.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO readings (event_id, device) VALUES (?, 'held')", u.Events[3].ID[:]); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	wantClass(t, s.Write(t.Context(), u), node.Away)
	if waited := time.Since(begun); waited > 30*time.Second {
		t.Fatalf("waited %s, want innodb_lock_wait_timeout = 5 s", waited)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, u)
	if err := st.exactlyOnce(t, u.Events); err != nil {
		t.Fatal(err)
	}
}

// TestDeadlock makes the sink the victim of a deadlock: it holds the position row
// and waits for a row that another transaction holds, which then asks for the
// position row and has changed more.
func TestDeadlock(t *testing.T) {
	st := mariadbStore(t)
	s := st.readings(t)
	u := unitOf(begin(t, s, 0), 0, 5)
	tx, err := st.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for i := range 200 {
		id := reading(5000 + i).ID
		if i == 0 {
			id = u.Events[4].ID
		}
		if _, err := tx.Exec("INSERT INTO readings (event_id, device) VALUES (?, 'held')", id[:]); err != nil {
			t.Fatal(err)
		}
	}
	written := make(chan error)
	go func() { written <- s.Write(t.Context(), u) }()
	testserver.Eventually(t, time.Minute, "the sink waits for the row", func() error {
		if n := st.one(t, "SELECT COUNT(*) FROM information_schema.INNODB_LOCK_WAITS"); n == "0" {
			return errors.New("no lock wait")
		}
		return nil
	})
	if _, err := tx.Exec("UPDATE millrace_positions SET owner = 'nobody'"); err != nil {
		t.Fatalf("the other transaction is the victim: %v", err)
	}
	err = <-written
	wantClass(t, err, node.Away)
	if !strings.Contains(err.Error(), "1213") {
		t.Fatalf("error = %v, want deadlock 1213", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, u)
}

// TestFaultReadOnlyServer: a server that was made read-only (a switchover) is Away.
func TestFaultReadOnlyServer(t *testing.T) {
	server, st := privateStore(t)
	root := &store{db: server.Open(t, "root@unix("+filepath.Join(server.Dir, "s")+")/mysql")}
	root.exec(t, "CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'pl4in'")
	root.exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX ON *.* TO plain@'127.0.0.1'")
	c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
	_, at, _ := strings.Cut(st.dsn, "@")
	c.DSN = spec.Secret("plain:pl4in@" + at)
	s := st.open(t, c)
	u := unitOf(begin(t, s, 0), 0, 5)
	st.exec(t, "SET GLOBAL read_only = 1")
	wantClass(t, s.Write(t.Context(), u), node.Away)
	st.exec(t, "SET GLOBAL read_only = 0")
	mustWrite(t, s, u)

	root.exec(t, "ALTER USER plain@'127.0.0.1' IDENTIFIED BY 'changed'")
	server.Stop()
	server.Start()
	wantClass(t, s.Write(t.Context(), unitOf(u.Last, 10, 5)), node.Away) // a refused user, later: waits
	_, err := Open(t.Context(), c)
	wantClass(t, err, node.Fatal) // at start: a wrong configuration
	if text := err.Error() + s.Status().Reason; strings.Contains(text, "pl4in") {
		t.Fatalf("the password shows: %s", text)
	}
}
