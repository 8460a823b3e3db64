package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/testserver"
)

// crashes is how often the crash loop kills the engine: 40 times, 1000 in a soak, or
// as MILLRACE_CRASHES says.
func crashes(t *testing.T) int {
	text := os.Getenv("MILLRACE_CRASHES")
	switch {
	case text == "" && os.Getenv("MILLRACE_SOAK") == "1":
		return 1000
	case text == "":
		return 40
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MILLRACE_CRASHES=%s is no count", text)
	}
	return n
}

// under runs f while the producer publishes, then stops the producer.
func (r *rig) under(load *producer, f func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { load.run(ctx, r.t) })
	f()
	cancel()
	wg.Wait()
}

func (r *rig) rows() (n int) {
	r.t.Helper()
	if err := r.db.QueryRow("SELECT COUNT(*) FROM readings").Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// TestFaultCrashLoop kills the engine with SIGKILL again and again under load.
func TestFaultCrashLoop(t *testing.T) {
	r := newRig(t, setup{})
	seed := seedOf(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLedger()
	var recoveries []time.Duration
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000, copies: 1}, func() {
		for range crashes(t) {
			e := r.start("crash")
			before, began := r.rows(), time.Now()
			testserver.Eventually(t, time.Minute, "rows after a restart", func() error {
				if r.rows() == before {
					return fmt.Errorf("still %d rows", before)
				}
				return nil
			})
			recoveries = append(recoveries, time.Since(began))
			lifecycle.Sleep(t.Context(), time.Duration(rng.IntN(400))*time.Millisecond)
			e.kill()
		}
	})
	r.start("crash")
	v := r.settle(l)
	published, confirmed := l.counts()
	t.Logf("%d published, %d confirmed", published, confirmed)
	prove(t, proof{name: "crash_loop", seed: seed, faults: len(recoveries), verdict: v, took: recoveries})
}

// TestFaultRestartOrder restarts quickly with units in flight, 50 times in a soak. Its
// control is TestFaultControlConsumerGroupBreaksOrder.
func TestFaultRestartOrder(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	p := proof{name: "restart_order", faults: often(20, 50)}
	r.under(&producer{url: r.amqp, ledger: l, rate: 4000, copies: 1}, func() {
		for range p.faults {
			e := r.start("restart")
			r.awaitReady(e)
			e.signal(t, syscall.SIGTERM)
			if err := e.wait(); err != nil {
				t.Fatalf("drain: %v", err)
			}
		}
	})
	r.start("restart")
	p.verdict = r.settle(l)
	prove(t, p)
}

// TestFaultTakeover lets a second engine take over from a killed one.
func TestFaultTakeover(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000, copies: 1}, func() {
		first := r.start("one")
		r.awaitReady(first)
		second := r.start("two")
		first.kill()
		r.awaitReady(second)
		before := r.rows()
		testserver.Eventually(t, time.Minute, "rows by the second engine", func() error {
			if r.rows() == before {
				return fmt.Errorf("still %d rows", before)
			}
			return nil
		})
	})
	prove(t, proof{name: "takeover", faults: 1, verdict: r.settle(l)})
}

// TestFaultStalledOwnerIsFencedOff stops the owner past its lease, lets another
// take over, and wakes the first again: what it still holds is refused. Its line to
// the broker is cut with it; the broker itself would wait for three heartbeats.
func TestFaultStalledOwnerIsFencedOff(t *testing.T) {
	r := newRig(t, setup{})
	direct := slices.Clone(r.env)
	l := newLedger()
	type member struct {
		*engine
		line *testserver.Link
	}
	join := func(id string) member {
		r.env = slices.Clone(direct)
		line := r.throughProxy("AMQP_URLS", testserver.SharedRabbitMQ(t).Addr())
		return member{r.start(id), line}
	}
	first := join("one")
	r.awaitReady(first.engine)
	second := join("two")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		for range 2 {
			r.awaitRows(r.rows() + 100)
			first.signal(t, syscall.SIGSTOP)
			first.line.Down()
			r.awaitRows(r.rows() + 500)
			first.signal(t, syscall.SIGCONT)
			first.line.Up()
			lifecycle.Sleep(t.Context(), time.Second)
			first, second = second, first
		}
	})
	prove(t, proof{name: "stalled_owner", faults: 2, verdict: r.settle(l)})
}

// TestFaultNewerIncarnationReplacesTheOlder starts an engine of the same id where the
// lock file cannot see the first, as on another machine: the newer takes over at once,
// the older ends and says why.
func TestFaultNewerIncarnationReplacesTheOlder(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		first := r.start("same")
		r.awaitRows(500)
		r.env = append(r.env, "XDG_RUNTIME_DIR="+t.TempDir())
		r.start("same")
		r.refused(first, failure, "newer incarnation")
		r.awaitRows(r.rows() + 500)
	})
	prove(t, proof{name: "newer_incarnation", faults: 1, verdict: r.settle(l)})
}

// TestFaultDuplicatePublish publishes every message three times.
func TestFaultDuplicatePublish(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	r.start("dup")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000, copies: 3}, func() { r.awaitRows(2000) })
	r.awaitDrained()
	v := r.settle(l)
	published, _ := l.counts()
	prove(t, proof{name: "duplicate_publish", faults: 2 * published, verdict: v})
	if v.rows != published {
		t.Fatalf("%d rows for %d ids published three times each", v.rows, published)
	}
}

// The oracle's own control: a row that is removed, doubled or moved is noticed.
func TestOracleNoticesLossDoublingAndDisorder(t *testing.T) {
	maria := testserver.SharedMariaDB(t)
	r := &rig{t: t, dsn: maria.Database(t)}
	r.db = maria.Open(t, r.dsn)
	r.exec(tableDDL)
	l := newLedger()
	for i := range 4 {
		id := "m-" + strconv.Itoa(i)
		l.published[id], l.confirmed[id] = true, true
	}
	l.published["m-9"] = true
	insert := func(key int, id string, n int) {
		r.exec(fmt.Sprintf("INSERT INTO readings (event_id, source_id, device, n) VALUES (UNHEX('%032d'), '%s', 'd', %d)", key, id, n))
	}
	insert(0, "m-0", 0)
	insert(2, "m-2", 2)
	insert(1, "m-1", 1)
	insert(3, "m-2", 2)
	insert(4, "m-x", 7)
	want := verdict{rows: 5, lost: 1, doubled: 1, foreign: 1, disordered: 1, firstLost: "m-3"}
	if got := r.judge(l); got != want {
		t.Fatalf("verdict = %+v; want %+v", got, want)
	}
}
