//go:build bench

package bench

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
)

// bento is rig (q): Bento (github.com/warpstreamlabs/bento, MIT licence), if BENCH_BENTO
// names its program, over the same feed into the same table: straight from the queues,
// which it does best, and through two streams of Redis, as this engine's events go.
// Its batches and parallelism are those with which it was fastest here, of six tried. It
// stores each message at least once, keeps no log in the first wiring, and draws nothing.
func (tb *table) bento() {
	program := os.Getenv("BENCH_BENTO")
	if program == "" {
		fmt.Println("(q) left out: BENCH_BENTO names no program")
		return
	}
	tb.bentoOver(program, "straight", bentoStraight)
	tb.bentoOver(program, "through two streams, appendfsync always", bentoStreams)
	opts, err := redis.ParseURL(tb.redis.URL())
	must(tb.t, err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	must(tb.t, rdb.Del(tb.t.Context(), "bento:a", "bento:b").Err())
}

// bentoOver measures one wiring, given as stream files without the addresses.
func (tb *table) bentoOver(program, name string, streams []string) {
	fill(tb.t, tb.rabbit.AMQPURL(), tb.n)
	dsn, db := tb.store(0)
	dir := tb.t.TempDir()
	args := []string{"streams", "--no-api"}
	for i, text := range streams {
		file := filepath.Join(dir, fmt.Sprintf("s%d.yaml", i))
		must(tb.t, os.WriteFile(file, []byte(tb.bentoAddresses(text, dsn)), 0o600))
		args = append(args, file)
	}
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	must(tb.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	took := tb.drained(db, ended)
	used := usageOf(cmd.Process.Pid)
	must(tb.t, cmd.Process.Kill())
	<-ended
	tb.add(line{"(q) Bento, " + name, tb.n, took, used})
	expect(tb.t, db, tb.n)
}

func (tb *table) bentoAddresses(text, dsn string) string {
	broker, err := url.Parse(tb.rabbit.AMQPURL())
	must(tb.t, err)
	var inputs strings.Builder
	for _, q := range queues {
		fmt.Fprintf(&inputs, "\n      - amqp_0_9: { urls: [%q], queue: %q, prefetch_count: 4000 }", broker, q)
	}
	return strings.NewReplacer("QUEUES", inputs.String(), "REDIS", tb.redis.URL(), "DSN", dsn).Replace(text)
}

// drained waits until the feed has left the queues and is in the table, and returns how
// long that took from the first message taken. A program that ends before fails the run.
func (tb *table) drained(db *sql.DB, ended <-chan error) time.Duration {
	conn, ch := dial(tb.t, tb.rabbit.AMQPURL())
	defer conn.Close()
	rest := func(d time.Duration) {
		select {
		case err := <-ended:
			tb.t.Fatalf("bento has ended: %v", err)
		default:
			pause(d)
		}
	}
	for tb.waiting(ch) == tb.n {
		rest(2 * time.Millisecond)
	}
	start := time.Now()
	for tb.waiting(ch) > 0 {
		rest(20 * time.Millisecond)
	}
	for rows := 0; rows < tb.n; rest(100 * time.Millisecond) {
		must(tb.t, db.QueryRow("SELECT COUNT(*) FROM readings").Scan(&rows))
	}
	return time.Since(start)
}

// waiting is how many messages the queues have ready.
func (tb *table) waiting(ch *amqp091.Channel) int {
	sum := 0
	for _, name := range queues {
		q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		must(tb.t, err)
		sum += q.Messages
	}
	return sum
}

const bentoConvert = `
pipeline:
  threads: 2
  processors:
    - mapping: |
        root = this
        root.value = this.value * 1.8 + 32
`

const bentoStore = `
output:
  sql_insert:
    driver: mysql
    dsn: "DSN?parseTime=true"
    table: readings
    columns: [event_id, source_id, plant, device, metric, event_time, value, unit, plugin]
    args_mapping: |
      root = [ this.id.hash("md5"), this.id, "plant1", this.device, this.metric, this.ts.ts_parse("2006-01-02T15:04:05.000Z07:00"), this.value, this.unit, "bento" ]
    max_in_flight: 16
`

const bentoQueues = `
input:
  broker:
    inputs: QUEUES
    batching: { count: 250, period: 10ms }
`

var (
	bentoStraight = []string{bentoQueues + bentoConvert + bentoStore}
	bentoStreams  = []string{
		bentoQueues + bentoInto("bento:a"),
		bentoFrom("bento:a") + bentoConvert + bentoInto("bento:b"),
		bentoFrom("bento:b") + bentoStore,
	}
)

func bentoInto(stream string) string {
	return fmt.Sprintf(`
output:
  redis_streams: { url: "REDIS", stream: %q, max_in_flight: 8 }
`, stream)
}

func bentoFrom(stream string) string {
	return fmt.Sprintf(`
input:
  broker:
    inputs:
      - redis_streams: { url: "REDIS", streams: [%q], consumer_group: bench, client_id: one, limit: 1000, create_streams: true, commit_period: 100ms }
    batching: { count: 250, period: 10ms }
`, stream)
}
