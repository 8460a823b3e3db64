package cluster_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/cluster/clustertest"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/testserver"
)

// followed is a pipeline that reads a mirrored and a quorum queue through the
// replica's node into one table.
const followed = `kind: pipeline
version: 1
name: followed
connections:
  mirrored: { amqp: { urls: "${MIRRORED_URLS}" } }
  quorum:   { amqp: { urls: "${QUORUM_URLS}" } }
  log:      { redis: { url: "${REDIS_URL}" } }
  store:    { sql: { dsn: "${DB_DSN}" } }
nodes:
  - id: m
    source: amqp
    with: { connection: mirrored, queue: master.plant4, identity: message_id, follow: replica, management: "${MANAGEMENT}", require_synchronised: true, sequence: headers.seq }
  - id: q
    source: amqp
    with: { connection: quorum, queue: master.plant4, identity: message_id, follow: replica, management: "${MANAGEMENT}", require_synchronised: true, sequence: headers.seq }
  - { id: numbers, transform: json, inputs: [m, q] }
  - id: rows
    sink: sql
    inputs: [numbers]
    with:
      connection: store
      table: numbers
      auto_create: true
      columns: [ { name: source, from: node, type: varchar(64) }, { name: n, type: bigint } ]
`

// TestClusterEngineReadsThroughTheReplica runs the engine itself on the replica's node
// while the node that leads both queues is killed: every confirmed message is one row,
// and the metrics tell of the new leader and of no gap.
func TestClusterEngineReadsThroughTheReplica(t *testing.T) {
	m, q := shared(t, topology.Mirrored), shared(t, topology.Quorum)
	c := m.RabbitCluster
	const queue, leader = "master.plant4", "WIN4"
	m.Lead(t, queue, leader)
	q.Lead(t, queue, leader)
	e, db := follower(t, m, q)
	flows := map[string]*insistence{"m": m.insist(t, queue), "q": q.insist(t, queue)}
	for id := range flows {
		m.Await(t, "rows of "+id, func() error { return more(db, id, 100) })
	}
	c.KillNode(leader)
	for id, f := range flows {
		before := f.confirmed.Load()
		m.Await(t, "confirms of "+id+" after the kill", func() error { return above(f.confirmed.Load(), before+200) })
	}
	c.StartNode(t, leader)
	m.Whole(t, queue)
	q.Whole(t, queue)
	for id, f := range flows {
		e.holds(t, db, id, f.stop())
		noticed(t, db, id, f.stop())
	}
}

// holds waits until every message that was confirmed is a row, once, and the metrics
// tell of one new leader, a complete replica and no gap.
func (e *follows) holds(t *testing.T, db *sql.DB, id string, sent int) {
	t.Helper()
	source := fmt.Sprintf("source=%q} ", id)
	testserver.Eventually(t, clustertest.Limit, "all rows of "+id, func() error { return more(db, id, sent) })
	testserver.Eventually(t, clustertest.Limit, "metrics of "+id, func() error {
		return errors.Join(e.says("millrace_queue_promotions_total{", source+"1"), e.says("millrace_queue_synchronised{", source+"1"),
			e.says("millrace_queue_missing_messages{", source+"0"))
	})
	rows, err := exactly(db, id, sent)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s: %d confirmed, %d rows", id, sent, rows)
}

// exactly fails unless the rows of a source are 1, 2, 3 and so on, each once, up to
// what was confirmed; one more may be stored whose confirm was lost.
func exactly(db interface{ QueryRow(string, ...any) *sql.Row }, id string, sent int) (rows int, err error) {
	var different, most int
	err = db.QueryRow("SELECT COUNT(*), COUNT(DISTINCT n), MAX(n) FROM numbers WHERE source = ?", id).Scan(&rows, &different, &most)
	if err == nil && (rows < sent || rows > sent+1 || different != rows || most != rows) {
		err = fmt.Errorf("%s: %d rows, %d of them different, up to %d; %d were confirmed", id, rows, different, most, sent)
	}
	return rows, err
}

// noticed is the control of exactly: a row that is gone, and one that is there twice
// in the place of another.
func noticed(t *testing.T, db *sql.DB, id string, sent int) {
	t.Helper()
	for _, change := range []string{"DELETE FROM numbers WHERE source = ? AND n = 50", "UPDATE numbers SET n = 49 WHERE source = ? AND n = 50"} {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(change, id); err != nil {
			t.Fatal(err)
		}
		if rows, err := exactly(tx, id, sent); err == nil {
			t.Errorf("after %q: %d rows are found well", change, rows)
		}
		_ = tx.Rollback()
	}
}

// follower starts the engine with the pipeline above on servers of its own.
func follower(t *testing.T, m, q planted) (*follows, *sql.DB) {
	t.Helper()
	dir := t.TempDir()
	maria := testserver.SharedMariaDB(t)
	dsn := maria.Database(t)
	file, binary := filepath.Join(dir, "followed.yaml"), filepath.Join(dir, "engine")
	if err := os.WriteFile(file, []byte(followed), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/engine").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &follows{address: l.Addr().String()}
	_ = l.Close() // only its port was wanted
	cmd := exec.Command(binary, "run", file, "--listen", e.address)
	cmd.Env = append(os.Environ(), "MIRRORED_URLS="+m.linuxFirst(), "QUORUM_URLS="+q.linuxFirst(), "REDIS_URL="+testserver.SharedRedis(t).URL(), "DB_DSN="+dsn,
		"MANAGEMENT=http://guest:guest@"+strings.TrimPrefix(m.Top.Management(m.Top.Node("linux")), "http://"), "XDG_RUNTIME_DIR="+dir)
	log, err := os.Create(filepath.Join(dir, "engine.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.end(t, cmd, log.Name()) })
	return e, maria.Open(t, dsn)
}

// follows is the running engine.
type follows struct{ address string }

// end ends the engine in order and, in a failed test, shows what it wrote.
func (e *follows) end(t *testing.T, cmd *exec.Cmd, log string) {
	err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait())
	if text, _ := os.ReadFile(log); err != nil || t.Failed() {
		t.Logf("the engine ended with %v and wrote:\n%s", err, text)
	}
}

// says looks for a line of the metrics that has all of the parts.
func (e *follows) says(parts ...string) error {
	resp, err := http.Get("http://" + e.address + "/metrics")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(text)) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return err
		}
	}
	return errors.Join(fmt.Errorf("no line of the metrics has %q", parts), err)
}

// linuxFirst lists the nodes as AMQP_URLS does, the replica's first.
func (l planted) linuxFirst() string {
	names := []string{"linux"}
	for _, name := range l.Top.Names() {
		if name != "linux" {
			names = append(names, name)
		}
	}
	for i, name := range names {
		names[i] = "amqp://guest:guest@" + l.Endpoint(name).Address + "/" + url.PathEscape(l.Top.VHost)
	}
	return strings.Join(names, ",")
}

func above[N int | int64](n, want N) error {
	if n < want {
		return fmt.Errorf("%d, want %d", n, want)
	}
	return nil
}

// more fails while the table has fewer rows of a source.
func more(db *sql.DB, source string, want int) error {
	var n int
	err := db.QueryRow("SELECT COUNT(*) FROM numbers WHERE source = ?", source).Scan(&n)
	return errors.Join(err, above(n, want))
}

// insistence publishes numbered messages one after another, each again until it is
// confirmed.
type insistence struct {
	cancel    context.CancelFunc
	done      chan struct{}
	confirmed atomic.Int64
}

func (l planted) insist(t *testing.T, queue string) *insistence {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	f := &insistence{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for ctx.Err() == nil {
			_ = l.publish(ctx, queue, f) // what was not confirmed is sent again
		}
	}()
	t.Cleanup(func() { f.stop() })
	return f
}

// stop ends it and returns how many messages are confirmed.
func (f *insistence) stop() int {
	f.cancel()
	<-f.done
	return int(f.confirmed.Load())
}

// publish goes on behind what is confirmed until something fails or ctx ends.
func (l planted) publish(ctx context.Context, queue string, f *insistence) error {
	conn, err := amqp091.Dial("amqp://guest:guest@" + l.Endpoint("linux").Address + "/" + url.PathEscape(l.Top.VHost))
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	for err == nil && ctx.Err() == nil {
		if err = send(ch, queue, f.confirmed.Load()+1); err == nil {
			f.confirmed.Add(1)
		}
	}
	return err
}

// send publishes message n and waits for its confirm, which a queue without a leader
// may never give.
func send(ch *amqp091.Channel, queue string, n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	message := amqp091.Publishing{
		DeliveryMode: amqp091.Persistent, MessageId: fmt.Sprint(n), Headers: amqp091.Table{"seq": n}, Body: fmt.Appendf(nil, `{"n":%d}`, n),
	}
	confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, message)
	if err != nil {
		return err
	}
	if ok, err := confirm.WaitContext(ctx); err != nil || !ok {
		return fmt.Errorf("message %d is not confirmed: %w", n, err)
	}
	return nil
}
