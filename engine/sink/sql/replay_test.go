package sqlsink

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// replayOf is a sink of the same node in another generation.
func replayOf(c Config, change func(c *Config)) Config {
	c.Generation = "again"
	change(&c)
	return c
}

// TestOverwrite stores events, then the same ones with other values as another
// generation: only with Overwrite do the rows change, in the configured columns.
func TestOverwrite(t *testing.T) {
	cases := []struct {
		name      string
		overwrite bool
		want      string
	}{
		{"a repeat is a no-op", false, "1:one:kept,2:two:kept,3:three:kept"},
		{"a repeat takes the new values, NULL among them", true, "1:uno:kept,2:-:kept,3:three:kept"},
	}
	onBoth(t, func(t *testing.T, st *store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				st.exec(t, "DROP TABLE IF EXISTS named")
				st.exec(t, "DROP TABLE IF EXISTS millrace_positions")
				st.exec(t, "DROP TABLE IF EXISTS "+migrationTable)
				st.exec(t, "CREATE TABLE named (event_id BINARY(16) NOT NULL PRIMARY KEY, n INT, s VARCHAR(20), mark VARCHAR(9) DEFAULT 'new')")
				config := st.config(Options{Connection: "store", Table: "named", Columns: []Column{{Name: "n"}, {Name: "s"}}})
				live := st.open(t, config)
				mustWrite(t, live, unitWith(begin(t, live, 0), named(1, event.String("one")), named(2, event.String("two"))))
				st.exec(t, "UPDATE named SET mark = 'kept'")
				again := st.open(t, replayOf(config, func(r *Config) { r.Overwrite = c.overwrite }))
				at := begin(t, again, 0)
				if at != laneStart {
					t.Fatalf("the replay begins at %s, want its own %s", at, laneStart)
				}
				mustWrite(t, again, unitWith(at, named(1, event.String("uno")), named(2, event.Null), named(3, event.String("three"))))
				st.exec(t, "UPDATE named SET mark = 'kept' WHERE n = 3")
				got := st.one(t, "SELECT GROUP_CONCAT(x) FROM (SELECT CONCAT(n, ':', COALESCE(s, '-'), ':', mark) AS x FROM named ORDER BY n) y")
				if got != c.want {
					t.Errorf("rows = %s, want %s", got, c.want)
				}
			})
		}
	})
}

// named is the n-th test event with n and s in its record.
func named(n int, s event.Value) *event.Event {
	e := withField(n, "n", event.Int(int64(n)))
	e.Record = e.Record.With("s", s)
	return e
}

func unitWith(after event.Position, events ...*event.Event) *node.Unit {
	u := unitOf(after, 0, 0)
	u.Events = events
	return u
}

// TestOverwriteMeetsAnotherKey: overwriting is by event id alone. A row that
// collides in a key of the user's own is rejected, whether it is new or stored
// already, and the row that it collides with stays.
func TestOverwriteMeetsAnotherKey(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		st.exec(t, "CREATE TABLE named (event_id BINARY(16) NOT NULL PRIMARY KEY, n INT, s VARCHAR(20) UNIQUE)")
		config := st.config(Options{Connection: "store", Table: "named", Columns: []Column{{Name: "n"}, {Name: "s"}}})
		live := st.open(t, config)
		mustWrite(t, live, unitWith(begin(t, live, 0), named(1, event.String("a")), named(2, event.String("b"))))
		again := st.open(t, replayOf(config, func(r *Config) { r.Overwrite = true }))
		u := unitWith(begin(t, again, 0), named(3, event.String("a")), named(2, event.String("a")), named(4, event.String("d")), named(2, event.String("c")))
		err := again.Write(t.Context(), u)
		wantClass(t, err, node.Rejected)
		if got := indexes(err.(*node.RejectedError).Rejects); !slices.Equal(got, []int{0, 1}) {
			t.Fatalf("rejected %v, want the two that collide: %v", got, err)
		}
		mustWrite(t, again, unitWith(u.After, u.Events[2:]...))
		if got := st.one(t, "SELECT GROUP_CONCAT(x) FROM (SELECT CONCAT(n, s) AS x FROM named ORDER BY n) y"); got != "1a,2c,4d" {
			t.Errorf("rows = %s, want 1a,2c,4d", got)
		}
	})
}

// TestOverwriteKeyAddedLater: a key that is added under the running sink, which
// still holds the table for one with the event id alone, lets no event's values
// into another's row.
func TestOverwriteKeyAddedLater(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		st.exec(t, "CREATE TABLE named (event_id BINARY(16) NOT NULL PRIMARY KEY, n INT, s VARCHAR(20))")
		config := st.config(Options{Connection: "store", Table: "named", Columns: []Column{{Name: "n"}, {Name: "s"}}})
		config.Overwrite = true
		s := st.open(t, config)
		u := unitWith(begin(t, s, 0), named(1, event.String("a")))
		mustWrite(t, s, u)
		st.exec(t, "CREATE UNIQUE INDEX only_s ON named (s)")
		wantClass(t, s.Write(t.Context(), unitWith(u.Last, named(2, event.String("a")))), node.Rejected)
		if got := st.one(t, "SELECT CONCAT(n, s) FROM named"); got != "1a" {
			t.Errorf("row = %s, want 1a", got)
		}
	})
}

// liveTable is what a user may have made: further columns, a counter (MariaDB), a
// check, keys and names that need quoting.
func (s *store) liveTable(t testing.TB) {
	if s.isSQLite() {
		s.exec(t, `CREATE TABLE /* the rows */ 'li"ve'  -- of the plant
			(event_id BLOB NOT NULL PRIMARY KEY, n INT CHECK (n < 1000), s VARCHAR(20) DEFAULT 'x', extra TEXT DEFAULT 'none') WITHOUT ROWID`)
		s.exec(t, `CREATE UNIQUE INDEX [by "s" on] /* ON */ ON"li""ve"(s) WHERE n > 0`)
		s.exec(t, `create index plain on [li"ve] (n)`)
		return
	}
	s.exec(t, "CREATE TABLE `li\"ve` (event_id BINARY(16) NOT NULL PRIMARY KEY, n INT CHECK (n < 1000), s VARCHAR(20) DEFAULT 'x' UNIQUE, "+
		"extra TEXT DEFAULT 'none', arrival BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, KEY (arrival))")
}

// TestLike opens sinks on shadow tables: the first makes a copy with all that the
// live table has, and no rows; the next takes it as it is.
func TestLike(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		st.liveTable(t)
		config := st.config(Options{Connection: "store", Table: `li"ve`, Columns: []Column{{Name: "n"}, {Name: "s"}}})
		live := st.open(t, config)
		mustWrite(t, live, unitWith(begin(t, live, 0), named(1, event.String("a")), named(2, event.String("b"))))
		shadow := replayOf(config, func(r *Config) { r.Like, r.Options.Table = `li"ve`, ShadowTable(`li"ve`, "may `1") })
		again := st.open(t, shadow)
		name := again.dialect.quote(shadow.Options.Table)
		if n := st.one(t, "SELECT COUNT(*) FROM "+name); n != "0" {
			t.Fatalf("the copy has %s rows", n)
		}
		at := begin(t, again, 0)
		err := again.Write(t.Context(), unitWith(at, named(3, event.String("c")), named(4, event.String("c")), named(5000, event.String("d"))))
		wantClass(t, err, node.Rejected)
		if got := indexes(err.(*node.RejectedError).Rejects); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("rejected %v, want the one for the unique key and the one for the check: %v", got, err)
		}
		u := unitWith(at, named(1, event.String("a")), named(3, event.String("c")))
		mustWrite(t, again, u)
		if n := st.one(t, "SELECT COUNT(*) FROM "+name+" WHERE extra = 'none'"); n != "2" {
			t.Errorf("%s rows with the column's default, want 2", n)
		}
		if n := st.one(t, "SELECT COUNT(*) FROM "+again.dialect.quote(`li"ve`)); n != "2" {
			t.Errorf("the live table has %s rows, want 2", n)
		}
		if !st.isSQLite() {
			if got := st.one(t, "SELECT CONCAT(MIN(arrival) < MAX(arrival)) FROM "+name); got != "1" {
				t.Error("the copy's counter does not count")
			}
		}
		if err := again.dialect.copyTable(t.Context(), again.db, shadow.Options.Table, `li"ve`); err != nil {
			t.Errorf("a copy that another engine has just made: %v", err)
		}
		resumed := st.open(t, shadow)
		if at := begin(t, resumed, 0); at != u.Last {
			t.Errorf("opened again, it stands at %s, want %s", at, u.Last)
		}
		if n := st.one(t, "SELECT COUNT(*) FROM "+name); n != "2" {
			t.Errorf("opened again, the copy has %s rows, want 2", n)
		}
	})
}

// TestLikeCopiesIndexes: SQLite's indexes are objects of their own.
func TestLikeCopiesIndexes(t *testing.T) {
	st := sqliteStore(t)
	st.liveTable(t)
	st.open(t, st.config(Options{Connection: "store", Table: "copy", Columns: []Column{{Name: "n"}, {Name: "s"}}}).like(`li"ve`))
	const query = "SELECT GROUP_CONCAT(x, '|') FROM (SELECT name || ':' || \"unique\" || partial AS x FROM pragma_index_list('copy') WHERE origin = 'c' ORDER BY name)"
	if got, want := st.one(t, query), `copy__by "s" on:11|copy__plain:00`; got != want {
		t.Errorf("indexes = %s, want %s", got, want)
	}
}

// TestLikeMissing: what happens without the table to copy, and with one that
// cannot be copied.
func TestLikeMissing(t *testing.T) {
	columns := []Column{{Name: "n", Type: "int"}}
	cases := []struct {
		name, ddl string
		o         Options
		want      []string // parts of the text; none: it opens
	}{
		{"auto_create makes the table", "", Options{Table: "copy", AutoCreate: true, Columns: columns}, nil},
		{"the copy goes before auto_create", "CREATE TABLE gone (event_id BINARY(16) PRIMARY KEY, n INT, old INT)",
			Options{Table: "copy", AutoCreate: true, Columns: append([]Column{{Name: "old"}}, columns...)}, nil},
		{"nothing makes the table", "", Options{Table: "copy", Columns: columns}, []string{"copy: no such table"}},
		{"the live table does not fit", "CREATE TABLE gone (event_id BINARY(16) PRIMARY KEY, n SMALLINT)",
			Options{Table: "copy", Columns: columns}, []string{"gone.n: expected int, found smallint"}},
		{"a view", "CREATE VIEW gone AS SELECT 1 AS event_id, 2 AS n", Options{Table: "copy", Columns: columns}, []string{"gone: it is a view"}},
	}
	onBoth(t, func(t *testing.T, st *store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				for _, ddl := range []string{"DROP TABLE IF EXISTS copy", "DROP TABLE IF EXISTS gone", c.ddl} {
					if ddl != "" {
						st.exec(t, ddl)
					}
				}
				s, err := Open(t.Context(), st.config(c.o).like("gone"))
				if len(c.want) == 0 {
					if err != nil {
						t.Fatalf("Open = %v", err)
					}
					s.Close()
					return
				}
				st.wantDrift(t, err, c.want...)
				if _, err := st.db.Exec("SELECT 1 FROM copy"); err == nil {
					t.Error("a table was left behind")
				}
			})
		}
	})
}

func (c Config) like(table string) Config {
	c.Like = table
	return c
}

// TestNamesTooLong: a name that MariaDB could not take is refused, with the table
// and the limit, before anything is made.
func TestNamesTooLong(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		live := strings.Repeat("ü", 50)
		o := Options{Connection: "store", Table: live, AutoCreate: true, Columns: []Column{{Name: "n"}}}
		st.open(t, st.config(o))
		o.AutoCreate = false
		o.Table = ShadowTable(live, "may_1")
		st.open(t, st.config(o).like(live))
		o.Table = ShadowTable(live, "may_01")
		_, err := Open(t.Context(), st.config(o).like(live))
		wantClass(t, err, node.Fatal)
		for _, part := range []string{o.Table, "65 characters", "64"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not say %q", err, part)
			}
		}
		o.Table = "short"
		_, err = Open(t.Context(), st.config(o).like("bad\x00name"))
		wantClass(t, err, node.Fatal)
		if !strings.Contains(err.Error(), "like: ") {
			t.Errorf("error %q does not say which name", err)
		}
	})
}

// TestForget deletes the positions of one generation of one sink of one pipeline.
func TestForget(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		live := st.readings(t)
		again := st.open(t, replayOf(live.cfg, func(*Config) {}))
		sinks := []*Sink{live, again,
			st.open(t, replayOf(live.cfg, func(c *Config) { c.Generation = "other" })),
			st.open(t, replayOf(live.cfg, func(c *Config) { c.Node = "others" })),
			st.open(t, replayOf(live.cfg, func(c *Config) { c.Pipeline = "others" })),
		}
		for _, s := range sinks {
			for lane := range 2 {
				mustWrite(t, s, inLane(unitOf(begin(t, s, lane), 0, 1), lane))
			}
		}
		if err := again.Forget(t.Context()); err != nil {
			t.Fatalf("Forget = %v", err)
		}
		if err := again.Forget(t.Context()); err != nil {
			t.Fatalf("Forget again = %v", err)
		}
		if n := st.one(t, "SELECT COUNT(*) FROM millrace_positions"); n != "8" {
			t.Errorf("%s positions are left, want 8", n)
		}
		if n := st.one(t, "SELECT COUNT(*) FROM millrace_positions WHERE generation = 'again' AND sink = 'rows' AND pipeline = 'mill'"); n != "0" {
			t.Errorf("%s of them are the forgotten ones", n)
		}
		wantClass(t, again.Write(t.Context(), unitOf(laneStart, 1, 1)), node.Fatal)
		wantClass(t, live.Forget(t.Context()), node.Fatal)
		padded := st.open(t, replayOf(live.cfg, func(c *Config) { c.Generation = "live " }))
		wantClass(t, padded.Forget(t.Context()), node.Fatal)
		if n := st.one(t, "SELECT COUNT(*) FROM millrace_positions"); n != "8" {
			t.Errorf("%s positions are left, want 8", n)
		}
	})
}

func inLane(u *node.Unit, lane int) *node.Unit {
	u.Lane = lane
	return u
}

// TestDropTable drops a replay's shadow table and nothing else.
func TestDropTable(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		live := st.readings(t)
		shadow := st.open(t, replayOf(live.cfg, func(c *Config) { c.Like, c.Options.Table = "readings", "readings__replay_x" }))
		asLive := shadow.cfg
		asLive.Generation = ""
		for _, s := range []*Sink{live, st.open(t, replayOf(live.cfg, func(*Config) {})), st.open(t, asLive)} {
			err := s.DropTable(t.Context())
			wantClass(t, err, node.Fatal)
			if !strings.Contains(err.Error(), s.cfg.Options.Table) {
				t.Errorf("error %q does not name the table", err)
			}
		}
		for range 2 {
			if err := shadow.DropTable(t.Context()); err != nil {
				t.Fatalf("DropTable = %v", err)
			}
		}
		if _, err := st.db.Exec("SELECT 1 FROM readings__replay_x"); err == nil {
			t.Error("the shadow table is still there")
		}
		mustWrite(t, live, unitOf(begin(t, live, 0), 0, 1))
	})
}
