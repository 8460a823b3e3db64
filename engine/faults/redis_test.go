package faults

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// The log's side: a Redis that does not keep what it says, that restarts, and that
// is emptied.

// redisSays sends one command to the rig's Redis and returns the reply's first line.
func (r *rig) redisSays(command string) string {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.redis.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		r.t.Fatal(err)
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(reply)
}

// refused waits until the engine has ended by itself and checks its exit code and
// that it said all the words.
func (r *rig) refused(e *engine, want func(code int) bool, words ...string) {
	r.t.Helper()
	code := r.exit(e)
	said := e.log.tail(1 << 20)
	for _, word := range words {
		if !strings.Contains(said, word) {
			r.t.Errorf("the engine does not say %q", word)
		}
	}
	if !want(code) {
		r.t.Errorf("exit code %d", code)
	}
}

func failure(code int) bool  { return code > 0 }
func mistaken(code int) bool { return code == 2 }

// TestFaultEverysecIsRefusedUnderStrict: a Redis that syncs each second loses what
// it acknowledged; a strict pipeline refuses it and says what to set.
func TestFaultEverysecIsRefusedUnderStrict(t *testing.T) {
	r := newRig(t, setup{redis: []testserver.RedisOption{testserver.AppendFsync("everysec")}})
	r.refused(r.start("strict"), failure, "appendfsync", "always", "best_effort")
	if n := r.redisSays("DBSIZE"); n != ":0" {
		t.Errorf("the refused Redis holds keys: %s", n)
	}
}

// The other half: best effort takes the same Redis, and says so.
func TestFaultEverysecIsAcceptedWithBestEffort(t *testing.T) {
	r := newRig(t, setup{
		settings: "durability: best_effort\n", redis: []testserver.RedisOption{testserver.AppendFsync("everysec")},
	})
	l := newLedger()
	e := r.start("effort")
	r.awaitReady(e)
	r.burst(l, 0, 200)
	r.settle(l).must(t)
	if !strings.Contains(e.log.tail(1<<20), "best effort") {
		t.Error("the engine does not say that it does its best only")
	}
}

// TestFaultEverysecSetLaterStopsTheEngine: the proof is asked for again by each
// new connection.
func TestFaultEverysecSetLaterStopsTheEngine(t *testing.T) {
	r := newRig(t, setup{})
	e := r.start("later")
	r.awaitReady(e)
	r.redisSays("CONFIG SET appendfsync everysec")
	r.redisSays("CLIENT KILL TYPE normal SKIPME yes")
	r.refused(e, failure, "appendfsync", "always")
}

// TestFaultRealBrokerWithEmbeddedLogIsRefused: what plants sent would be
// acknowledged into the memory of a process.
func TestFaultRealBrokerWithEmbeddedLogIsRefused(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	r.burst(l, 0, 40)
	r.env = append(r.env, "REDIS_URL=embedded")
	r.refused(r.start("embedded"), mistaken, "embedded", "best_effort")
	if n := r.waiting(); n != 40 {
		t.Errorf("%d of 40 messages are left in the queues", n)
	}
}

// TestFaultRedisRestartedUnderLoad kills and restarts Redis under load, as a power
// cut does; a strict log keeps what it acknowledged.
func TestFaultRedisRestartedUnderLoad(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	p := proof{name: "redis_restarted", faults: 6}
	e := r.start("restart")
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		for i := range p.faults {
			r.awaitRows(r.rows() + 500)
			if i%2 == 0 {
				r.redis.Kill()
			} else {
				r.redis.Stop()
			}
			r.redis.Start()
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
}

// Control: a Redis that keeps nothing comes back empty. The loss cannot be undone,
// but it is not passed over either.
func TestFaultControlRedisWithoutFileStopsLoudly(t *testing.T) {
	r := newRig(t, setup{
		settings: "durability: best_effort\n", redis: []testserver.RedisOption{testserver.Conf("appendonly", "no")},
	})
	l := newLedger()
	e := r.start("forgetful")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		r.awaitRows(500)
		r.redis.Kill()
		r.redis.Start()
		r.refused(e, failure, "engine log accept-loss")
	})
}

// TestFaultRedisFlushedUnderLoad empties Redis under load: the engine stops and says
// why. It goes on when a person has accepted the loss, and not before.
func TestFaultRedisFlushedUnderLoad(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	e := r.start("flushed")
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		r.awaitRows(1000)
		if got := r.redisSays("FLUSHALL"); got != "+OK" {
			t.Fatalf("FLUSHALL: %s", got)
		}
		began := time.Now()
		r.refused(e, failure, "engine log accept-loss")
		t.Logf("stopped %s after the flush", time.Since(began).Round(time.Millisecond))
	})
	r.acceptLoss("flushed")
	e = r.start("flushed")
	r.awaitDrained()
	before := r.rows()
	r.burst(newLedger(), 1_000_000, 1_000_300)
	r.awaitRows(before + 300)
	v := r.judge(l)
	t.Logf("%d of %d confirmed messages went with the log", v.lost, len(l.confirmed))
	if v.doubled+v.disordered > 0 {
		t.Errorf("doubled %d, out of order %d", v.doubled, v.disordered)
	}
}
