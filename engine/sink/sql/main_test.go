package sqlsink

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sinktest"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// base is the event time of test events.
var base = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC).UnixMilli()

// reading returns the n-th test event: a record as the pipelines of the project
// have it.
func reading(n int) *event.Event {
	identity := event.NewIdentity("mill", "plant1", fmt.Sprint("reading-", n))
	root := &event.Event{ID: event.RootID(identity, base), RootID: fmt.Sprint("reading-", n), Time: base}
	e := root.Derive("celsius", 0, base+int64(n))
	e.Plugin = "scale@1.0.0#0badcafe"
	e.Source = event.Source{Node: "plant1", Queue: "master.plant1", RoutingKey: "master.plant1"}
	e.Record = &event.Record{Fields: []event.Field{
		{Name: "plant", Value: event.String("plant1")},
		{Name: "device", Value: event.String(fmt.Sprintf("press-%02d", n%40))},
		{Name: "metric", Value: event.String("temperature")},
		{Name: "ts", Value: event.Time(base + int64(n))},
		{Name: "value", Value: event.Float(20.5 + float64(n%1000)/7)},
		{Name: "unit", Value: event.String("C")},
	}}
	return e
}

// readingColumns are the columns of the project's own readings table.
func readingColumns() []Column {
	required := false
	return []Column{
		{Name: "source_id", From: "root_id"},
		{Name: "plant", From: "record.plant"},
		{Name: "device", Nullable: &required},
		{Name: "metric"},
		{Name: "event_time", From: "time"},
		{Name: "value", Type: "double"},
		{Name: "unit"},
		{Name: "plugin", From: "plugin"},
	}
}

// store is a database for one test, MariaDB or SQLite.
type store struct {
	dsn string
	db  *sql.DB // the test's own way in
}

func mariadbStore(t testing.TB) *store {
	t.Helper()
	server := testserver.SharedMariaDB(t)
	dsn := server.Database(t)
	return &store{dsn, server.Open(t, dsn)}
}

func sqliteStore(t testing.TB) *store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.db")
	db, err := openSQLite(path + "?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &store{sqlitePrefix + path, db}
}

// onBoth runs a test on real MariaDB and on SQLite.
func onBoth(t *testing.T, run func(t *testing.T, s *store)) {
	t.Run("mariadb", func(t *testing.T) { run(t, mariadbStore(t)) })
	t.Run("sqlite", func(t *testing.T) { run(t, sqliteStore(t)) })
}

func (s *store) isSQLite() bool { return s.dsn[:len(sqlitePrefix)] == sqlitePrefix }

func (s *store) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := s.db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// one returns the first column of the first row.
func (s *store) one(t testing.TB, query string, args ...any) string {
	t.Helper()
	var v sql.NullString
	if err := s.db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v.String
}

func (s *store) config(o Options) Config {
	return Config{DSN: spec.Secret(s.dsn), Pipeline: "mill", Node: "rows", Options: o}
}

func (s *store) open(t testing.TB, c Config) *Sink {
	t.Helper()
	sink, err := Open(t.Context(), c)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return sink
}

// readings opens a sink of the readings table, which it creates.
func (s *store) readings(t testing.TB) *Sink {
	t.Helper()
	return s.open(t, s.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()}))
}

// laneStart is where the units of tests begin.
var laneStart = event.Position{Epoch: 1, Ms: 10, Seq: 0}

// begin takes the lane and returns its position.
func begin(t testing.TB, s *Sink, lane int) event.Position {
	t.Helper()
	at, err := s.Position(t.Context(), "readings", lane, laneStart)
	if err != nil {
		t.Fatalf("Position = %v", err)
	}
	return at
}

// unitOf makes the unit after a position with the readings from..from+n-1.
func unitOf(after event.Position, from, n int) *node.Unit {
	u := &node.Unit{Stream: "readings", After: after, Last: after}
	u.Last.Ms++
	for i := range n {
		u.Events = append(u.Events, reading(from+i))
	}
	return u
}

func mustWrite(t testing.TB, s *Sink, u *node.Unit) {
	t.Helper()
	if err := s.Write(context.WithoutCancel(t.Context()), u); err != nil {
		t.Fatalf("Write = %v", err)
	}
}

func wantClass(t testing.TB, err error, want node.Class) {
	t.Helper()
	if err == nil || node.ClassOf(err) != want {
		t.Fatalf("error = %v (%s), want class %s", err, node.ClassOf(err), want)
	}
}

// harness runs the conformance suite on a table that counts arrivals.
type harness struct{ *store }

func (h harness) Features() sinktest.Features {
	return sinktest.Features{Positioned: true, Fenced: true, Ordered: true}
}

func (h harness) Open(t *testing.T, pipeline, id string) node.Sink {
	c := h.config(Options{Connection: "store", Table: "arrivals", Columns: readingColumns(), MaxRowsPerInsert: 64})
	c.Pipeline, c.Node = pipeline, id
	sink, err := Open(t.Context(), c)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	return sink
}

func (h harness) Good(_ *testing.T, n int) *event.Event { return reading(n) }

// Bad alternates between what the sink sees itself and what only the server sees.
func (h harness) Bad(_ *testing.T, n int) *event.Event {
	e := reading(n)
	if n%2 == 0 {
		e.Record = e.Record.With("device", event.Null)
	} else {
		e.Record = e.Record.With("metric", event.String("forbidden"))
	}
	return e
}

func (h harness) Stored(t *testing.T) []event.ID {
	rows, err := h.db.Query("SELECT event_id FROM arrivals ORDER BY arrival")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ids []event.ID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, event.ID(id))
	}
	return ids
}

const (
	mariadbArrivals = `CREATE TABLE arrivals (event_id BINARY(16) NOT NULL PRIMARY KEY, source_id VARCHAR(255), plant VARCHAR(191),
		device VARCHAR(191) NOT NULL, metric VARCHAR(191) CHECK (metric <> 'forbidden'), event_time DATETIME(3), value DOUBLE, unit VARCHAR(191),
		plugin VARCHAR(191), arrival BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`
	sqliteArrivals = `CREATE TABLE arrivals (arrival INTEGER, event_id BLOB NOT NULL PRIMARY KEY, source_id VARCHAR(255), plant VARCHAR(191),
		device VARCHAR(191) NOT NULL, metric VARCHAR(191) CHECK (metric <> 'forbidden'), event_time DATETIME(3), value DOUBLE, unit VARCHAR(191),
		plugin VARCHAR(191))`
	sqliteArrivalCounter = `CREATE TRIGGER count_arrivals AFTER INSERT ON arrivals BEGIN
		UPDATE arrivals SET arrival = NEW.rowid WHERE rowid = NEW.rowid; END`
)

func TestConformance(t *testing.T) {
	t.Run("mariadb", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Harness {
			s := mariadbStore(t)
			s.exec(t, mariadbArrivals)
			return harness{s}
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		sinktest.Run(t, func(t *testing.T) sinktest.Harness {
			s := sqliteStore(t)
			s.exec(t, sqliteArrivals)
			s.exec(t, sqliteArrivalCounter)
			return harness{s}
		})
	})
}
