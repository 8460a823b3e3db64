package faults

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/testserver"
)

// Power: a Redis whose files lose whatever was not synced when it is killed.

// TestFaultPowerLossOfTheLog cuts Redis' power again and again under load. A strict
// log has on disk whatever it acknowledged, and goes on by itself.
func TestFaultPowerLossOfTheLog(t *testing.T) {
	r := newRig(t, setup{redis: []testserver.RedisOption{testserver.LostWrites(t)}})
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLedger()
	e := r.start("power")
	var away []time.Duration
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000, copies: 1}, func() {
		r.awaitRows(200)
		for range often(15, 200) {
			lifecycle.Sleep(t.Context(), time.Duration(rng.IntN(200))*time.Millisecond)
			began := time.Now()
			r.redis.Kill()
			before := r.rows()
			r.redis.Start()
			r.awaitRows(before + 200)
			away = append(away, time.Since(began))
		}
	})
	prove(t, proof{name: "power_loss_log", seed: seed, faults: len(away), verdict: r.settle(l), took: away})
	r.awaitReady(e)
}

// appendOnlyBytes is what Redis' append-only file has on disk.
func (r *rig) appendOnlyBytes() (n int64) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.redis.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			r.t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// awaitUnsynced waits until the engine has stored least events since the last time
// that anything reached the disk.
func (r *rig) awaitUnsynced(e *engine, least float64) {
	r.t.Helper()
	const stored = "millrace_ingested_events_total"
	synced, before := r.appendOnlyBytes(), r.metric(e, stored)
	testserver.Eventually(r.t, time.Minute, "events that are not on disk", func() error {
		now := r.metric(e, stored)
		if size := r.appendOnlyBytes(); size != synced {
			synced, before = size, now
		}
		if now-before < least {
			return fmt.Errorf("%.0f since the last sync", now-before)
		}
		return nil
	})
}

// holdTable keeps the sink from writing until the returned function is called.
func (r *rig) holdTable() (letGo func()) {
	r.t.Helper()
	conn, err := r.db.Conn(r.t.Context())
	if err == nil {
		_, err = conn.ExecContext(r.t.Context(), "LOCK TABLES readings WRITE")
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
			r.t.Error(err)
		}
	})
	return func() {
		r.t.Helper()
		if _, err := conn.ExecContext(r.t.Context(), "UNLOCK TABLES"); err != nil {
			r.t.Fatal(err)
		}
		_ = conn.Close() // gives it back to the pool
	}
}

// acceptLoss runs `engine log accept-loss` for engine id.
func (r *rig) acceptLoss(id string) {
	r.t.Helper()
	cmd := exec.Command(r.binary, "log", "accept-loss", "--yes", "--id", id, r.file)
	cmd.Env = append(os.Environ(), r.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("accept-loss: %v\n%s", err, out)
	}
}

// Control: with a sync a second and best effort, what was acknowledged after the
// last sync is gone with the power. The engine does not pass over it: it stops, says
// what it misses, and goes on once a person has accepted the loss. That strict refuses
// such a Redis shows TestFaultEverysecIsRefusedUnderStrict.
func TestFaultControlPowerLossWithEverysecLoses(t *testing.T) {
	r := newRig(t, setup{
		settings: "durability: best_effort\n",
		redis:    []testserver.RedisOption{testserver.LostWrites(t), testserver.AppendFsync("everysec")},
	})
	l := newLedger()
	e := r.start("effort")
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		r.awaitRows(500)
		letGo := r.holdTable() // what is lost must not be in the table already
		r.awaitUnsynced(e, 300)
		r.redis.Kill()
		r.redis.Start()
		r.refused(e, failure, "engine log accept-loss")
		letGo()
	})
	r.acceptLoss("effort")
	r.start("effort")
	r.awaitDrained()
	v := r.judge(l)
	_, confirmed := l.counts()
	t.Logf("%d of %d confirmed messages are gone, doubled %d, out of order %d", v.lost, confirmed, v.doubled, v.disordered)
	if v.lost == 0 {
		t.Error("nothing was lost: the test above proves nothing")
	}
	if v.doubled+v.foreign+v.disordered > 0 {
		t.Errorf("doubled %d, foreign %d, out of order %d", v.doubled, v.foreign, v.disordered)
	}
}
