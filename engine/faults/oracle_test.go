package faults

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/testserver"
)

const devicesPerPlant = 8

// ledger is what the producer knows: a line is written only after the broker's
// confirm. Numbers rise within a (plant, device).
type ledger struct {
	mu        sync.Mutex
	published map[string]bool // by message id; guarded by mu
	confirmed map[string]bool // guarded by mu
}

func newLedger() *ledger {
	return &ledger{published: map[string]bool{}, confirmed: map[string]bool{}}
}

func (l *ledger) note(m map[string]bool, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m[id] = true
}

func (l *ledger) counts() (published, confirmed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.published), len(l.confirmed)
}

// producer publishes readings to the four queues at a rate until ctx ends. Each
// message may be published several times in a row.
type producer struct {
	url    string
	ledger *ledger
	rate   int // messages per second over all queues
	copies int // of each message; default 1
	plant  int // the only plant that gets any; 0: all four in turn

	conn *amqp091.Connection
	ch   *amqp091.Channel
}

// open connects and makes sure that the queues are there.
func (p *producer) open() (err error) {
	if p.conn, err = amqp091.Dial(p.url); err != nil {
		return err
	}
	p.ch, err = p.conn.Channel()
	if err == nil {
		err = p.ch.Confirm(false)
	}
	for i := range 4 {
		if err == nil {
			_, err = p.ch.QueueDeclare(queue(i), true, false, false, false, nil)
		}
	}
	return err
}

func (p *producer) close() { _ = p.conn.Close() } // everything is confirmed

func (p *producer) run(ctx context.Context, t *testing.T) {
	if err := p.open(); err != nil {
		t.Error(err)
		return
	}
	defer p.close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	batch := max(1, p.rate/50)
	for n := 0; ctx.Err() == nil; n += batch {
		<-tick.C
		p.round(t, n, n+batch)
	}
}

// round publishes the numbers from..to-1 and waits for their confirms.
func (p *producer) round(t *testing.T, from, to int) {
	var waiting []pending
	for n := from; n < to; n++ {
		for range max(1, p.copies) {
			waiting = append(waiting, p.publish(t, n))
		}
	}
	for _, w := range waiting {
		if w.confirm != nil && w.confirm.Wait() {
			p.ledger.note(p.ledger.confirmed, w.id)
		}
	}
}

type pending struct {
	id      string
	confirm *amqp091.DeferredConfirmation
}

func queue(i int) string { return fmt.Sprintf("master.plant%d", i%4+1) }

func (p *producer) publish(t *testing.T, n int) pending {
	id := "m-" + strconv.Itoa(n)
	p.ledger.note(p.ledger.published, id)
	to := queue(n)
	if p.plant > 0 {
		to = queue(p.plant - 1)
	}
	c, err := p.ch.PublishWithDeferredConfirm("", to, true, false, amqp091.Publishing{
		ContentType: "application/json", DeliveryMode: amqp091.Persistent, MessageId: id, Body: reading(id, n),
	})
	if err != nil {
		t.Error(err)
	}
	return pending{id, c}
}

// reading is the body of message n.
func reading(id string, n int) []byte {
	return fmt.Appendf(nil, `{"id":%q,"device":"d%d-%d","metric":"temperature","ts":"%s","n":%d,"value":%d.5,"unit":"C"}`,
		id, n%4, n/4%devicesPerPlant, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), n, n%100)
}

// verdict is what the oracle found.
type verdict struct {
	rows, lost, doubled, foreign, disordered int
	firstLost                                string
}

// judge compares the table with the ledger: every confirmed id exactly once, other
// rows only from published ids, numbers rising by arrival within each device.
func (r *rig) judge(l *ledger) verdict {
	r.t.Helper()
	rows, err := r.db.Query("SELECT source_id, device, n FROM readings ORDER BY arrival")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	var v verdict
	seen, last := map[string]bool{}, map[string]int{}
	for rows.Next() {
		var id, device string
		var n int
		if err := rows.Scan(&id, &device, &n); err != nil {
			r.t.Fatal(err)
		}
		v.rows++
		if seen[id] {
			v.doubled++
		}
		if !l.published[id] {
			v.foreign++
		}
		if prev, ok := last[device]; ok && n < prev {
			v.disordered++
		}
		seen[id], last[device] = true, n
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	for id := range l.confirmed {
		if !seen[id] {
			v.lost++
			v.firstLost = id
		}
	}
	return v
}

// settle waits until every confirmed id has its row or no row has come for a while,
// and then judges.
func (r *rig) settle(l *ledger) verdict {
	r.t.Helper()
	var v verdict
	_, confirmed := l.counts()
	r.whileItMoves(90*time.Second, "all confirmed messages in the table", func() (n int, err error) {
		if err := r.db.QueryRow("SELECT COUNT(*) FROM readings").Scan(&n); err != nil {
			return n, err
		}
		if n < confirmed {
			return n, fmt.Errorf("%d rows of %d confirmed messages", n, confirmed)
		}
		if v = r.judge(l); v.lost > 0 {
			return n, fmt.Errorf("%d lost, such as %s", v.lost, v.firstLost)
		}
		return n, nil
	})
	return v
}

// whileItMoves waits until look finds nothing wrong. Its number says how far things have
// come: a slow machine may take long, but not stand still for longer than that.
func (r *rig) whileItMoves(still time.Duration, what string, look func() (n int, err error)) {
	r.t.Helper()
	last, since := -1, time.Now()
	testserver.Eventually(r.t, 10*time.Minute, what, func() error {
		n, err := look()
		if n != last {
			last, since = n, time.Now()
		}
		if err != nil && time.Since(since) > still {
			r.t.Fatalf("nothing has moved for %s towards %s: %v", still, what, err)
		}
		return err
	})
}

func (v verdict) must(t *testing.T) {
	t.Helper()
	if v.lost+v.doubled+v.foreign+v.disordered > 0 {
		t.Fatalf("lost %d, doubled %d, foreign %d, out of order %d among %d rows", v.lost, v.doubled, v.foreign, v.disordered, v.rows)
	}
}
