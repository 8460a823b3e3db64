//go:build bench

package bench

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
)

// bareBatch is how many messages the bare path moves at once.
const bareBatch = 1000

// consume is rig (a): one channel a queue, prefetch 4,000, ack each 256.
func consume(t testing.TB, url string, count int) {
	var left atomic.Int64
	left.Store(int64(count))
	done := make(chan struct{})
	var once sync.Once
	for _, q := range queues {
		conn, ch := dial(t, url)
		defer conn.Close()
		deliveries := subscribe(t, ch, q)
		go func() {
			for n := 1; ; n++ {
				d, ok := <-deliveries
				if !ok {
					return
				}
				last := left.Add(-1)
				if n%256 == 0 || last <= 0 {
					_ = d.Ack(true)
				}
				if last <= 0 {
					once.Do(func() { close(done) })
				}
			}
		}()
	}
	<-done
}

func subscribe(t testing.TB, ch *amqp091.Channel, q string) <-chan amqp091.Delivery {
	t.Helper()
	if err := ch.Qos(4000, 0, false); err != nil {
		t.Fatal(err)
	}
	d, err := ch.Consume(q, "", false, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// bare is rig (b): the whole path on bare drivers, a goroutine a queue and hop:
// consume, append, ack; read, parse, append; read, parse, multi-row insert.
func bare(t testing.TB, amqpURL, redisURL string, db *sql.DB, table string, count int) {
	ctx, cancel := context.WithCancel(t.Context())
	opts, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	var wg sync.WaitGroup
	var stored atomic.Int64
	for i, q := range queues {
		first, second := fmt.Sprintf("bare:a%d", i), fmt.Sprintf("bare:b%d", i)
		wg.Go(func() { bareIngest(ctx, t, amqpURL, rdb, q, first) })
		wg.Go(func() { bareTransform(ctx, t, rdb, first, second) })
		wg.Go(func() { bareStore(ctx, t, rdb, second, db, table, &stored) })
	}
	for stored.Load() < int64(count) {
		pause(time.Millisecond)
	}
	cancel()
	wg.Wait()
	rdb.FlushDB(context.Background())
}

func bareIngest(ctx context.Context, t testing.TB, url string, rdb *redis.Client, q, to string) {
	conn, ch := dial(t, url)
	defer conn.Close()
	deliveries := subscribe(t, ch, q)
	for {
		batch, last := gather(ctx, deliveries)
		if last == nil {
			return
		}
		if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: to, Values: []any{"f", pack(batch)}}).Err(); err != nil {
			return
		}
		_ = last.Ack(true)
	}
}

// linger is how long the bare path waits for a batch to fill: without it batches
// are tiny and each costs a sync.
const linger = 5 * time.Millisecond

// gather takes at least one and at most bareBatch deliveries.
func gather(ctx context.Context, deliveries <-chan amqp091.Delivery) (batch [][]byte, last *amqp091.Delivery) {
	select {
	case d, ok := <-deliveries:
		if !ok {
			return nil, nil
		}
		batch, last = append(batch, d.Body), &d
	case <-ctx.Done():
		return nil, nil
	}
	full := time.After(linger)
	for len(batch) < bareBatch {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return batch, last
			}
			batch, last = append(batch, d.Body), &d
		case <-full:
			return batch, last
		}
	}
	return batch, last
}

func pack(batch [][]byte) string {
	var b strings.Builder
	for _, m := range batch {
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(len(m)))
		b.Write(n[:])
		b.Write(m)
	}
	return b.String()
}

func unpack(s string) []string {
	var out []string
	for len(s) >= 4 {
		n := int(binary.LittleEndian.Uint32([]byte(s[:4])))
		out = append(out, s[4:4+n])
		s = s[4+n:]
	}
	return out
}

type row struct {
	ID     string    `json:"id"`
	Device string    `json:"device"`
	Metric string    `json:"metric"`
	TS     time.Time `json:"ts"`
	Value  float64   `json:"value"`
	Unit   string    `json:"unit"`
}

func readAfter(ctx context.Context, rdb *redis.Client, from, after string) []redis.XMessage {
	res, err := rdb.XRead(ctx, &redis.XReadArgs{Streams: []string{from, after}, Count: 8, Block: time.Second}).Result()
	if err != nil || len(res) == 0 {
		return nil
	}
	return res[0].Messages
}

func bareTransform(ctx context.Context, t testing.TB, rdb *redis.Client, from, to string) {
	after := "0"
	for ctx.Err() == nil {
		for _, m := range readAfter(ctx, rdb, from, after) {
			var out [][]byte
			for _, s := range unpack(m.Values["f"].(string)) {
				var r row
				if err := json.Unmarshal([]byte(s), &r); err != nil {
					t.Error(err)
				}
				r.Value = r.Value*1.8 + 32
				b, _ := json.Marshal(r)
				out = append(out, b)
			}
			if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: to, Values: []any{"f", pack(out)}}).Err(); err != nil {
				return
			}
			after = m.ID
		}
	}
}

func bareStore(ctx context.Context, t testing.TB, rdb *redis.Client, from string, db *sql.DB, table string, stored *atomic.Int64) {
	after := "0"
	for ctx.Err() == nil {
		var rows []row
		for _, m := range readAfter(ctx, rdb, from, after) {
			for _, s := range unpack(m.Values["f"].(string)) {
				var r row
				if err := json.Unmarshal([]byte(s), &r); err != nil {
					t.Error(err)
				}
				rows = append(rows, r)
			}
			after = m.ID
		}
		if len(rows) > 0 {
			if err := insert(db, table, rows); err != nil {
				t.Error(err)
				return
			}
			stored.Add(int64(len(rows)))
		}
	}
}

const createTable = `CREATE TABLE %s (event_id BINARY(16) NOT NULL PRIMARY KEY, source_id VARCHAR(191), plant VARCHAR(64),
 device VARCHAR(64), metric VARCHAR(64), event_time DATETIME(3), value DOUBLE, unit VARCHAR(32), plugin VARCHAR(128))`

// insert is rig (f): one multi-row insert, in one transaction.
func insert(db *sql.DB, table string, rows []row) error {
	for len(rows) > 0 {
		n := min(len(rows), bareBatch)
		args := make([]any, 0, n*9)
		for i := range rows[:n] {
			r := &rows[i]
			args = append(args, eventID(r.TS, r.ID), r.ID, "plant1", r.Device, r.Metric, r.TS, r.Value, r.Unit, "bare")
		}
		q := "INSERT INTO " + table + " VALUES " + strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?,?,?),", n), ",")
		if _, err := db.Exec(q, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// eventID is time-prefixed as the engine's are.
func eventID(ts time.Time, id string) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(ts.UnixMilli())<<16)
	sum := fnv64(id)
	binary.BigEndian.PutUint64(b[8:], sum)
	return b[:]
}

func fnv64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
