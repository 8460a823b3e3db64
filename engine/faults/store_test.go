package faults

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// The database's side: away for longer than the log has room.

// peakMemory is the most memory that the process ever had, in bytes.
func (r *rig) peakMemory(e *engine) int {
	r.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		r.t.Fatal("no VmHWM in /proc")
	}
	kib, err := strconv.Atoi(fields[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return kib << 10
}

// memoryBound is what an engine may take while everything behind it is away: its
// own 200 MB less the plugin's share, whatever waits in the queues.
const memoryBound = 200 << 20

// TestFaultDatabaseAwayUntilTheLogIsFull kills MariaDB until the log has no room:
// ingest stops, the broker keeps the rest, the engine's memory stays bounded. When
// the database is back everything goes on by itself.
func TestFaultDatabaseAwayUntilTheLogIsFull(t *testing.T) {
	databaseAway(t, "database_away_log_full", 32_000, setup{settings: "log: { max_bytes: 1MiB }\n"})
}

// TestFaultDatabaseAwayUntilRedisIsFull allows the log more room than Redis has:
// commits, leases and trimming work in what Redis has left, and the rest is as above.
func TestFaultDatabaseAwayUntilRedisIsFull(t *testing.T) {
	databaseAway(t, "database_away_redis_full", 40_000, setup{
		settings: "log: { max_bytes: 1GiB }\n", redis: []testserver.RedisOption{testserver.MaxMemory(8 << 20)},
	})
}

func databaseAway(t *testing.T, name string, all int, s setup) {
	t.Helper()
	maria := testserver.MariaDB(t)
	s.maria = maria
	r := newRig(t, s)
	l := newLedger()
	e := r.start("full")
	r.burst(l, 0, 500)
	r.awaitRows(500)
	maria.Kill()
	r.burst(l, 500, all)
	kept := r.awaitFull(e, all)
	maria.Start()
	p := proof{name: name, faults: 1, took: []time.Duration{r.calm(e)}, verdict: r.settle(l)}
	peak := r.peakMemory(e)
	t.Logf("%d messages were left to the broker, peak memory %d MB", kept, peak>>20)
	prove(t, p)
	if peak > memoryBound {
		t.Errorf("peak memory %d MB", peak>>20)
	}
}

// awaitFull waits until /readyz says that the log is full and every message that
// was published is either in the journal or with the broker. It returns how many the
// broker has.
func (r *rig) awaitFull(e *engine, published int) (kept int) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "a full log", func() error {
		_, body, err := e.get("/readyz")
		if err == nil && !strings.Contains(body, "full") {
			err = fmt.Errorf("not full: %s", body)
		}
		return err
	})
	testserver.Eventually(r.t, time.Minute, "the broker to keep the rest", func() error {
		stored := int(r.metric(e, "millrace_ingested_events_total"))
		if kept = r.waiting(); kept == 0 || stored+kept != published {
			return fmt.Errorf("%d stored, %d kept of %d", stored, kept, published)
		}
		return nil
	})
	return kept
}

// TestFaultDatabaseRestartedUnderLoad kills MariaDB in the middle of transactions:
// nobody knows then whether the last one was committed, and it happens once.
func TestFaultDatabaseRestartedUnderLoad(t *testing.T) {
	maria := testserver.MariaDB(t)
	r := newRig(t, setup{maria: maria})
	l := newLedger()
	p := proof{name: "mariadb_chaos/restarts", faults: 5}
	e := r.start("restart")
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 500)
			maria.Kill()
			maria.Start()
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// TestFaultAwayServersDoNotHoldTheDrain: an engine that is told to end while a
// server does not answer ends all the same, and its successor has everything.
func TestFaultAwayServersDoNotHoldTheDrain(t *testing.T) {
	maria := testserver.MariaDB(t)
	r := newRig(t, setup{maria: maria})
	l := newLedger()
	for i, server := range []interface {
		Pause()
		Resume()
	}{maria, r.redis} {
		e := r.start("drain")
		r.awaitReady(e)
		server.Pause()
		r.burst(l, 1000*i, 1000*i+500)
		e.signal(t, syscall.SIGTERM)
		began := time.Now()
		code := r.exit(e)
		t.Logf("exit code %d after %s", code, time.Since(began).Round(time.Second))
		server.Resume()
	}
	r.start("drain")
	prove(t, proof{name: "drain_without_servers", faults: 2, verdict: r.settle(l)})
}
