package sqlsink

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"gorm.io/gorm"
)

// mixedColumns has one column of each kind that is compared in a way of its own.
func mixedColumns() []Column {
	return []Column{
		{Name: "n", Type: "int"},
		{Name: "s", Type: "varchar(20)"},
		{Name: "f", Type: "double"},
		{Name: "d", Type: "decimal(20,6)"},
		{Name: "at", Type: "datetime(3)"},
		{Name: "b", Type: "varbinary(400)"},
	}
}

// shadowOf opens a sink of live and one of its shadow, which it returns.
func (s *store) shadowOf(t testing.TB, live string, columns []Column) *Sink {
	t.Helper()
	config := s.config(Options{Connection: "store", Table: live, AutoCreate: true, Columns: columns})
	s.open(t, config)
	return s.open(t, replayOf(config, func(c *Config) { c.Like, c.Options.Table = live, ShadowTable(live, "x") }))
}

// fill replaces table's rows; each is its id's last number and the columns' values
// as literals.
func (s *store) fill(t testing.TB, table string, rows ...string) {
	t.Helper()
	s.exec(t, "DELETE FROM "+table)
	for _, row := range rows {
		id, values, _ := strings.Cut(row, "|")
		s.exec(t, fmt.Sprintf("INSERT INTO %s VALUES (x'%032s', %s)", table, id, values))
	}
}

// compareCase is two tables and what their comparison gives, as JSON, whatever
// the size of the chunks.
type compareCase struct {
	name        string
	here, there []string
	o           CompareOptions
	want        string
}

// The rows of cases; NULLs stand for the columns that a case is not about.
func text(id int, s string) string { return fmt.Sprintf("%d|1, %s, NULL, NULL, NULL, NULL", id, s) }
func double(id int, f string) string {
	return fmt.Sprintf("%d|1, 'a', %s, NULL, NULL, NULL", id, f)
}
func decimal(id int, d string) string {
	return fmt.Sprintf("%d|1, 'a', NULL, '%s', NULL, NULL", id, d)
}

func (c compareCase) run(t *testing.T, st *store, shadow *Sink) {
	st.fill(t, "mixed__replay_x", c.here...)
	st.fill(t, "mixed", c.there...)
	for _, chunk := range []int{1, 2, 3, compareChunk} {
		got, err := shadow.compare(t.Context(), "mixed", c.o, chunk)
		if err != nil {
			t.Fatalf("Compare = %v", err)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != c.want {
			t.Fatalf("in chunks of %d rows\ngot  %s\nwant %s", chunk, text, c.want)
		}
	}
}

func runCompareCases(t *testing.T, cases []compareCase) {
	onBoth(t, func(t *testing.T, st *store) {
		shadow := st.shadowOf(t, "mixed", mixedColumns())
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { c.run(t, st, shadow) })
		}
	})
}

// found writes the JSON of a comparison without a sample.
func found(here, there, onlyHere, onlyThere, different int, columns string) string {
	return fmt.Sprintf(`{"rows_here":%d,"rows_there":%d,"only_here":%d,"only_there":%d,"different":%d,"columns":[%s],"sample":[]}`,
		here, there, onlyHere, onlyThere, different, columns)
}

const id31 = "0000000000000000000000000000000" // an id but for its last digit

// TestCompareRows: which rows are counted and shown.
func TestCompareRows(t *testing.T) {
	some := []string{text(2, "'a'"), text(4, "'b'"), text(6, "NULL")}
	cases := []compareCase{
		{"equal tables", some, some, CompareOptions{}, found(3, 3, 0, 0, 0, "")},
		{"no rows at all", nil, nil, CompareOptions{}, found(0, 0, 0, 0, 0, "")},
		{"no rows here", nil, some, CompareOptions{}, found(0, 0, 0, 0, 0, "")},
		{"no rows there", some[:1], nil, CompareOptions{},
			`{"rows_here":1,"rows_there":0,"only_here":1,"only_there":0,"different":0,"columns":[],"sample":[{"event_id":"` + id31 + `2","kind":"only_here"}]}`},
		{"rows there outside the range do not count", some, append([]string{text(1, "'x'"), text(7, "'x'")}, some...), CompareOptions{}, found(3, 3, 0, 0, 0, "")},
		{"rows of one table, and one that differs", append([]string{text(3, "'x'")}, some...), []string{text(1, "'x'"), text(2, "'A'"), text(4, "'b'"), text(5, "'x'"), text(6, "NULL")},
			CompareOptions{}, `{"rows_here":4,"rows_there":4,"only_here":1,"only_there":1,"different":1,"columns":[{"name":"s","different":1}],"sample":[` +
				`{"event_id":"` + id31 + `2","kind":"different","columns":{"s":["a","A"]}},{"event_id":"` + id31 + `3","kind":"only_here"},{"event_id":"` + id31 + `5","kind":"only_there"}]}`},
		{"a partial replay misses nothing", some, []string{text(2, "'a'"), text(3, "'x'"), text(4, "'b'"), text(5, "'x'")}, CompareOptions{Partial: true},
			`{"rows_here":3,"rows_there":4,"only_here":1,"different":0,"columns":[],"sample":[{"event_id":"` + id31 + `6","kind":"only_here"}]}`},
		{"columns are counted each, rows once", []string{"1|1, 'a', 1, '1', '2026-03-01 12:00:00.123', x'00ff'", "2|1, 'a', 1, '1', NULL, NULL"},
			[]string{"1|2, 'a', 1, '1', '2026-03-01 12:00:00.124', x'00'", "2|2, 'a', 1, '1', NULL, NULL"}, CompareOptions{Sample: 1},
			`{"rows_here":2,"rows_there":2,"only_here":0,"only_there":0,"different":2,"columns":[{"name":"n","different":2},{"name":"at","different":1},{"name":"b","different":1}],"sample":[` +
				`{"event_id":"` + id31 + `1","kind":"different","columns":{"at":["2026-03-01 12:00:00.123","2026-03-01 12:00:00.124"],"b":["00ff","00"],"n":["1","2"]}}]}`},
	}
	runCompareCases(t, cases)
}

// TestCompareValues: which values are equal.
func TestCompareValues(t *testing.T) {
	differ := func(column string, n int) string {
		return found(3, 3, 0, 0, n, fmt.Sprintf(`{"name":%q,"different":%d}`, column, n))
	}
	texts := func(of func(int, string) string, a, b, c string) []string {
		return []string{of(1, a), of(2, b), of(3, c)}
	}
	exact, near := CompareOptions{Sample: -1}, CompareOptions{Sample: -1, Tolerance: 0.01}
	cases := []compareCase{
		{"NULL is equal to NULL alone", texts(text, "NULL", "NULL", "''"), texts(text, "NULL", "''", "NULL"), exact, differ("s", 2)},
		{"text is compared byte by byte", texts(text, "'a'", "'a'", "'ß'"), texts(text, "'A'", "'a '", "'ss'"), exact, differ("s", 3)},
		{"doubles are compared to the last bit", texts(double, "0.1e0 + 0.2e0", "1e300", "-0e0"), texts(double, "0.3e0", "1e300", "0e0"), exact, differ("f", 1)},
		{"without tolerance nothing is near", texts(double, "100", "-100", "0"), texts(double, "100.5", "-100.5", "1e-300"), exact, differ("f", 3)},
		{"within tolerance", texts(double, "100", "-100", "1e300"), texts(double, "100.5", "-100.5", "0.995e300"), near, found(3, 3, 0, 0, 0, "")},
		{"just within and just beyond, of the larger one", texts(double, "99.005", "100", "-98.99"), texts(double, "100", "99.005", "-100"), near, differ("f", 1)},
		{"beyond tolerance: signs and zeros", texts(double, "1", "0", "1e308"), texts(double, "-1", "1e-300", "-1e308"), near, differ("f", 3)},
		{"NULL is not near a number", texts(double, "NULL", "0", "NULL"), texts(double, "0", "NULL", "NULL"), near, differ("f", 2)},
		{"tolerance is for fractions only", []string{"1|1000, 'a', 1, '1', NULL, NULL"}, []string{"1|1001, 'a', 1, '1', NULL, NULL"}, near, found(1, 1, 0, 0, 1, `{"name":"n","different":1}`)},
		{"decimals are numbers, not texts", texts(decimal, "1.50", "100", "-0.1"), texts(decimal, "1.5", "100.000", "-0.100000"), exact, found(3, 3, 0, 0, 0, "")},
		{"decimals are compared to the last digit", texts(decimal, "12345678901234.000001", "100", "1"), texts(decimal, "12345678901234.000002", "1", "100"), exact, differ("d", 3)},
		{"decimals within and beyond tolerance", texts(decimal, "99.01", "98.99", "9"), texts(decimal, "100", "100", "10"), near, differ("d", 2)},
	}
	runCompareCases(t, cases)
}

// TestCompareShows: the sample's size and its texts.
func TestCompareShows(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		shadow := st.shadowOf(t, "mixed", mixedColumns())
		var here, there []string
		for id := 10; id < 34; id += 2 {
			here = append(here, double(id, "0.1e0 + 0.2e0"), text(id+1, "'only'"))
			there = append(there, double(id, "0.3e0"))
		}
		long := "1|1, '" + strings.Repeat("é", 20) + "', 1, '12345678901234.123456', NULL, x'" + strings.Repeat("ab", 300) + "'"
		st.fill(t, "mixed__replay_x", append(here, long)...)
		st.fill(t, "mixed", append(there, "1|1, NULL, 1, '0', NULL, NULL")...)
		for sample, want := range map[int]int{0: 10, 1: 1, 14: 14, 25: 25, 100: 25, -1: 0} {
			for _, chunk := range []int{1, 4, compareChunk} {
				got, err := shadow.compare(t.Context(), "mixed", CompareOptions{Sample: sample}, chunk)
				if err != nil || got.RowsHere != 25 || got.Different != 13 || got.OnlyHere != 12 {
					t.Fatalf("Compare = %+v, %v", got, err)
				}
				wantSample(t, got.Sample, want)
			}
		}
		got, err := shadow.Compare(t.Context(), "mixed", CompareOptions{Sample: 2})
		if err != nil {
			t.Fatal(err)
		}
		first, _ := json.Marshal(got.Sample[0].Columns)
		if want := `{"b":["` + strings.Repeat("ab", 250) + `",null],"d":["12345678901234.123456","0` + zeros(st) + `"],"s":["` + strings.Repeat("é", 20) + `",null]}`; string(first) != want {
			t.Errorf("shown %s, want %s", first, want)
		}
		second, _ := json.Marshal(got.Sample[1].Columns)
		if want := `{"f":["0.30000000000000004","0.3"]}`; string(second) != want {
			t.Errorf("shown %s, want %s", second, want)
		}
	})
}

// zeros is what MariaDB shows behind a whole decimal of mixedColumns.
func zeros(st *store) string {
	if st.isSQLite() {
		return ""
	}
	return ".000000"
}

// wantSample checks the number of rows and their order: kinds, then ids.
func wantSample(t *testing.T, sample []RowDifference, n int) {
	t.Helper()
	if len(sample) != n {
		t.Fatalf("%d rows are shown, want %d", len(sample), n)
	}
	for i, row := range sample {
		kind := KindOnlyHere
		if i < 13 {
			kind = KindDifferent
		}
		if row.Kind != kind || i > 0 && sample[i-1].Kind == kind && sample[i-1].EventID >= row.EventID {
			t.Errorf("row %d is %s %s, after %v", i, row.Kind, row.EventID, sample[:i])
		}
	}
}

// TestCompareOtherTypes: the live table's columns may be of other types and
// collations, and its keys' and columns' names of any characters.
func TestCompareOtherTypes(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		nocase, binary := "COLLATE NOCASE", "BLOB"
		if !st.isSQLite() {
			nocase, binary = "CHARACTER SET latin1 COLLATE latin1_german1_ci", "BINARY(16)"
		}
		st.exec(t, "CREATE TABLE odd (`EVENT_ID` "+binary+" NOT NULL PRIMARY KEY, `wh?t @x` VARCHAR(20) "+nocase+", d DOUBLE, r VARCHAR(20))")
		st.exec(t, "CREATE TABLE odd__replay_x (event_id "+binary+" NOT NULL PRIMARY KEY, `wh?t @x` VARCHAR(20) "+nocase+", d VARCHAR(20), r DOUBLE)")
		s := st.open(t, st.config(Options{Connection: "store", Table: "odd__replay_x", Columns: []Column{{Name: "wh?t @x"}, {Name: "d"}, {Name: "r"}}}))
		st.fill(t, "odd__replay_x", "1|'a', NULL, NULL", "2|'ä', NULL, NULL", "3|'a', NULL, NULL", "4|'ü', NULL, NULL", "5|'a', 'abc', 0")
		st.fill(t, "odd", "1|'A', NULL, NULL", "2|'ä', NULL, NULL", "3|'a ', NULL, NULL", "4|'ü', NULL, NULL", "5|'a', 0, 'abc'")
		got, err := s.Compare(t.Context(), "odd", CompareOptions{Tolerance: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(got.Different, got.Columns); text != "3 [{wh?t @x 2} {d 1} {r 1}]" {
			t.Errorf("different: %s", text)
		}
	})
}

// TestCompareShowsFloats: MariaDB shows six digits of a FLOAT, which do not tell it
// from its neighbours.
func TestCompareShowsFloats(t *testing.T) {
	st := mariadbStore(t)
	s := st.shadowOf(t, "halves", []Column{{Name: "f", Type: "float"}})
	st.fill(t, "halves__replay_x", "1|0.1e0")
	st.fill(t, "halves", "1|0.10000001e0")
	got, err := s.Compare(t.Context(), "halves", CompareOptions{})
	if err != nil || len(got.Sample) != 1 {
		t.Fatalf("Compare = %+v, %v", got, err)
	}
	if pair := got.Sample[0].Columns["f"]; *pair[0] == *pair[1] {
		t.Errorf("both are shown as %s", *pair[0])
	}
}

// TestCompareReplays writes readings as two generations, more than one chunk of
// them, and compares what was stored.
func TestCompareReplays(t *testing.T) {
	const n = compareChunk + 500
	onBoth(t, func(t *testing.T, st *store) {
		live := st.readings(t)
		shadow := st.open(t, replayOf(live.cfg, func(c *Config) { c.Like, c.Options.Table = "readings", "readings__replay_x" }))
		u := unitOf(begin(t, live, 0), 0, n)
		mustWrite(t, live, u)
		again := unitOf(begin(t, shadow, 0), 0, n)
		again.Events[7] = withDevice(again.Events[7], "another")
		again.Events[n-2].Record = again.Events[n-2].Record.With("value", event.Null)
		missed := again.Events[n-3].ID.String()
		again.Events = append(again.Events[:n-3], again.Events[n-2:]...)
		mustWrite(t, shadow, again)
		got, err := shadow.Compare(t.Context(), "readings", CompareOptions{Tolerance: 1e-9})
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(got.RowsHere, got.RowsThere, got.OnlyHere, *got.OnlyThere, got.Different, got.Columns)
		if want := fmt.Sprint(n-1, n, 0, 1, 2, " [{device 1} {value 1}]"); text != want {
			t.Errorf("Compare = %s, want %s", text, want)
		}
		if last := got.Sample[len(got.Sample)-1]; len(got.Sample) != 3 || last.EventID != missed || last.Kind != KindOnlyThere {
			t.Errorf("sample = %+v, want %s last", got.Sample, missed)
		}
	})
}

// TestCompareRefuses: what cannot be compared is Fatal, what may work later Away.
func TestCompareRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.shadowOf(t, "mixed", mixedColumns())
		st.exec(t, "CREATE TABLE fewer (event_id BINARY(16) PRIMARY KEY, n INT, s TEXT, f DOUBLE, d DOUBLE)")
		st.exec(t, "CREATE TABLE keyless (event_id BINARY(16), n INT, s TEXT, f DOUBLE, d DOUBLE, at DATETIME, b BLOB)")
		for _, c := range []struct{ live, want string }{
			{"nowhere", "nowhere: no such table"},
			{"fewer", "fewer.at: no such column; fewer.b: no such column"},
			{"keyless", "keyless: expected primary key (event_id), found ()"},
		} {
			_, err := s.Compare(t.Context(), c.live, CompareOptions{})
			st.wantDrift(t, err, c.want)
		}
		_, err := s.Compare(t.Context(), "mixed__replay_x", CompareOptions{})
		wantClass(t, err, node.Fatal)
		for _, tolerance := range []float64{-0.1, 1, math.NaN(), math.Inf(1)} {
			_, err := s.Compare(t.Context(), "mixed", CompareOptions{Tolerance: tolerance})
			wantClass(t, err, node.Fatal)
		}
		st.fill(t, "mixed__replay_x", text(1, "'a'"))
		ctx, stop := context.WithCancel(t.Context())
		listen(s, func(string) { stop() })
		_, err = s.Compare(ctx, "mixed", CompareOptions{})
		wantClass(t, err, node.Away)
		listen(s, func(string) { st.db.Exec("DROP TABLE mixed") })
		_, err = s.Compare(t.Context(), "mixed", CompareOptions{})
		if err == nil || node.ClassOf(err) == node.Rejected {
			t.Errorf("Compare of a table that goes = %v (%s)", err, node.ClassOf(err))
		}
	})
}

// listener calls before with each question that a transaction asks.
type listener struct {
	*sql.DB
	before func(query string)
}

type heardTx struct {
	*sql.Tx
	before func(query string)
}

func listen(s *Sink, before func(query string)) {
	l := &listener{s.pool, before}
	s.db.ConnPool, s.db.Statement.ConnPool = l, l
}

func (l *listener) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := l.DB.BeginTx(ctx, opts)
	return &heardTx{tx, l.before}, err
}

func (t *heardTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	t.before(query)
	return t.Tx.QueryContext(ctx, query, args...)
}

func (t *heardTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	t.before(query)
	return t.Tx.QueryRowContext(ctx, query, args...)
}

// TestCompareSeesOneMoment: a live sink that writes meanwhile is neither held up
// nor seen.
func TestCompareSeesOneMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.shadowOf(t, "mixed", mixedColumns())
		st.fill(t, "mixed__replay_x", text(1, "'a'"), text(9, "'b'"))
		st.fill(t, "mixed", text(1, "'a'"), text(9, "'b'"))
		questions := 0
		listen(s, func(string) {
			if questions++; questions > 1 { // the first one sets the moment
				st.exec(t, fmt.Sprintf("INSERT INTO mixed VALUES (x'%032d', %s)", questions, strings.TrimPrefix(text(1, "'new'"), "1|")))
				st.exec(t, "UPDATE mixed SET s = 'changed' WHERE event_id = x'"+id31+"1'")
			}
		})
		got, err := s.Compare(t.Context(), "mixed", CompareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := json.Marshal(got); string(text) != found(2, 2, 0, 0, 0, "") || questions < 3 {
			t.Errorf("after %d questions Compare = %s", questions, text)
		}
	})
}

// TestCompareReadsItsRangeOnly counts what is read of a live table that has far
// more rows outside of the range: MariaDB's own counters, SQLite's plans.
func TestCompareReadsItsRangeOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.shadowOf(t, "mixed", mixedColumns())
		st.exec(t, `INSERT INTO mixed (event_id, s) WITH RECURSIVE counted(i) AS (SELECT 100000 UNION ALL SELECT i + 1 FROM counted WHERE i < 100900)
			SELECT `+map[bool]string{true: "CAST('0000000000' || i AS BLOB)", false: "CONCAT('0000000000', i)"}[st.isSQLite()]+`, 'a' FROM counted`)
		st.exec(t, "INSERT INTO mixed__replay_x (event_id, s) SELECT event_id, 'b' FROM mixed WHERE event_id BETWEEN x'"+fmt.Sprintf("%x", "0000000000100500")+
			"' AND x'"+fmt.Sprintf("%x", "0000000000100509")+"'")
		var plans []string
		read := 0
		if st.isSQLite() {
			listen(s, func(query string) { plans = append(plans, query) })
		} else {
			s.pool.SetMaxOpenConns(1)
			read = -rowsRead(t, s.pool)
		}
		got, err := s.compare(t.Context(), "mixed", CompareOptions{}, 4)
		if err != nil || got.RowsHere != 10 || got.RowsThere != 10 || got.Different != 10 || len(got.Sample) != 10 {
			t.Fatalf("Compare = %+v, %v", got, err)
		}
		if !st.isSQLite() {
			if read += rowsRead(t, s.pool); read < 20 || read > 300 {
				t.Errorf("%d rows were read, of 10 here and 901 there", read)
			}
		}
		for _, query := range plans[min(1, len(plans)):] { // the first one asks for the ends of the shadow
			wantNoScan(t, st, query)
		}
	})
}

// rowsRead returns how many rows the session has read of tables on disk so far.
func rowsRead(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	if err := db.QueryRow("SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME IN " +
		"('HANDLER_READ_KEY', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV', 'HANDLER_READ_RND_NEXT')").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantNoScan(t *testing.T, st *store, query string) {
	t.Helper()
	rows, err := st.db.Query("EXPLAIN QUERY PLAN " + query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	steps := 0
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := errors.Join(rows.Scan(&id, &parent, &unused, &detail)); err != nil {
			t.Fatal(err)
		}
		steps++
		if strings.Contains(detail, "SCAN") || strings.Contains(detail, "TEMP B-TREE") {
			t.Errorf("%s\nfor %s", detail, query)
		}
	}
	if steps == 0 {
		t.Errorf("no plan for %s", query)
	}
}
