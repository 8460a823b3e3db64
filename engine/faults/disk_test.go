package faults

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// A full disk under each of the servers.

// spaceAlive is ten times the five seconds that are claimed.
const spaceAlive = 50 * time.Second

// awaitRed waits until /readyz says that something is wrong.
func (r *rig) awaitRed(e *engine) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "red readiness", func() error {
		status, body, err := e.get("/readyz")
		if err == nil && status == http.StatusOK {
			err = errors.New(body)
		}
		return err
	})
}

// TestFaultDiskFullUnderMariaDB: rows that find no room wait, and go on when there
// is some.
func TestFaultDiskFullUnderMariaDB(t *testing.T) {
	disk := testserver.SmallDisk(t, 256<<20)
	maria := testserver.MariaDB(t, testserver.DataOn(disk.Dir))
	r := newRig(t, setup{maria: maria})
	l := newLedger()
	p := proof{name: "disk_full/mariadb", faults: often(2, 5), alive: spaceAlive}
	e := r.start("disk")
	r.under(&producer{url: r.amqp, ledger: l, rate: 3000}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 500)
			disk.Fill(0)
			r.awaitReason(e, "full")
			disk.Free()
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// TestFaultDiskFullUnderRedis: a Redis that must sync and cannot ends by itself.
// What it has acknowledged is on its disk; the engine waits for it, and goes on when
// the service's manager has started it again.
func TestFaultDiskFullUnderRedis(t *testing.T) {
	disk := testserver.SmallDisk(t, 64<<20)
	r := newRig(t, setup{redis: []testserver.RedisOption{testserver.DataOn(disk.Dir)}})
	l := newLedger()
	p := proof{name: "disk_full/redis", faults: often(2, 5), alive: spaceAlive}
	e := r.start("disk")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 500)
			disk.Fill(0)
			testserver.Eventually(t, time.Minute, "the end of Redis", func() error {
				if pid := r.redis.PID(); pid != 0 {
					return fmt.Errorf("pid %d", pid)
				}
				return nil
			})
			r.awaitRed(e)
			disk.Free()
			r.redis.Start()
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// awaitAlarm waits until the broker says that it has no room.
func awaitAlarm(t *testing.T, broker *testserver.RabbitServer) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	testserver.Eventually(t, time.Minute, "the broker's alarm", func() error {
		resp, err := client.Get(broker.ManagementURL() + "/api/nodes")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains(string(body), `"disk_free_alarm":true`) {
			err = errors.New("it is not on")
		}
		return err
	})
}

// TestFaultDiskFullUnderRabbitMQ: the broker takes nothing more from its publishers,
// and gives the engine all that it has taken; they go on when there is room.
func TestFaultDiskFullUnderRabbitMQ(t *testing.T) {
	disk := testserver.SmallDisk(t, 256<<20)
	broker := testserver.RabbitMQ(t, testserver.WithManagement(), testserver.DataOn(disk.Dir))
	r := newRig(t, setup{rabbit: broker})
	l := newLedger()
	p := proof{name: "disk_full/rabbitmq", faults: often(1, 5), alive: spaceAlive}
	e := r.start("disk")
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 500)
			disk.Fill(25 << 20) // below the broker's limit of 50 MB
			awaitAlarm(t, broker)
			r.settleBlocked(l)
			r.awaitReady(e)
			disk.Free()
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	r.keepsAll(e)
}

// settleBlocked waits until no message is confirmed any more and all that are have
// their rows.
func (r *rig) settleBlocked(l *ledger) {
	r.t.Helper()
	last, since := -1, time.Now()
	testserver.Eventually(r.t, time.Minute, "a blocked publisher", func() error {
		if _, confirmed := l.counts(); confirmed != last {
			last, since = confirmed, time.Now()
		}
		if rows := r.rows(); time.Since(since) < time.Second || rows < last {
			return fmt.Errorf("%d confirmed, %d rows", last, rows)
		}
		return nil
	})
}
