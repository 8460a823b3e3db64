package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// The broker's side: lines that break, messages that come twice, ids that are
// equal without being the same.

// awaitRows waits until at least n rows are there.
func (r *rig) awaitRows(n int) {
	r.t.Helper()
	r.whileItMoves(time.Minute, fmt.Sprintf("%d rows", n), func() (have int, err error) {
		if have = r.rows(); have < n {
			err = fmt.Errorf("%d rows", have)
		}
		return have, err
	})
}

// behindSlowLine puts a slow line between engine and broker: when it breaks, the
// acknowledgements on their way are lost, and the broker hands out again what the
// engine has stored.
func (r *rig) behindSlowLine(delay time.Duration) *testserver.Link {
	r.t.Helper()
	link := r.throughProxy("AMQP_URLS", testserver.SharedRabbitMQ(r.t).Addr())
	link.Latency(delay)
	return link
}

// dropLine breaks the line again and again under load.
func (r *rig) dropLine(link *testserver.Link, l *ledger, drops int) {
	r.t.Helper()
	r.under(&producer{url: r.amqp, ledger: l, rate: 1500}, func() {
		for range drops {
			r.awaitRows(r.rows() + 100)
			link.Drop()
		}
	})
}

// TestFaultBrokerConnectionDropped20Times drops the engine's line to the broker
// under load. Messages come again, and make no second row.
func TestFaultBrokerConnectionDropped20Times(t *testing.T) {
	r := newRig(t, setup{})
	link := r.behindSlowLine(20 * time.Millisecond)
	l := newLedger()
	e := r.start("drop")
	r.dropLine(link, l, 20)
	v := r.settle(l)
	repeated := r.metric(e, "millrace_repeated_messages_total")
	t.Logf("%.0f messages came again and were left out", repeated)
	prove(t, proof{name: "broker_connection_dropped", faults: 20, verdict: v})
	if repeated == 0 {
		t.Error("no message came twice: the drops tested nothing")
	}
}

// Control: without an identity the messages that come again are stored again.
func TestFaultControlDropsWithoutIdentityDouble(t *testing.T) {
	nodes := strings.ReplaceAll(usual(1, 2, 3, 4), `, identity: "message_id ?? payload.id"`, "")
	nodes = strings.Replace(nodes, "from: root_id", "from: message_id", 1)
	r := newRig(t, setup{nodes: nodes})
	link := r.behindSlowLine(20 * time.Millisecond)
	l := newLedger()
	r.start("drop")
	r.dropLine(link, l, 8)
	if v := r.settle(l); v.doubled == 0 {
		t.Fatalf("%d rows and none doubled: the test above proves nothing", v.rows)
	}
}

// burst publishes the numbers from..to-1 and returns when all are confirmed.
func (r *rig) burst(l *ledger, from, to int) {
	r.t.Helper()
	p := &producer{url: r.amqp, ledger: l}
	if err := p.open(); err != nil {
		r.t.Fatal(err)
	}
	defer p.close()
	for n := from; n < to; n += 500 {
		p.round(r.t, n, min(n+500, to))
	}
}

// TestFaultRedeliveredIDsGiveOneRow stores messages whose acknowledgements are
// lost, so that the broker delivers them again, to the same engine and to its
// successor, and publishes them once more on top.
func TestFaultRedeliveredIDsGiveOneRow(t *testing.T) {
	r := newRig(t, setup{})
	link := r.behindSlowLine(200 * time.Millisecond)
	l := newLedger()
	e := r.start("again")
	r.burst(l, 0, 0) // declares the queues
	r.awaitReady(e)
	const burst, most = 400, 20
	sent := 0
	for r.metric(e, "millrace_repeated_messages_total") == 0 && sent < most*burst {
		r.burst(l, sent, sent+burst)
		sent += burst
		r.awaitRows(sent)
		link.Drop() // the acknowledgements are still on their way, unless this machine is slow
		r.awaitReady(e)
	}
	r.awaitMetric(e, "millrace_repeated_messages_total", 1)
	e.kill()
	e = r.start("again")
	r.burst(l, 0, sent)
	r.awaitMetric(e, "millrace_repeated_messages_total", float64(sent))
	v := r.settle(l)
	if prove(t, proof{name: "redelivered_ids", faults: sent, verdict: v}); v.rows != sent {
		t.Fatalf("%d rows for %d ids", v.rows, sent)
	}
}

// TestFaultEqualIDsOfTwoPlants publishes the same ids to two plants' queues: they
// are different messages.
func TestFaultEqualIDsOfTwoPlants(t *testing.T) {
	const n = 300
	r := newRig(t, setup{})
	r.start("equal")
	l := newLedger()
	for plant := range 2 {
		p := &producer{url: r.amqp, ledger: l, plant: plant + 1}
		if err := p.open(); err != nil {
			t.Fatal(err)
		}
		p.round(t, 0, n)
		p.round(t, 0, n)
		p.close()
	}
	r.awaitRows(2 * n)
	r.awaitDrained()
	var rows, ids, pairs int
	err := r.db.QueryRow("SELECT COUNT(*), COUNT(DISTINCT source_id), COUNT(DISTINCT plant, source_id) FROM readings").Scan(&rows, &ids, &pairs)
	if err != nil {
		t.Fatal(err)
	}
	if rows != 2*n || ids != n || pairs != 2*n {
		t.Fatalf("%d rows, %d ids, %d ids of a plant; want %d, %d, %[4]d", rows, ids, pairs, 2*n, n)
	}
}

// waiting counts the messages that the broker has and no consumer holds.
func (r *rig) waiting() (n int) {
	r.t.Helper()
	p := &producer{url: r.amqp}
	if err := p.open(); err != nil {
		r.t.Fatal(err)
	}
	defer p.close()
	for i := range 4 {
		q, err := p.ch.QueueDeclarePassive(queue(i), true, false, false, false, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		n += q.Messages
	}
	return n
}

// awaitDrained waits until the engine has taken all that the broker had, and every
// reader has passed all that the log has.
func (r *rig) awaitDrained() {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "empty queues", func() error {
		if n := r.waiting(); n > 0 {
			return fmt.Errorf("%d messages wait", n)
		}
		return nil
	})
	last, since := r.rows(), time.Now()
	testserver.Eventually(r.t, time.Minute, "no more rows", func() error {
		if n := r.rows(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < time.Second {
			return fmt.Errorf("%d rows", last)
		}
		return nil
	})
}
