//go:build bench

package bench

import (
	"database/sql"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// count is the size of the feed.
func count(t *testing.T) int { return setting(t, "BENCH_EVENTS", 200_000) }

// setting is the number that an environment variable sets.
func setting(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// line is one line of the table.
type line struct {
	rig    string
	events int
	took   time.Duration
	used   usage
}

func (l line) rate() float64 { return float64(l.events) / l.took.Seconds() }

func (l line) String() string {
	s := fmt.Sprintf("%-52s %8d %8.2f s %9.0f/s", l.rig, l.events, l.took.Seconds(), l.rate())
	if l.used.cpu > 0 {
		s += fmt.Sprintf(" %7.1f CPU s/M", l.used.cpu.Seconds()*1e6/float64(l.events))
	}
	if l.used.peak > 0 {
		s += fmt.Sprintf(" %5d MB", l.used.peak>>20)
	}
	return s
}

// self measures f, which runs in this process.
func self(name string, events int, f func()) line {
	before := selfCPU()
	start := time.Now()
	f()
	return line{rig: name, events: events, took: time.Since(start), used: usage{cpu: selfCPU() - before}}
}

func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// table is one run: its servers, its feed and the lines so far.
type table struct {
	*servers
	n     int
	rate  int    // readings a second of the latencies
	note  string // what is special about these servers
	lines []line
}

func (tb *table) add(l line) {
	fmt.Println(l)
	tb.lines = append(tb.lines, l)
}

// TestTable prints the table. It checks that every rig stored what it was given;
// it holds nothing against the clock. BENCH_ONLY names rigs, such as "bd".
func TestTable(t *testing.T) {
	tb := &table{servers: startServers(t), n: count(t), rate: setting(t, "BENCH_RATE", 1000)}
	rigs := []struct {
		letter string
		run    func()
	}{
		{"a", tb.consume}, {"b", tb.bare}, {"c", tb.stock},
		{"d", func() { tb.engine("strict", 0) }}, {"d", func() { tb.engine("best_effort", 0) }},
		{"e", func() { tb.replay(0) }}, {"f", func() { tb.insert(0) }},
		{"g", func() { tb.engine("strict", full) }}, {"h", func() { tb.replay(full) }}, {"i", func() { tb.insert(full) }},
		{"j", tb.slowDisk},
		{"k", tb.cluster},
		{"l", tb.latency},
		{"m", tb.deadLetters},
		{"n", tb.besideReplay},
		{"o", tb.crowd},
		{"p", tb.pixels},
		{"q", tb.bento},
	}
	only := os.Getenv("BENCH_ONLY")
	for _, r := range rigs {
		if only == "" || strings.Contains(only, r.letter) {
			r.run()
		}
	}
	compare(tb.lines)
}

func (tb *table) consume() {
	url := tb.rabbit.AMQPURL()
	fill(tb.t, url, tb.n)
	tb.add(self("(a) raw consume", tb.n, func() { consume(tb.t, url, tb.n) }))
}

func (tb *table) bare() {
	fill(tb.t, tb.rabbit.AMQPURL(), tb.n)
	_, db := tb.store(0)
	tb.add(self("(b) bare drivers, whole path, appendfsync always", tb.n, func() {
		bare(tb.t, tb.rabbit.AMQPURL(), tb.redis.URL(), db, "readings", tb.n)
	}))
	expect(tb.t, db, tb.n)
}

// stock runs over a tenth of the feed: it is that slow.
func (tb *table) stock() {
	few := tb.n / 10
	fill(tb.t, tb.rabbit.AMQPURL(), few)
	dsn, db := tb.store(0)
	tb.add(self("(c) stock watermill wiring, appendfsync always", few, func() {
		stock(tb.t, tb.rabbit.AMQPURL(), tb.redis.URL(), dsn+"?parseTime=true", "readings", few)
	}))
	expect(tb.t, db, few)
}

// full is how many rows a table holds already in the rigs that say so.
const full = 5_000_000

func into(rows int) string {
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf(", table of %d M rows", rows/1_000_000)
}

func (tb *table) engine(durability string, rows int) {
	fill(tb.t, tb.rabbit.AMQPURL(), tb.n)
	dsn, db := tb.store(rows)
	p := tb.start(fmt.Sprintf("bench_%s_%d", durability, rows), durability, dsn)
	took := p.drain(tb.t, ingestedMetric, tb.n)
	tb.add(line{"(d) engine, plugin and hub, " + durability + into(rows) + tb.note, tb.n, took, p.stop(tb.t)})
	expect(tb.t, db, rows+tb.n)
}

// slowDisk is rig (d) with a log and a database on disks that take 5 ms longer to sync.
func (tb *table) slowDisk() {
	option := testserver.SlowSync(tb.t, 5*time.Millisecond)
	slow := &table{n: tb.n, note: ", syncs 5 ms slower", servers: &servers{
		t: tb.t, rabbit: tb.rabbit, redis: testserver.Redis(tb.t, option), maria: testserver.MariaDB(tb.t, option), bin: tb.bin,
	}}
	slow.engine("strict", 0)
	tb.lines = append(tb.lines, slow.lines...)
}

// replay reads the journal that the strict engine left, from its start, through
// the plugin into another database.
func (tb *table) replay(rows int) {
	dsn, db := tb.store(rows)
	p := tb.start("bench_strict_0", "strict", dsn, "--generation", fmt.Sprintf("replay%d", rows))
	took := p.drain(tb.t, storedMetric, tb.n)
	tb.add(line{"(e) replay of the journal through the plugin" + into(rows), tb.n, took, p.stop(tb.t)})
	expect(tb.t, db, rows+tb.n)
}

func (tb *table) insert(rows int) {
	_, db := tb.store(rows)
	list := sampleRows(tb.n)
	tb.add(self("(f) bare multi-row insert, one connection"+into(rows), tb.n, func() { must(tb.t, insert(db, "readings", list)) }))
	expect(tb.t, db, rows+tb.n)
}

func sampleRows(n int) []row {
	rows := make([]row, n)
	now := time.Now()
	for i := range rows {
		rows[i] = row{ID: messageID(i), Device: fmt.Sprintf("machine-%02d", i%devices), Metric: "temperature", TS: now, Value: float64(i), Unit: "C"}
	}
	return rows
}

func expect(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	var got int
	must(t, db.QueryRow("SELECT COUNT(*) FROM readings").Scan(&got))
	if got != n {
		t.Fatalf("%d rows; want %d", got, n)
	}
}

// compare prints the ratios within this run, of rigs that were in it.
func compare(lines []line) {
	rate := func(prefix string) float64 {
		for _, l := range lines {
			if strings.HasPrefix(l.rig, prefix) {
				return l.rate()
			}
		}
		return math.NaN()
	}
	const strict = "(d) engine, plugin and hub, strict"
	for _, rigs := range [][2]string{
		{strict, "(b)"}, {strict, "(c)"}, {"(e)", "(f)"}, {strict, "(q) Bento, straight"}, {strict, "(q) Bento, through two streams"},
	} {
		if ratio := rate(rigs[0]) / rate(rigs[1]); !math.IsNaN(ratio) {
			fmt.Printf("%s / %s: %.2f\n", rigs[0], rigs[1], ratio)
		}
	}
}
