//go:build bench

package bench

import (
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// count is the size of the feed.
func count(t *testing.T) int {
	text := os.Getenv("BENCH_EVENTS")
	if text == "" {
		return 200_000
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

// TestTable prints the table. It checks that every rig stored what it was given;
// it holds nothing against the clock.
func TestTable(t *testing.T) {
	s := startServers(t)
	n := count(t)
	url := s.rabbit.AMQPURL()
	var lines []line
	add := func(l line) {
		fmt.Println(l)
		lines = append(lines, l)
	}

	fill(t, url, n)
	add(self("(a) raw consume", n, func() { consume(t, url, n) }))

	fill(t, url, n)
	dsn, db := s.store()
	add(self("(b) bare drivers, whole path, always", n, func() { bare(t, url, s.redis.URL(), db, "readings", n) }))
	expect(t, db, n)

	few := n / 10
	fill(t, url, few)
	dsn, db = s.store()
	add(self("(c) stock watermill wiring, always", few, func() { stock(t, url, s.redis.URL(), dsn+"&parseTime=true", "readings", few) }))
	expect(t, db, few)

	for _, durability := range []string{"strict", "best_effort"} {
		fill(t, url, n)
		dsn, db = s.store()
		p := s.start("bench_"+durability, durability, dsn)
		took := p.drain(t, ingestedMetric, n)
		add(line{"(d) engine with plugin and hub, " + durability, n, took, p.stop(t)})
		expect(t, db, n)
	}

	// A store that has lost its positions is filled again from the journal's start.
	dsn, db = s.store()
	p := s.start("bench_strict", "strict", dsn)
	took := p.drain(t, storedMetric, n)
	add(line{"(d') engine, readings stream to an empty store", n, took, p.stop(t)})
	expect(t, db, n)

	_, db = s.store()
	rows := sampleRows(n)
	add(self("(f) bare multi-row insert, one connection", n, func() { must(t, insert(db, "readings", rows)) }))
	expect(t, db, n)
	compare(lines)
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

func compare(lines []line) {
	by := map[string]line{}
	for _, l := range lines {
		key, _, _ := strings.Cut(l.rig, ",")
		if _, ok := by[key]; !ok {
			by[key] = l
		}
	}
	d := by["(d) engine with plugin and hub"]
	fmt.Printf("\n(d) strict / (b): %.2f   (d) strict / (c): %.1f\n",
		d.rate()/by["(b) bare drivers"].rate(), d.rate()/by["(c) stock watermill wiring"].rate())
}
