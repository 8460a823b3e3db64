package sqlsink

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// typedColumns is one column of each type.
func typedColumns() []Column {
	return []Column{
		{Name: "s", Type: "text"},
		{Name: "v", Type: "varchar(20)"},
		{Name: "f", Type: "double"},
		{Name: "i", Type: "bigint"},
		{Name: "u", Type: "bigint unsigned"},
		{Name: "n", Type: "tinyint"},
		{Name: "d", Type: "decimal(38,12)"},
		{Name: "t", Type: "datetime(3)"},
		{Name: "b", Type: "blob"},
		{Name: "j", Type: "json"},
		{Name: "y", Type: "bool"},
	}
}

func (s *store) typed(t testing.TB) *Sink {
	return s.open(t, s.config(Options{Connection: "store", Table: "typed", AutoCreate: true, Columns: typedColumns()}))
}

// withField is an event whose record has one field.
func withField(n int, name string, v event.Value) *event.Event {
	e := reading(n)
	e.Record = &event.Record{Fields: []event.Field{{Name: name, Value: v}}}
	return e
}

// TestValuesKeepPrecision stores the hardest values of each type and reads them
// back as the database itself shows them.
func TestValuesKeepPrecision(t *testing.T) {
	cases := []struct {
		column string
		value  event.Value
		want   string // of CAST(column AS CHAR), "" for SQL NULL
	}{
		{"i", event.Int(math.MinInt64), "-9223372036854775808"},
		{"i", event.Int(math.MaxInt64), "9223372036854775807"},
		{"i", event.Decimal("9007199254740993"), "9007199254740993"},
		{"i", event.Float(-3), "-3"},
		{"i", event.String("42"), "42"},
		{"n", event.Bool(true), "1"},
		{"d", event.Decimal("12345678901234567890123456.123456789012"), "12345678901234567890123456.123456789012"},
		{"d", event.Decimal("-1.5e-3"), "-0.0015"},
		{"d", event.Float(0.1), "0.1"},
		{"d", event.Int(math.MinInt64), "-9223372036854775808"},
		{"d", event.Decimal("0.0000000000005"), "0.000000000001"},
		{"t", event.Time(base), "2026-03-01 12:00:00.123"},
		{"t", event.Time(-1), "1969-12-31 23:59:59.999"},
		{"t", event.String("2026-03-01T14:00:00.123+02:00"), "2026-03-01 12:00:00.123"},
		{"y", event.Bool(false), "0"},
		{"j", event.JSON(`{"a":[1,2.50,"x'\\y"]}`), `{"a":[1,2.50,"x'\\y"]}`},
		{"j", event.String("a\"b"), `"a\"b"`},
		{"j", event.Decimal("1.10"), "1.10"},
		{"v", event.Float(1.25), "1.25"},
		{"s", event.Decimal("1.10"), "1.10"},
		{"s", event.Null, ""},
		{"s", event.String(""), ""},
	}
	onBoth(t, func(t *testing.T, st *store) {
		s := st.typed(t)
		at := begin(t, s, 0)
		for i, c := range cases {
			u := unitOf(at, 0, 0)
			u.Events = []*event.Event{withField(i, c.column, c.value)}
			mustWrite(t, s, u)
			at = u.Last
			have := st.one(t, "SELECT CAST("+c.column+" AS CHAR) FROM typed WHERE event_id = ?", u.Events[0].ID[:])
			if c.column == "d" && !st.isSQLite() {
				have = strings.TrimSuffix(strings.TrimRight(have, "0"), ".")
			}
			if have != c.want {
				t.Errorf("%s %s = %q, want %q", c.column, c.value.Format(), have, c.want)
			}
		}
		if st.one(t, "SELECT COUNT(*) FROM typed WHERE s = ''") != "1" {
			t.Error("an empty text and NULL are not kept apart")
		}
	})
}

// TestFloatsAreExact stores random bit patterns and compares bits.
func TestFloatsAreExact(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.typed(t)
		rng := rand.New(rand.NewPCG(1, 2))
		u := unitOf(begin(t, s, 0), 0, 0)
		want := map[event.ID]float64{}
		for i := range 5000 {
			f := math.Float64frombits(rng.Uint64())
			if math.IsNaN(f) || math.IsInf(f, 0) {
				f = rng.NormFloat64()
			}
			e := withField(i, "f", event.Float(f))
			u.Events, want[e.ID] = append(u.Events, e), f
		}
		mustWrite(t, s, u)
		rows, err := st.db.Query("SELECT event_id, f FROM typed WHERE f >= ? OR f < ?", 0.0, 0.0) // arguments: the binary protocol
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var id []byte
			var f float64
			if err := rows.Scan(&id, &f); err != nil {
				t.Fatal(err)
			}
			if f != want[event.ID(id)] {
				t.Errorf("%x = %v, want %v", id, f, want[event.ID(id)])
			}
			delete(want, event.ID(id))
		}
		if len(want) != 0 {
			t.Errorf("%d floats did not come back", len(want))
		}
	})
}

// hostileTexts would end a literal, start an argument or be clipped if literals
// were written carelessly.
var hostileTexts = []string{
	`'`, `''`, `\`, `\'`, `\\'`, "a'b\"c`d", "'; DROP TABLE typed; -- ", "?", "??,?)", "@name @@x :y $1", "%s%d",
	"\x00", "a\x00b", "\x1a", "\n\r\t\b", "\x7f", "ü€😀", "'ü'", "/* */ -- #", `_utf8mb4 x'41'`, "\u2028", "\ufeff", " trailing ", "ｆｕｌｌ",
}

// TestTextsAreData writes texts that look like SQL and reads back the same bytes,
// whatever the session's sql_mode says about backslashes.
func TestTextsAreData(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.typed(t)
		var texts []string
		texts = append(texts, hostileTexts...)
		rng := rand.New(rand.NewPCG(3, 4))
		for range 500 {
			texts = append(texts, randomText(rng))
		}
		st.sameTexts(t, s, texts)
		if st.isSQLite() {
			return
		}
		st.exec(t, "SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, ',NO_BACKSLASH_ESCAPES,ANSI_QUOTES')")
		defer st.exec(t, "SET GLOBAL sql_mode = DEFAULT")
		st.exec(t, "DELETE FROM typed")
		st.sameTexts(t, s, hostileTexts)
	})
}

func randomText(rng *rand.Rand) string {
	alphabet := []rune("'\\\"`?@%_-#;\x00\n ab0é漢😀")
	out := make([]rune, rng.IntN(20))
	for i := range out {
		out[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return string(out)
}

func (s *store) sameTexts(t *testing.T, sink *Sink, texts []string) {
	t.Helper()
	u := unitOf(begin(t, sink, 0), 0, 0)
	for i, text := range texts {
		e := withField(i, "s", event.String(text))
		e.Record = e.Record.With("b", event.Bytes([]byte(text)))
		u.Events = append(u.Events, e)
	}
	mustWrite(t, sink, u)
	for i, e := range u.Events {
		var text, bytes []byte
		if err := s.db.QueryRow("SELECT s, b FROM typed WHERE event_id = ?", e.ID[:]).Scan(&text, &bytes); err != nil {
			t.Fatal(err)
		}
		if string(text) != texts[i] || string(bytes) != texts[i] {
			t.Errorf("text %q came back as %q, bytes as %q", texts[i], text, bytes)
		}
	}
}

// FuzzTextLiteral checks, without a server, that a literal ends where it should:
// plain text between quotes, or hexadecimal digits.
func FuzzTextLiteral(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lit := string(mariadb{}.appendText(nil, s))
		if body, ok := strings.CutPrefix(lit, "_utf8mb4 x'"); ok {
			if back, err := hex.DecodeString(strings.TrimSuffix(body, "'")); err != nil || string(back) != s {
				t.Fatalf("%q became %s", s, lit)
			}
			return
		}
		if lit != "'"+s+"'" || strings.ContainsAny(s, "'\\\x00\n\x1a") {
			t.Fatalf("%q became %s", s, lit)
		}
	})
}

// TestBadValues lists values that no column takes; each is refused before the
// server sees it, with a code.
func TestBadValues(t *testing.T) {
	cases := []struct {
		column string
		value  event.Value
		code   string
	}{
		{"v", event.String(strings.Repeat("ü", 21)), "too_long"},
		{"s", event.String(strings.Repeat("x", 70000)), "too_long"},
		{"s", event.String("\xff\xfe"), "invalid_utf8"},
		{"s", event.Bytes([]byte{1}), "wrong_type"},
		{"i", event.Decimal("9223372036854775808"), "out_of_range"},
		{"i", event.Float(1.5), "not_whole"},
		{"i", event.Float(1e300), "not_whole"},
		{"i", event.String("12x"), "bad_number"},
		{"u", event.Int(-1), "out_of_range"},
		{"n", event.Int(128), "out_of_range"},
		{"f", event.Float(math.NaN()), "not_finite"},
		{"f", event.Float(math.Inf(1)), "not_finite"},
		{"f", event.Decimal("1e400"), "bad_number"},
		{"f", event.String("1,5"), "bad_number"},
		{"d", event.Decimal("1e27"), "out_of_range"},
		{"d", event.Float(math.Inf(-1)), "not_finite"},
		{"d", event.String("one"), "bad_number"},
		{"t", event.String("yesterday"), "bad_time"},
		{"t", event.Time(1 << 50), "out_of_range"},
		{"t", event.Bool(true), "wrong_type"},
		{"b", event.Int(1), "wrong_type"},
		{"y", event.Int(2), "out_of_range"},
	}
	onBoth(t, func(t *testing.T, st *store) {
		s := st.typed(t)
		u := unitOf(begin(t, s, 0), 0, 0)
		for i, c := range cases {
			u.Events = append(u.Events, withField(2*i, c.column, c.value), withField(2*i+1, "i", event.Int(int64(i))))
		}
		rejects := st.rejects(t, s, u)
		if len(rejects) != len(cases) {
			t.Fatalf("%d rejects, want %d: %v", len(rejects), len(cases), rejects)
		}
		for i, c := range cases {
			r := rejects[i]
			if r.Index != 2*i || r.Code != c.code || !strings.Contains(r.Text, "column "+c.column) {
				t.Errorf("%s %s: rejected as %+v, want event %d, %s", c.column, c.value.Kind(), r, 2*i, c.code)
			}
		}
	})
}

// rejects writes u, expects a RejectedError and nothing stored.
func (s *store) rejects(t testing.TB, sink *Sink, u *node.Unit) []node.EventReject {
	t.Helper()
	err := sink.Write(t.Context(), u)
	wantClass(t, err, node.Rejected)
	if n := s.one(t, "SELECT COUNT(*) FROM "+sink.cfg.Options.Table); n != "0" {
		t.Fatalf("%s rows were stored beside rejects", n)
	}
	rejected, ok := err.(*node.RejectedError)
	if !ok {
		t.Fatalf("error is a %T", err)
	}
	return rejected.Rejects
}

// TestInsertIgnoreControl shows why the sink never says INSERT IGNORE: it stores
// what is not in the data, and nobody hears of it.
func TestInsertIgnoreControl(t *testing.T) {
	st := mariadbStore(t)
	required := false
	s := st.open(t, st.config(Options{Connection: "store", Table: "typed", AutoCreate: true, Columns: []Column{
		{Name: "n", Type: "tinyint", Nullable: &required}, {Name: "v", Type: "varchar(3)"},
	}}))
	u := unitOf(begin(t, s, 0), 0, 0)
	clipped, null := withField(1, "n", event.Int(1000)), withField(2, "v", event.String("ab"))
	long := withField(3, "n", event.Int(1))
	long.Record = long.Record.With("v", event.String("abcdef"))
	u.Events = []*event.Event{clipped, null, long}
	if n := len(st.rejects(t, s, u)); n != 3 {
		t.Fatalf("the sink rejects %d rows, want all 3", n)
	}
	st.exec(t, "SET sql_mode = 'STRICT_ALL_TABLES'")
	for i, e := range u.Events {
		st.exec(t, "INSERT IGNORE INTO typed VALUES (?, ?, ?)", e.ID[:],
			[]any{1000, nil, 1}[i], []any{nil, "ab", "abcdef"}[i])
	}
	have := st.one(t, "SELECT GROUP_CONCAT(n, ':', COALESCE(v, '-') ORDER BY event_id) FROM typed")
	if have != "127:-,0:ab,1:abc" {
		t.Fatalf("INSERT IGNORE stored %s; the control is out of date", have)
	}
}

// TestPacketBound stores rows that together are far larger than one packet, and
// rejects one that is larger alone.
func TestPacketBound(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.typed(t)
		if !st.isSQLite() {
			s.statement = 300 << 10 // as if the server took no more
		}
		u := unitOf(begin(t, s, 0), 0, 0)
		for i := range 40 {
			size := []int{10, 60_000, 200, 30_000}[i%4]
			u.Events = append(u.Events, withField(i, "s", event.String(strings.Repeat("a", size))))
		}
		mustWrite(t, s, u)
		if n := st.one(t, "SELECT CONCAT_WS(':', COUNT(*), SUM(LENGTH(s))) FROM typed"); n != "40:902100" {
			t.Fatalf("count and bytes = %s", n)
		}
		st.exec(t, "DELETE FROM typed")
		big := unitOf(u.Last, 0, 0)
		s.statement = 50 << 10
		big.Events = []*event.Event{reading(100), withField(101, "s", event.String(strings.Repeat("a", 60_000)))}
		if r := st.rejects(t, s, big); len(r) != 1 || r[0].Index != 1 || r[0].Code != "too_long" {
			t.Fatalf("rejects = %v", r)
		}
	})
}

// TestRealPacketLimit fills statements up to what the real server takes. Its
// lease is long: where the race detector encodes 16 MiB within the transaction on
// a busy machine, the server would end that as one that stands still.
func TestRealPacketLimit(t *testing.T) {
	st := mariadbStore(t)
	cfg := st.config(Options{Connection: "store", Table: "typed", AutoCreate: true, Columns: []Column{{Name: "b", Type: "bytes"}}})
	cfg.LeaseTTL = 5 * time.Minute
	s := st.open(t, cfg)
	packet, err := strconv.Atoi(st.one(t, "SELECT @@max_allowed_packet"))
	if err != nil || s.statement < packet/2 {
		t.Fatalf("statements have at most %d bytes, the server takes %d (%v)", s.statement, packet, err)
	}
	u := unitOf(begin(t, s, 0), 0, 0)
	room := (s.statement - len("INSERT INTO `typed` (`event_id`, `b`) VALUES (x'',x'')") - 32 - len(s.schema.Load().tail)) / 2
	u.Events = []*event.Event{withField(1, "b", event.Bytes(make([]byte, room)))}
	mustWrite(t, s, u)
	over := unitOf(u.Last, 0, 0)
	over.Events = []*event.Event{withField(2, "b", event.Bytes(make([]byte, room+1)))}
	wantClass(t, s.Write(t.Context(), over), node.Rejected)
}

// TestPlainDecimal compares with what MariaDB's DECIMAL makes of the same text.
func TestPlainDecimal(t *testing.T) {
	st := mariadbStore(t)
	rng := rand.New(rand.NewPCG(5, 6))
	typ, err := parseType("decimal(20,6)")
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		text := fmt.Sprintf("%d.%0*d", rng.Int64N(1<<40)-1<<39, 1+rng.IntN(12), rng.Int64N(10))
		if rng.IntN(2) == 0 {
			text += fmt.Sprintf("e%d", rng.IntN(28)-26)
		}
		have, problem := plainDecimal(text, &typ)
		var want sql.NullString
		if err := st.db.QueryRow("SELECT CAST(CAST(? AS DECIMAL(65,38)) AS DECIMAL(20,6))", text).Scan(&want); err != nil {
			t.Fatal(err)
		}
		trimmed := strings.TrimSuffix(strings.TrimRight(want.String, "0"), ".")
		if trimmed == "" || trimmed == "-0" {
			trimmed = "0"
		}
		if problem != nil || have != trimmed {
			t.Errorf("plainDecimal(%s) = %s, %v; the server says %s", text, have, problem, trimmed)
		}
	}
}

// TestClipIsText: error texts quote only the head of a value, and stay valid.
func TestClipIsText(t *testing.T) {
	if got := clip(strings.Repeat("ü", 50)); !utf8.ValidString(got) || len(got) > 50 {
		t.Fatalf("clip = %q", got)
	}
}
