package faults

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// Redis' disasters beyond a restart: it turns into a replica, it is loading, an older
// copy of its files is put back, it falls silent, somebody trims its streams. Each
// ends in waiting or in a loud stop, and never in a loss that nobody hears of.

// awaitUnready waits until /readyz refuses and says why.
func (r *rig) awaitUnready(e *engine, why string) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "an engine that is not ready because of "+why, func() error {
		status, body, err := e.get("/readyz")
		if err == nil && (status == http.StatusOK || !strings.Contains(body, why)) {
			err = fmt.Errorf("%d: %s", status, body)
		}
		return err
	})
}

const (
	toReplica = "REPLICAOF 127.0.0.1 1" // nobody listens there
	toMaster  = "REPLICAOF NO ONE"
)

// say sends a command that must be answered with OK.
func (r *rig) say(command string) {
	r.t.Helper()
	if got := r.redisSays(command); !strings.HasPrefix(got, "+OK") {
		r.t.Fatalf("%s: %s", command, got)
	}
}

// TestFaultReplicaStopsStrict: a Redis that has become a replica refuses writes and
// keeps no promise; a strict engine stops and says what to use. Its successor goes on
// once it is a master again.
func TestFaultReplicaStopsStrict(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	e := r.start("strict")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		r.awaitRows(300)
		r.say(toReplica)
		if got := r.redisSays("SET control 1"); !strings.HasPrefix(got, "-READONLY") {
			t.Fatalf("a write was answered %q: the test shows nothing", got)
		}
		r.refused(e, failure, `role is \"slave\"`, "use the master")
		r.refused(r.start("strict"), failure, "use the master")
		r.say(toMaster)
		r.start("strict")
		r.awaitRows(r.rows() + 300)
	})
	prove(t, proof{name: "redis_disaster/replica_strict", faults: 1, verdict: r.settle(l)})
}

// TestFaultReplicaIsWaitedForWithBestEffort: with best effort the engine waits while
// writes are refused, says that it is not ready, and goes on by itself.
func TestFaultReplicaIsWaitedForWithBestEffort(t *testing.T) {
	r := newRig(t, setup{settings: "durability: best_effort\n"})
	l := newLedger()
	e := r.start("effort")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		r.awaitRows(300)
		r.say(toReplica)
		r.awaitUnready(e, "READONLY")
		r.say(toMaster)
		r.awaitReady(e)
		r.awaitRows(r.rows() + 300)
	})
	prove(t, proof{name: "redis_disaster/replica", faults: 1, verdict: r.settle(l)})
}

// fillRedis makes the append-only file long by other keys' commands.
func (r *rig) fillRedis(commands int) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.redis.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	const command, answer = "SET filler x\r\n", "+OK\r\n"
	go func() { _, _ = conn.Write(bytes.Repeat([]byte(command), commands)) }() // the answers tell
	got := make([]byte, commands*len(answer))
	if _, err := io.ReadFull(conn, got); err != nil || strings.Count(string(got), answer) != commands {
		r.t.Fatalf("filling Redis: %v", err)
	}
}

// TestFaultLoadingRedisIsWaitedFor restarts Redis with an append-only file that takes
// it long to read, until both engines have met that: it answers LOADING. The engine that
// runs waits, so does one that starts meanwhile, and both go on.
func TestFaultLoadingRedisIsWaitedFor(t *testing.T) {
	r := newRig(t, setup{redis: []testserver.RedisOption{
		testserver.Conf("key-load-delay", "1000"), testserver.Conf("auto-aof-rewrite-percentage", "0"),
	}})
	l := newLedger()
	first := r.start("one")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		r.awaitRows(300)
		r.fillRedis(20_000) // behind the start of the first engine, which has the file written anew
		r.redis.Kill()
		started := make(chan struct{})
		go func() { r.redis.Start(); close(started) }() // returns when all is loaded
		second := r.start("two")
		r.awaitUnready(first, "LOADING")
		r.awaitSaid(second, "LOADING")
		r.say("CONFIG SET key-load-delay 0") // served while it loads, a thousand commands apart
		<-started
		r.awaitRows(r.rows() + 300)
		first.signal(t, syscall.SIGTERM)
		if code := r.exit(first); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		r.awaitRows(r.rows() + 300)
		r.awaitReady(second)
	})
	prove(t, proof{name: "redis_disaster/loading", faults: 1, verdict: r.settle(l)})
}

// appendOnlyDir is the folder of Redis' append-only file.
func (r *rig) appendOnlyDir() string { return filepath.Join(r.redis.Dir, "appendonlydir") }

// copyDir replaces to by a copy of from.
func (r *rig) copyDir(from, to string) {
	r.t.Helper()
	err := os.RemoveAll(to)
	if err == nil {
		err = os.CopyFS(to, os.DirFS(from))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestFaultOlderCopyStopsTheEngine puts an older copy of Redis' files back under a
// running engine: it stops and says why until a person has accepted the loss, and then
// goes on. All that the newer files had is in the table by then: nothing may be missing.
func TestFaultOlderCopyStopsTheEngine(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	e := r.start("older")
	r.older(l, func() {})
	r.refused(e, failure, "engine log accept-loss")
	r.acceptLoss("older")
	r.start("older")
	r.burst(l, 1800, 2400)
	prove(t, proof{name: "redis_disaster/older_copy", faults: 1, verdict: r.settle(l)})
}

// TestFaultOlderCopyFoundLate starts an engine on an older copy while the rows that
// alone know of the newer files cannot be read: new events take the places that lost
// ones had. When the rows can be read, none of the new passes for those.
func TestFaultOlderCopyFoundLate(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	e := r.start("older")
	r.older(l, e.kill)
	before, _ := r.streamEntries("celsius")
	letGo := r.holdRows(r.positionTable())
	e = r.start("older")
	r.awaitIngested(e, 600)
	testserver.Eventually(t, time.Minute, "new events in old places", func() error {
		if now, _ := r.streamEntries("celsius"); now == before {
			return fmt.Errorf("%d entries as before", now)
		}
		return nil
	})
	letGo()
	r.refused(e, failure, "engine log accept-loss")
	r.acceptLoss("older")
	r.start("older")
	prove(t, proof{name: "redis_disaster/older_copy_late", faults: 1, verdict: r.settle(l)})
}

// holdRows locks all rows of a table until the returned function is called.
func (r *rig) holdRows(table string) (letGo func()) {
	r.t.Helper()
	tx, err := r.db.Begin()
	if err == nil {
		_, err = tx.Exec("UPDATE " + table + " SET owner = owner")
	}
	if err != nil {
		r.t.Fatal(err)
	}
	done := sync.OnceFunc(func() {
		if err := tx.Rollback(); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(done)
	return done
}

// awaitIngested waits until the engine, ready or not, has stored at least n events.
func (r *rig) awaitIngested(e *engine, n float64) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, fmt.Sprintf("%g events in the log", n), func() error {
		if _, _, err := e.get("/metrics"); err != nil {
			return err
		}
		if have := r.metric(e, "millrace_ingested_events_total"); have < n {
			return fmt.Errorf("%g events", have)
		}
		return nil
	})
}

// older brings 1200 messages to the table, puts the copy of Redis' files back that was
// made after the first 600, after meanwhile, and publishes 600 more.
func (r *rig) older(l *ledger, meanwhile func()) {
	r.t.Helper()
	old := filepath.Join(r.t.TempDir(), "old")
	r.burst(l, 0, 600)
	r.settle(l)
	r.redis.Stop()
	r.copyDir(r.appendOnlyDir(), old)
	r.redis.Start()
	r.burst(l, 600, 1200)
	r.settle(l)
	meanwhile()
	r.redis.Stop()
	r.copyDir(old, r.appendOnlyDir())
	r.redis.Start()
	r.burst(l, 1200, 1800)
}

// TestFaultSilentLineToRedis: the line to Redis stays open and carries nothing, as
// behind a firewall that has lost its table. The engine says that it is not ready,
// and goes on when the line is mended.
func TestFaultSilentLineToRedis(t *testing.T) {
	r := newRig(t, setup{})
	link := r.throughProxy("REDIS_URL", r.redis.Addr())
	l := newLedger()
	e := r.start("silent")
	p := proof{name: "redis_disaster/silent_line", faults: often(1, 10)}
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 300)
			link.Cut()
			r.awaitUnready(e, "timeout")
			link.Restore()
			r.awaitReady(e)
		}
		r.awaitRows(r.rows() + 300)
	})
	p.verdict = r.settle(l)
	prove(t, p)
}

// streamEntries counts the entries of all lanes of a stream, and finds a lane that
// has some.
func (r *rig) streamEntries(stream string) (n int, lane string) {
	r.t.Helper()
	for i := range 16 {
		key := fmt.Sprintf("mr:{faults}:stream:%s:%d", stream, i)
		var have int
		if _, err := fmt.Sscanf(r.redisSays("XLEN "+key), ":%d", &have); err != nil {
			r.t.Fatal(err)
		}
		if n += have; have > 1 {
			lane = key
		}
	}
	return n, lane
}

// TestFaultForeignTrimStopsTheEngine trims a lane of the running engine's log, as
// somebody who wants room might: the engine notices, stops and says why.
func TestFaultForeignTrimStopsTheEngine(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	e := r.start("trimmed")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		r.awaitRows(500)
		_, lane := r.streamEntries("journal")
		if lane == "" {
			t.Fatal("no lane of the journal has two entries")
		}
		if got := r.redisSays("XTRIM " + lane + " MAXLEN 1"); got == ":0" || !strings.HasPrefix(got, ":") {
			t.Fatalf("XTRIM: %s", got)
		}
		began := time.Now()
		r.refused(e, failure, "engine log accept-loss") // whoever sees it first: the look at the log, or a reader before the hole
		t.Logf("stopped %s after the trim", time.Since(began).Round(time.Millisecond))
	})
}
