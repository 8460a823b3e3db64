package sqlsink

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/spec"
)

func (s *store) examine(t testing.TB, c Config) *Examination {
	t.Helper()
	x, err := Examine(t.Context(), c)
	if err != nil {
		t.Fatalf("Examine = %v", err)
	}
	return x
}

// TestExamineChangesNothing: an empty database is as empty afterwards, and what
// would be created is named; once a sink was open there is nothing left to create.
func TestExamineChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
		x := st.examine(t, c)
		if want := []string{migrationTable, positionsTable, "readings"}; !slices.Equal(x.Creates, want) || x.Problems != nil || x.Rights != nil {
			t.Errorf("examined %+v; want creates %v and nothing else", x, want)
		}
		if names := st.tables(t); names != "" {
			t.Fatalf("tables %s were made", names)
		}
		sink := st.readings(t)
		mustWrite(t, sink, unitOf(begin(t, sink, 0), 0, 3))
		if x = st.examine(t, c); x.Creates != nil || x.Problems != nil || x.Rights != nil {
			t.Errorf("examined %+v; want nothing to create or mend", x)
		}
		if n := st.one(t, "SELECT COUNT(*) FROM readings"); n != "3" {
			t.Errorf("%s rows afterwards; want 3", n)
		}
		if n := st.one(t, "SELECT COUNT(*) FROM millrace_positions"); n != "1" {
			t.Errorf("%s positions afterwards; want 1", n)
		}
	})
}

func (s *store) tables(t testing.TB) string {
	t.Helper()
	if s.isSQLite() {
		return s.one(t, "SELECT GROUP_CONCAT(name) FROM sqlite_master")
	}
	return s.one(t, "SELECT GROUP_CONCAT(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
}

// TestExamineMends: each problem's own statement mends it.
func TestExamineMends(t *testing.T) {
	columns := []Column{{Name: "device"}, {Name: "value", Type: "double"}, {Name: "at", From: "time"}}
	const good = "event_id BINARY(16) PRIMARY KEY, device VARCHAR(191), value DOUBLE, at DATETIME(3)"
	st := mariadbStore(t)
	for name, ddl := range map[string]string{
		"a missing column":     strings.Replace(good, ", device VARCHAR(191)", "", 1),
		"a wrong type":         strings.Replace(good, "value DOUBLE", "value INT", 1),
		"cut milliseconds":     strings.Replace(good, "DATETIME(3)", "DATETIME", 1),
		"no key":               strings.Replace(good, " PRIMARY KEY", "", 1),
		"no id":                strings.Replace(good, "event_id BINARY(16)", "other INT", 1),
		"an id of text":        strings.Replace(good, "BINARY(16)", "CHAR(32)", 1),
		"an unfilled column":   good + ", must INT NOT NULL",
		"an engine of old":     good + ") ENGINE=MyISAM",
		"several, all at once": "event_id BINARY(16) PRIMARY KEY, value INT",
	} {
		t.Run(name, func(t *testing.T) {
			st.exec(t, "DROP TABLE IF EXISTS rows_here")
			st.exec(t, "CREATE TABLE rows_here ("+strings.Replace(ddl+")", "MyISAM)", "MyISAM", 1))
			c := st.config(Options{Connection: "store", Table: "rows_here", Columns: columns})
			for _, p := range st.hasProblems(t, c) {
				st.exec(t, p.Mend)
			}
			if left := st.examine(t, c).Problems; left != nil {
				t.Errorf("left: %+v", left)
			}
		})
	}
}

func (s *store) hasProblems(t testing.TB, c Config) []Problem {
	t.Helper()
	problems := s.examine(t, c).Problems
	if problems == nil {
		t.Fatal("the table fits")
	}
	for _, p := range problems {
		t.Log(p)
	}
	return problems
}

// TestExamineMissingTable: a line of options where the sink can make it, a
// statement where it cannot.
func TestExamineMissingTable(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		c := st.config(Options{Connection: "store", Table: "rows_here", Columns: readingColumns()})
		if p := st.hasProblems(t, c); p[0].Mend != "auto_create: true" {
			t.Errorf("mend %q", p[0].Mend)
		}
		c.Options.Columns = nil
		st.exec(t, st.hasProblems(t, c)[0].Mend)
		if left := st.examine(t, c).Problems; left != nil {
			t.Errorf("left: %v", left)
		}
	})
}

// TestExamineRights: what a user may not do is told with the grant that allows it;
// after that grant nothing is missing, also where a role brings it.
func TestExamineRights(t *testing.T) {
	st := mariadbStore(t)
	user := st.user(t)
	c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
	c.DSN = spec.Secret(user.dsn)
	if _, err := Examine(t.Context(), c); node.ClassOf(err) != node.Fatal || strings.Contains(err.Error(), user.password) {
		t.Errorf("a user without any right: %v; want fatal and no password", err)
	}
	user.grant(t, "GRANT SELECT, INSERT, UPDATE ON %s.* TO %s")
	user.mend(t, c, "readings is to be created, which needs CREATE")
	st.open(t, c)
	user.grant(t, "REVOKE UPDATE, CREATE ON %s.* FROM %s")
	user.mend(t, c, "UPDATE command denied")
	user.grant(t, "REVOKE ALL ON %s.* FROM %s")
	role := "CREATE ROLE " + user.name + "_r; GRANT ALL ON %[1]s.* TO " + user.name + "_r; GRANT " + user.name + "_r TO %[2]s; SET DEFAULT ROLE " + user.name + "_r FOR %[2]s"
	for _, statement := range strings.Split(role, "; ") {
		user.grant(t, statement+"%.0[1]s%.0[2]s")
	}
	st.exec(t, "DROP TABLE readings")
	if x := st.examine(t, c); x.Rights != nil || len(x.Creates) != 1 {
		t.Errorf("with a role: %+v", x)
	}
}

func TestExamineUnreachable(t *testing.T) {
	c := Config{DSN: "u:hidden-word@tcp(127.0.0.1:1)/d", Pipeline: "p", Node: "n", Options: Options{Table: "t"}}
	if _, err := Examine(t.Context(), c); node.ClassOf(err) != node.Away || strings.Contains(err.Error(), "hidden-word") {
		t.Errorf("no server: %v; want away and no password", err)
	}
	c.DSN = "u:hidden-word@tcp(127.0.0.1:1"
	if _, err := Examine(t.Context(), c); node.ClassOf(err) != node.Fatal || !errors.Is(err, errBadDSN) || strings.Contains(err.Error(), "hidden-word") {
		t.Errorf("no DSN: %v; want fatal and no password", err)
	}
}

// TestExamineServer: what the server says of itself; its clock is this machine's.
func TestExamineServer(t *testing.T) {
	st := mariadbStore(t)
	x := st.examine(t, st.config(Options{Connection: "store", Table: "t", Columns: readingColumns()}))
	if x.Product != "MariaDB" || !strings.Contains(x.Version, "MariaDB") || x.MaxPacket != 64<<20 {
		t.Errorf("examined %+v", x)
	}
	if off := x.Clock.Abs() - x.ClockError; off > time.Second {
		t.Errorf("the same clock is %s ahead, %s of which is the line's", x.Clock, x.ClockError)
	}
}

// TestExamineLeavesTheFile: a SQLite file that is not there is not made, and one
// that is there keeps its bytes and its neighbours, whether in use or not.
func TestExamineLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rows.db")
	st := &store{dsn: sqlitePrefix + path}
	c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns()})
	if x := st.examine(t, c); !x.NewFile || x.File != path || len(x.Creates) != 3 {
		t.Errorf("no file: %+v", x)
	}
	unchanged(t, dir, func() { st.examine(t, c) })
	sink, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, sink, unitOf(begin(t, sink, 0), 0, 3))
	unchanged(t, dir, func() { inUse(t, st.examine(t, c)) })
	killed := t.TempDir() // what a killed engine leaves behind
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	unchanged(t, dir, func() { inUse(t, st.examine(t, c)) })
	c.DSN = spec.Secret(sqlitePrefix + filepath.Join(killed, "rows.db"))
	unchanged(t, killed, func() { inUse(t, st.examine(t, c)) })
	if err := os.Remove(filepath.Join(killed, "rows.db-shm")); err != nil {
		t.Fatal(err)
	}
	inUse(t, st.examine(t, c)) // which makes that one file anew, for readers
}

func inUse(t testing.TB, x *Examination) {
	t.Helper()
	if x.NewFile || x.Creates != nil || x.Problems != nil || x.Version == "" {
		t.Errorf("examined %+v", x)
	}
}

// unchanged compares the folder before and after do. The shared memory beside a
// file in use notes its readers.
func unchanged(t testing.TB, dir string, do func()) {
	t.Helper()
	look := func() string {
		var all strings.Builder
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "-shm") {
				text = nil
			}
			fmt.Fprintf(&all, "%s %x\n", filepath.Base(file), sha256.Sum256(text))
		}
		return all.String()
	}
	before := look()
	do()
	if after := look(); after != before {
		t.Errorf("the folder was\n%sand is\n%s", before, after)
	}
}
