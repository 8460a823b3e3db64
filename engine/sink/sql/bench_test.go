package sqlsink

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/testserver"
)

// benchUnit is the number of rows of a unit when the lane is behind.
const benchUnit = 4096

// BenchmarkWrite stores units of 4096 readings (9 columns) through the sink, one
// lane, a synced commit each.
func BenchmarkWrite(b *testing.B) {
	for _, rows := range []int{100, 250, 500, 1000} {
		b.Run(fmt.Sprintf("mariadb/rows=%d", rows), func(b *testing.B) { benchWrite(b, benchStore(b), rows) })
	}
	b.Run("sqlite/rows=1000", func(b *testing.B) { benchWrite(b, sqliteStore(b), 1000) })
}

func benchStore(b *testing.B) *store {
	server := testserver.MariaDB(b, testserver.Conf("innodb-buffer-pool-size", "512M"), testserver.Conf("innodb-log-file-size", "256M"))
	dsn := server.Database(b)
	return &store{dsn, server.Open(b, dsn)}
}

func benchWrite(b *testing.B, st *store, rows int) {
	c := st.config(Options{Connection: "store", Table: "readings", AutoCreate: true, Columns: readingColumns(), MaxRowsPerInsert: rows})
	s := st.open(b, c)
	at := begin(b, s, 0)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		u := unitOf(at, n, benchUnit)
		b.StartTimer()
		mustWrite(b, s, u)
		at, n = u.Last, n+benchUnit
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkWriteOne stores units of one reading: the latency of a lane that is
// caught up, a synced commit each.
func BenchmarkWriteOne(b *testing.B) {
	st := benchStore(b)
	s := st.readings(b)
	at, n := begin(b, s, 0), 0
	b.ReportAllocs()
	for b.Loop() {
		u := unitOf(at, n, 1)
		mustWrite(b, s, u)
		at, n = u.Last, n+1
	}
}

// BenchmarkEncode is the sink's own share of a row: no server.
func BenchmarkEncode(b *testing.B) {
	st := sqliteStore(b)
	s := st.readings(b)
	s.dialect = mariadb{}
	u := unitOf(laneStart, 0, benchUnit)
	batch := new(batch)
	b.ReportAllocs()
	for b.Loop() {
		batch.begin(s, u)
		for i := range u.Events {
			batch.add(s, i)
		}
	}
	b.ReportMetric(float64(b.N)*benchUnit/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkBare is the same table filled by database/sql alone, with placeholders:
// interpolated by the driver, or prepared once and bound.
func BenchmarkBare(b *testing.B) {
	for _, mode := range []string{"interpolated", "prepared"} {
		for _, rows := range []int{1000, 4000} {
			b.Run(fmt.Sprintf("%s/rows=%d", mode, rows), func(b *testing.B) { benchBare(b, mode == "prepared", rows) })
		}
	}
}

func benchBare(b *testing.B, prepared bool, rows int) {
	st := benchStore(b)
	st.readings(b)
	params := "?charset=utf8mb4"
	if !prepared {
		params += "&interpolateParams=true"
	}
	db := (&testserver.MariaDBServer{}).Open(b, st.dsn+params)
	text := "INSERT INTO readings (event_id, source_id, plant, device, metric, event_time, value, unit, plugin) VALUES " +
		strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?,?,?),", rows), ",") + " ON DUPLICATE KEY UPDATE event_id = event_id"
	stmt, err := db.Prepare(text)
	if err != nil {
		b.Fatal(err)
	}
	defer stmt.Close()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		u := unitOf(laneStart, n, rows)
		b.StartTimer()
		if prepared {
			_, err = stmt.Exec(bareArgs(u)...)
		} else {
			_, err = db.Exec(text, bareArgs(u)...)
		}
		if err != nil {
			b.Fatal(err)
		}
		n += rows
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func bareArgs(u *node.Unit) []any {
	args := make([]any, 0, 9*len(u.Events))
	for _, e := range u.Events {
		get := func(name string) event.Value { v, _ := e.Record.Get(name); return v }
		value, _ := get("value").AsFloat()
		args = append(args, e.ID[:], e.RootID, get("plant").Text(), get("device").Text(), get("metric").Text(),
			get("ts").Any(), value, get("unit").Text(), e.Plugin)
	}
	return args
}
