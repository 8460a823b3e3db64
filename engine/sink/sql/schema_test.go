package sqlsink

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/spec"
)

// TestDriftAtStart opens the sink on tables that do not fit; each problem is named
// with table and column, what was expected and found.
func TestDriftAtStart(t *testing.T) {
	required := true
	columns := []Column{{Name: "device"}, {Name: "value", Type: "double"}, {Name: "at", From: "time"}, {Name: "n", Type: "int", Nullable: &required}}
	const good = "event_id BINARY(16) PRIMARY KEY, device VARCHAR(50), value DOUBLE, at DATETIME(3), n INT"
	cases := []struct {
		name, ddl string
		want      []string // parts of the text; none: the table fits
	}{
		{"the table fits", good, nil},
		{"wider types and further columns fit", "event_id VARBINARY(20) PRIMARY KEY, device LONGTEXT, value DOUBLE, at DATETIME(6), n BIGINT, extra INT, counted INT NOT NULL DEFAULT 1", nil},
		{"no table", "", []string{"rows_here: no such table", "auto_create"}},
		{"no key", "event_id BINARY(16), device VARCHAR(50), value DOUBLE, at DATETIME(3), n INT", []string{"expected primary key (event_id), found ()"}},
		{"another key", strings.Replace(good, "n INT", "n INT UNIQUE", 1), nil},
		{"key of two columns", "event_id BINARY(16), device VARCHAR(50), value DOUBLE, at DATETIME(3), n INT, PRIMARY KEY (event_id, n)", []string{"found (event_id, n)"}},
		{"a missing column", strings.Replace(good, ", n INT", "", 1), []string{"rows_here.n: expected int, found no such column"}},
		{"a narrow type", strings.Replace(good, "n INT", "n SMALLINT", 1), []string{"rows_here.n: expected int, found smallint"}},
		{"another type", strings.Replace(good, "value DOUBLE", "value DECIMAL(10,2)", 1), []string{"rows_here.value: expected double, found decimal(10,2)"}},
		{"not null", strings.Replace(good, "n INT", "n INT NOT NULL", 1), []string{"rows_here.n: expected nullable, found NOT NULL"}},
		{"a column that nobody fills", good + ", must INT NOT NULL", []string{"rows_here.must: is NOT NULL without a default"}},
		{"an id of another type", strings.Replace(good, "event_id BINARY(16)", "event_id BIGINT", 1), []string{"rows_here.event_id: expected binary(16), found bigint"}},
		{"all at once", "event_id BINARY(8) PRIMARY KEY, device VARCHAR(50), at DATETIME(3), n SMALLINT",
			[]string{"rows_here.event_id", "rows_here.value", "rows_here.n"}},
	}
	onBoth(t, func(t *testing.T, st *store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				st.exec(t, "DROP TABLE IF EXISTS rows_here")
				if c.ddl != "" {
					st.exec(t, "CREATE TABLE rows_here ("+c.ddl+")")
				}
				s, err := Open(t.Context(), st.config(Options{Connection: "store", Table: "rows_here", Columns: columns}))
				if len(c.want) == 0 {
					if err != nil {
						t.Fatalf("Open = %v", err)
					}
					s.Close()
					return
				}
				st.wantDrift(t, err, c.want...)
			})
		}
	})
}

func (s *store) wantDrift(t testing.TB, err error, parts ...string) {
	t.Helper()
	wantClass(t, err, node.Fatal)
	if !errors.Is(err, ErrDrift) {
		t.Fatalf("error = %v, want ErrDrift", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// TestUnfitTables: only MariaDB has tables that cannot roll back, and times that
// lose their milliseconds.
func TestUnfitTables(t *testing.T) {
	st := mariadbStore(t)
	for ddl, want := range map[string]string{
		"CREATE TABLE rows_here (event_id BINARY(16) PRIMARY KEY, device VARCHAR(50)) ENGINE=MyISAM":        "its engine is MyISAM",
		"CREATE VIEW rows_here AS SELECT x'00' AS event_id, 'a' AS device":                                  "it is a view",
		"CREATE TABLE rows_here (event_id BINARY(16) PRIMARY KEY, device DATETIME)":                         "cuts milliseconds",
		"CREATE TABLE rows_here (event_id BINARY(16) PRIMARY KEY, device POINT)":                            "which the sink cannot fill",
		"CREATE TABLE rows_here (event_id BINARY(16) PRIMARY KEY, device VARCHAR(5) AS ('x') PERSISTENT)":   "is computed by the database",
		"CREATE TABLE `rows_here` (event_id CHAR(32) PRIMARY KEY, device VARCHAR(50)) DEFAULT CHARSET=utf8": "expected binary(16), found char(32)",
	} {
		st.exec(t, "DROP TABLE IF EXISTS rows_here")
		st.exec(t, "DROP VIEW IF EXISTS rows_here")
		st.exec(t, ddl)
		_, err := Open(t.Context(), st.config(Options{Connection: "store", Table: "rows_here", Columns: []Column{{Name: "device"}}}))
		st.wantDrift(t, err, want)
	}
}

// TestDriftAtRunTime changes the table under a running sink. It stops with a clear
// text, stores nothing by halves, and goes on when the table is mended.
func TestDriftAtRunTime(t *testing.T) {
	cases := []struct{ name, breakIt, mend, want string }{
		{"column dropped", "ALTER TABLE readings DROP COLUMN metric", "ALTER TABLE readings ADD COLUMN metric VARCHAR(191)", "metric"},
		{"table renamed", "ALTER TABLE readings RENAME TO gone", "ALTER TABLE gone RENAME TO readings", "readings"},
		{"column narrowed", "ALTER TABLE readings MODIFY COLUMN device VARCHAR(3)", "ALTER TABLE readings MODIFY COLUMN device VARCHAR(191)", "readings.device: expected varchar(191), found varchar(3)"},
		{"column retyped", "ALTER TABLE readings MODIFY COLUMN device INT", "ALTER TABLE readings MODIFY COLUMN device VARCHAR(191)", "readings.device: expected varchar(191), found int"},
	}
	onBoth(t, func(t *testing.T, st *store) {
		s := st.readings(t)
		at := begin(t, s, 0)
		for i, c := range cases {
			if st.isSQLite() && strings.Contains(c.breakIt, "MODIFY") {
				continue
			}
			u := unitOf(at, 100*i, 20)
			st.exec(t, c.breakIt)
			st.wantDrift(t, s.Write(t.Context(), u), c.want)
			st.wantDrift(t, s.Write(t.Context(), u), c.want)
			if status := s.Status(); status.Ready || !strings.Contains(status.Reason, c.want) {
				t.Errorf("%s: Status = %+v", c.name, status)
			}
			st.exec(t, c.mend)
			mustWrite(t, s, u)
			if err := st.exactlyOnce(t, u.Events); err != nil {
				t.Fatal(err)
			}
			st.exec(t, "DELETE FROM readings")
			at = u.Last
		}
	})
}

// TestMendedTableTakesTheRow: a row that the sink refuses by what it knows of the
// table makes it look again, though not for every row, and a table that was mended
// meanwhile takes the unit.
func TestMendedTableTakesTheRow(t *testing.T) {
	st := mariadbStore(t)
	st.exec(t, "CREATE TABLE typed (event_id BINARY(16) NOT NULL PRIMARY KEY, n TINYINT NOT NULL)")
	s := st.open(t, st.config(Options{Connection: "store", Table: "typed"}))
	u := unitOf(begin(t, s, 0), 0, 0)
	u.Events = []*event.Event{withField(1, "n", event.Int(1)), withField(2, "n", event.Int(1000))}
	if r := st.rejects(t, s, u); len(r) != 1 || r[0].Index != 1 {
		t.Fatalf("rejects = %v; want the second row", r)
	}
	st.exec(t, "ALTER TABLE typed MODIFY n INT NOT NULL")
	s.verified.Store(time.Now().Add(time.Hour).UnixNano())
	if r := st.rejects(t, s, u); len(r) != 1 {
		t.Fatalf("rejects = %v although the table was just looked at", r)
	}
	s.verified.Store(time.Now().Add(-verifyEvery).UnixNano())
	mustWrite(t, s, u)
	if n := st.one(t, "SELECT GROUP_CONCAT(n ORDER BY n) FROM typed"); n != "1,1000" {
		t.Fatalf("stored %s", n)
	}
}

// TestMendedTableTakesWhatItRefused: two lanes meet a column that was narrowed; one
// finds that out and the table is mended before the other has looked.
func TestMendedTableTakesWhatItRefused(t *testing.T) {
	st := mariadbStore(t)
	s := st.readings(t)
	u, other := unitOf(begin(t, s, 0), 0, 5), unitOf(begin(t, s, 1), 100, 5)
	other.Lane = 1
	st.exec(t, "ALTER TABLE readings MODIFY device VARCHAR(3)")
	var once sync.Once
	watch(s, &steps{rolledBack: func() {
		once.Do(func() {
			st.wantDrift(t, s.Write(t.Context(), other), "readings.device")
			st.exec(t, "ALTER TABLE readings MODIFY device VARCHAR(191)")
		})
	}})
	mustWrite(t, s, u)
	mustWrite(t, s, other)
	if err := st.exactlyOnce(t, append(u.Events, other.Events...)); err != nil {
		t.Fatal(err)
	}
}

// TestOtherUniqueKeys: a row that collides in a key of the user's own is a dead
// letter, not a silent no-op; a repeated event id still is none.
func TestOtherUniqueKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		st.exec(t, "CREATE TABLE seats (event_id BINARY(16) NOT NULL PRIMARY KEY, device VARCHAR(50), n INT, UNIQUE (device, n))")
		s := st.open(t, st.config(Options{Connection: "store", Table: "seats", Columns: []Column{{Name: "device"}, {Name: "n"}}}))
		seat := func(id int, n int64) *event.Event { return withDevice(withField(id, "n", event.Int(n)), "a") }
		u := unitOf(begin(t, s, 0), 0, 0)
		u.Events = []*event.Event{seat(1, 1), seat(2, 2), seat(3, 1), seat(4, 4), seat(5, 2)}
		rejects := st.rejects(t, s, u)
		if got := indexes(rejects); !slices.Equal(got, []int{2, 4}) {
			t.Fatalf("rejected %v, want the second of each pair: %v", got, rejects)
		}
		u.Events = []*event.Event{u.Events[0], u.Events[1], u.Events[3]}
		mustWrite(t, s, u)
		again := unitOf(u.Last, 0, 0)
		again.Events = []*event.Event{u.Events[1], seat(6, 6)} // an id from before, in a new unit
		mustWrite(t, s, again)
		if n := st.one(t, "SELECT COUNT(*) FROM seats"); n != "4" {
			t.Fatalf("%s rows, want 4", n)
		}
	})
}

func indexes(rejects []node.EventReject) []int {
	var out []int
	for _, r := range rejects {
		out = append(out, r.Index)
	}
	return out
}

// TestWholeUnitRefused: the server refuses every row; all are named.
func TestWholeUnitRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		st.exec(t, "CREATE TABLE small (event_id BINARY(16) NOT NULL PRIMARY KEY, n INT CHECK (n < 0))")
		s := st.open(t, st.config(Options{Connection: "store", Table: "small", Columns: []Column{{Name: "n"}}, MaxRowsPerInsert: 100}))
		u := unitOf(begin(t, s, 0), 0, 0)
		for i := range 250 {
			u.Events = append(u.Events, withField(i, "n", event.Int(int64(i))))
		}
		if rejects := st.rejects(t, s, u); len(rejects) != 250 || rejects[0].Code != "refused" {
			t.Fatalf("%d rejects, want 250, first %+v", len(rejects), rejects[0])
		}
	})
}

// TestStartTogether opens many sinks at once on an empty database: the engine's
// tables and the user's are made once and nobody fails.
func TestStartTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
				c.Node = fmt.Sprint("rows", i)
				s, err := Open(t.Context(), c)
				if err != nil {
					t.Errorf("Open = %v", err)
					return
				}
				defer s.Close()
				if _, err := s.Position(t.Context(), "readings", 0, laneStart); err != nil {
					t.Errorf("Position = %v", err)
				}
			})
		}
		wg.Wait()
		if n := st.one(t, "SELECT COUNT(*) FROM millrace_positions"); n != "6" {
			t.Errorf("%s positions, want 6", n)
		}
		if v := st.one(t, "SELECT MAX(version_id) FROM millrace_migrations"); v != "1" {
			t.Errorf("version %s, want 1", v)
		}
	})
}

// TestSession reads back what every session of the sink must have.
func TestSession(t *testing.T) {
	st := mariadbStore(t)
	st.dsn += "?sql_mode=%27%27&tx_isolation=%27SERIALIZABLE%27&interpolateParams=false&loc=Local&charset=latin1" // overruled
	s := st.readings(t)
	for name, want := range map[string]string{
		"tx_isolation": "READ-COMMITTED", "innodb_lock_wait_timeout": "5", "idle_write_transaction_timeout": "4",
		"time_zone": "+00:00", "character_set_client": "utf8mb4", "character_set_connection": "utf8mb4", "autocommit": "1",
	} {
		var have string
		if err := s.pool.QueryRow("SELECT @@SESSION." + name).Scan(&have); err != nil || have != want {
			t.Errorf("%s = %q, %v; want %q", name, have, err, want)
		}
	}
	var mode string
	if err := s.pool.QueryRow("SELECT @@SESSION.sql_mode").Scan(&mode); err != nil || !strings.Contains(mode, "STRICT_ALL_TABLES") {
		t.Errorf("sql_mode = %q, %v; want strict", mode, err)
	}
}

// TestSecretsStayHidden: nothing that Open says shows the password.
func TestSecretsStayHidden(t *testing.T) {
	st := mariadbStore(t)
	columns := []Column{{Name: "device"}}
	for _, dsn := range []string{
		strings.Replace(st.dsn, "s3cret", "s3cret-wrong", 1),
		"user:s3cret@tcp(127.0.0.1:1/nothing",
		"user:s3cret@tcp(127.0.0.1:1)/db?timeout=s3cret",
		"user:s3cret@tcp(127.0.0.1:1)/",
		"s3cret", "embedded", "sqlite:", "sqlite:/no/such/s3cret?x", "",
	} {
		c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: columns})
		c.DSN = spec.Secret(dsn)
		_, err := Open(t.Context(), c)
		wantClass(t, err, node.Fatal)
		if text := fmt.Sprintf("%v %+v %#v", err, c, c); strings.Contains(text, "s3cret") {
			t.Errorf("the password shows: %s", text)
		}
	}
}

// TestCheck reports every wrong option at once.
func TestCheck(t *testing.T) {
	o := Options{AutoCreate: true, MaxRowsPerInsert: -1}
	if got := fields(o.Check()); !slices.Equal(got, []string{"table", "max_rows_per_insert", "columns"}) {
		t.Errorf("Check = %v", got)
	}
	o = Options{Table: "t ", Columns: []Column{
		{Name: "a"}, {Name: "A"}, {Name: "event_id"}, {}, {Name: "x", From: "1 +"}, {Name: "y", Type: "varchar(70000)"},
		{Name: "z", Type: "geometry"}, {Name: "d", Type: "decimal(2,5)"}, {Name: "bad\x00"}, {Name: "ok", From: "value * 2", Type: "decimal(10,2)"},
	}}
	want := []string{"table", "columns[1].name", "columns[2].name", "columns[3].name", "columns[4].from", "columns[5].type",
		"columns[6].type", "columns[7].type", "columns[8].name"}
	if got := fields(o.Check()); !slices.Equal(got, want) {
		t.Errorf("Check = %v, want %v", got, want)
	}
	o = Options{Table: "readings", AutoCreate: true, Columns: readingColumns()}
	if errs := o.Check(); len(errs) != 0 {
		t.Errorf("Check = %v", errs)
	}
}

func fields(errs []spec.FieldError) []string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Field)
	}
	return out
}

// TestHostileNames: identifiers are quoted.
func TestHostileNames(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		name := "sel`ect \" x'; --"
		s := st.open(t, st.config(Options{Connection: "store", Table: name, AutoCreate: true, Columns: []Column{{Name: "order` \"by", From: "device"}}}))
		mustWrite(t, s, unitOf(begin(t, s, 0), 0, 3))
		if n := st.one(t, "SELECT COUNT(*) FROM "+s.dialect.quote(name)); n != "3" {
			t.Fatalf("%s rows, want 3", n)
		}
	})
}

// TestColumnsOfTheTable: without columns a table is filled from the fields of its
// columns' names, and expressions reach the rest.
func TestColumnsOfTheTable(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		st.exec(t, "CREATE TABLE plain (event_id BINARY(16) NOT NULL PRIMARY KEY, device VARCHAR(50), value DOUBLE, missing INT)")
		s := st.open(t, st.config(Options{Connection: "store", Table: "plain"}))
		mustWrite(t, s, unitOf(begin(t, s, 0), 7, 1))
		if got := st.one(t, "SELECT CONCAT_WS('|', device, value, missing) FROM plain"); got != "press-07|21.5" {
			t.Errorf("row = %s", got)
		}
		st.exec(t, "CREATE TABLE computed (event_id BINARY(16) NOT NULL PRIMARY KEY, a VARCHAR(50), b DOUBLE, c TEXT)")
		c := st.config(Options{Connection: "store", Table: "computed", Columns: []Column{
			{Name: "a", From: `queue + "/" + device`}, {Name: "b", From: "record.value * 2"}, {Name: "c", From: "record"}}})
		c.Node = "computed"
		s = st.open(t, c)
		mustWrite(t, s, unitOf(begin(t, s, 0), 7, 1))
		if got := st.one(t, "SELECT CONCAT_WS('|', a, b, c) FROM computed"); !strings.HasPrefix(got, `master.plant1/press-07|43|{"plant":"plant1","device":"press-07"`) &&
			!strings.HasPrefix(got, `master.plant1/press-07|43.0|{"plant":"plant1","device":"press-07"`) {
			t.Errorf("row = %s", got)
		}
	})
}

// TestUnknownStream: a unit of a stream that the sink does not read is refused.
func TestUnknownStream(t *testing.T) {
	st := sqliteStore(t)
	c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
	c.Streams = []string{"others"}
	s := st.open(t, c)
	wantClass(t, s.Write(t.Context(), unitOf(laneStart, 0, 1)), node.Fatal)
	_, err := s.Position(t.Context(), "readings", 0, laneStart)
	wantClass(t, err, node.Fatal)
}

// TestPositionMissing: without Position, or with its table emptied, nothing is
// stored; a missing row never passes for a repeat.
func TestPositionMissing(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.readings(t)
		wantClass(t, s.Write(t.Context(), unitOf(laneStart, 0, 1)), node.Fatal)
		at := begin(t, s, 0)
		st.exec(t, "DELETE FROM millrace_positions")
		wantClass(t, s.Write(t.Context(), unitOf(at, 0, 1)), node.Fatal)
		if n := st.one(t, "SELECT COUNT(*) FROM readings"); n != "0" {
			t.Fatalf("%s rows", n)
		}
	})
}

// TestLargePositions: every bit of a position is kept.
func TestLargePositions(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.readings(t)
		start := event.Position{Epoch: 1<<64 - 1, Ms: 1<<63 + 5, Seq: 1<<64 - 2}
		at, err := s.Position(t.Context(), "readings", 0, start)
		if err != nil || at != start {
			t.Fatalf("Position = %s, %v; want %s", at, err, start)
		}
		u := unitOf(start, 0, 1)
		mustWrite(t, s, u)
		mustWrite(t, s, u)
		if at, err = s.Position(t.Context(), "readings", 0, start); err != nil || at != u.Last {
			t.Fatalf("Position = %s, %v; want %s", at, err, u.Last)
		}
	})
}

func withDevice(e *event.Event, device string) *event.Event {
	e.Record = e.Record.With("device", event.String(device))
	return e
}
