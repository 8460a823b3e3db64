package sqlsink

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/ncruces/go-sqlite3"

	"github.com/millrace/millrace/engine/node"
)

// TestErrorClasses: each number has one meaning, and the ones that the design
// names have the right one.
func TestErrorClasses(t *testing.T) {
	seen := map[uint16]fault{}
	for f, numbers := range mariadbNumbers {
		for _, n := range numbers {
			if other, twice := seen[n]; twice {
				t.Errorf("error %d is listed under %d and %d", n, other, f)
			}
			seen[n] = f
		}
	}
	s := &Sink{dialect: mariadb{}}
	for number, want := range map[uint16]node.Class{
		1205: node.Away, 1213: node.Away, 1040: node.Away, 1053: node.Away, 2006: node.Away, 2013: node.Away, 1290: node.Away,
		1792: node.Away, 1836: node.Away, 1021: node.Away, 1114: node.Away, 1045: node.Away, 1054: node.Fatal, 1146: node.Fatal,
		1193: node.Fatal, 1064: node.Unsure,
	} {
		err := fmt.Errorf("insert: %w", &mysql.MySQLError{Number: number})
		if got := node.ClassOf(s.classify(err)); got != want {
			t.Errorf("error %d of a running sink is %s, want %s", number, got, want)
		}
	}
	for _, number := range []uint16{1045, 1044, 1193} {
		if got := node.ClassOf(s.classifyStart(&mysql.MySQLError{Number: number})); got != node.Fatal {
			t.Errorf("error %d at start is %s, want fatal", number, got)
		}
	}
}

// TestDiskFull: a full disk is waited for, nothing is stored by halves.
func TestDiskFull(t *testing.T) {
	st := sqliteStore(t)
	s := st.readings(t)
	u := unitOf(begin(t, s, 0), 0, 2000)
	full := func(pages int) {
		if _, err := s.pool.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	full(12)
	wantClass(t, s.Write(t.Context(), u), node.Away)
	if n := st.one(t, "SELECT COUNT(*) FROM readings"); n != "0" {
		t.Fatalf("%s rows", n)
	}
	full(100_000)
	mustWrite(t, s, u)
	if err := st.exactlyOnce(t, u.Events); err != nil {
		t.Fatal(err)
	}
}

// A start that is called off is no fault of the file: the engine ends without an error then.
func TestSQLiteInterruptedIsAway(t *testing.T) {
	st := sqliteStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	conn, err := st.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, interrupted := conn.ExecContext(ctx, "CREATE TABLE late (a INTEGER)")
	for _, err := range []error{interrupted, sqlite3.INTERRUPT, fmt.Errorf("connect: %w", sqlite3.INTERRUPT)} {
		if got := (sqliteFile{}).fault(err); got != faultAway {
			t.Errorf("fault(%v) = %v; want faultAway", err, got)
		}
	}
}
