package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/testserver"
)

// Dead letters that are driven again once their cause is mended.

// Statements that make the table refuse numbers above 255, and mend it.
const (
	narrow = "ALTER TABLE readings MODIFY n TINYINT UNSIGNED NOT NULL"
	mend   = "ALTER TABLE readings MODIFY n BIGINT NOT NULL"
)

// post asks the engine for something that is not only looked at.
func (e *engine) post(path string, into any) error {
	req, err := http.NewRequest(http.MethodPost, "http://"+e.listen+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Millrace", "test")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// deadLetters lists the engine's dead letters.
func (e *engine) deadLetters() (l dlq.Listing, err error) {
	_, body, err := e.get("/api/v1/dlq")
	if err == nil {
		err = json.Unmarshal([]byte(body), &l)
	}
	return l, err
}

func (r *rig) awaitLetters(e *engine, want int) (l dlq.Listing) {
	r.t.Helper()
	r.whileItMoves(time.Minute, fmt.Sprintf("%d dead letters", want), func() (n int, err error) {
		if l, err = e.deadLetters(); err == nil && l.Total != want {
			err = fmt.Errorf("%d", l.Total)
		}
		return l.Total, err
	})
	return l
}

// TestFaultBatchBisect: of a thousand readings the one that its column cannot take
// is a dead letter, and it is a row, once, when it is driven again after the fix.
func TestFaultBatchBisect(t *testing.T) {
	const all, guilty = 1000, 255
	r := newRig(t, setup{})
	r.exec("ALTER TABLE readings ADD CONSTRAINT guilty CHECK (n <> 255)")
	l := newLedger()
	r.burst(l, 0, all)
	e := r.start("bisect")
	r.awaitRows(all - 1)
	list := r.awaitLetters(e, 1)
	if d := list.Letters[0]; d.Node != "rows" || d.RootID != fmt.Sprint("m-", guilty) || d.Code == "" || d.Text == "" {
		t.Errorf("letter %+v, want message m-%d with a reason", d, guilty)
	}
	r.exec("ALTER TABLE readings DROP CONSTRAINT guilty")
	for i := range 2 { // again: nothing is left to drive
		var out dlq.Replayed
		if err := e.post("/api/v1/dlq/replay?node=rows", &out); err != nil || out.Events != 1-i {
			t.Fatalf("replay %+v, %v", out, err)
		}
		r.awaitRows(all)
	}
	v := r.settle(l)
	if v.disordered != 1 { // control of strict order below: here the one has come late
		t.Errorf("%d rows are out of order, want the one that was dead", v.disordered)
	}
	v.disordered = 0
	prove(t, proof{name: "batch_bisect", faults: 1, verdict: v})
	r.awaitLetters(e, 0)
}

// TestFaultDeadLettersDrivenAgainUnderKills kills the engine again and again while
// dead letters are driven again: each becomes one row, in the order of its key.
func TestFaultDeadLettersDrivenAgainUnderKills(t *testing.T) {
	const all, kills = 12_000, 5
	r := newRig(t, setup{})
	r.exec(narrow)
	l := newLedger()
	e := r.start("redrive")
	r.burst(l, 0, all)
	r.awaitLetters(e, all-256)
	r.exec(mend)
	e.kill()
	for range kills {
		e = r.start("redrive")
		r.awaitReady(e)
		before := r.rows()
		answered := make(chan error, 1)
		go func(e *engine) { answered <- e.post("/api/v1/dlq/replay?all=true", new(dlq.Replayed)) }(e)
		if before < all {
			r.awaitRows(before + 1)
		}
		e.kill()
		t.Logf("%d rows, then %d, the replay answered %v", before, r.rows(), <-answered)
	}
	e = r.start("redrive")
	r.awaitReady(e)
	if err := e.post("/api/v1/dlq/replay?all=true", new(dlq.Replayed)); err != nil {
		t.Fatal(err)
	}
	prove(t, proof{name: "dead_letters_driven_again", faults: kills, verdict: r.settle(l)})
	r.awaitLetters(e, 0)
}

// TestFaultStrictOrderWaitsBehindADeadLetter: with order strict later readings of a
// device wait behind one that its column cannot take, while the other devices go on.
// Once it is mended and driven again, under kills and with new readings coming in,
// every reading is a row, and each device's are in order.
func TestFaultStrictOrderWaitsBehindADeadLetter(t *testing.T) {
	const old, all, guilty = 4000, 6000, 255
	r := newRig(t, setup{nodes: strings.Replace(usual(1, 2, 3, 4), "    sink: sql\n", "    sink: sql\n    order: strict\n", 1)})
	r.exec("ALTER TABLE readings ADD CONSTRAINT guilty CHECK (n <> 255)")
	l := newLedger()
	e := r.start("strict")
	r.burst(l, 0, old)
	const devices = 4 * devicesPerPlant
	waiting := (old - guilty + devices - 1) / devices // the guilty one and those of its device behind it
	list := r.awaitLetters(e, waiting)
	r.awaitRows(old - waiting)
	dead := 0
	for _, d := range list.Letters {
		if !d.Waits {
			dead++
		}
	}
	if dead != 1 || r.rows() != old-waiting {
		t.Fatalf("%d letters do not wait, %d rows; want 1 and %d", dead, r.rows(), old-waiting)
	}
	if err := e.post("/api/v1/dlq/replay?all=true", new(dlq.Replayed)); err != nil {
		t.Fatal(err)
	}
	r.awaitLetters(e, waiting) // not mended: it is refused again, and nothing has passed it
	r.exec("ALTER TABLE readings DROP CONSTRAINT guilty")
	p := &producer{url: r.amqp, ledger: l}
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for n := old; n < all; n += 500 {
		answered := make(chan error, 1)
		go func(e *engine) { answered <- e.post("/api/v1/dlq/replay?all=true", new(dlq.Replayed)) }(e)
		p.round(t, n, n+500)
		e.kill()
		<-answered
		e = r.start("strict")
		r.awaitReady(e)
	}
	if err := e.post("/api/v1/dlq/replay?all=true", new(dlq.Replayed)); err != nil {
		t.Fatal(err)
	}
	prove(t, proof{name: "strict_order", faults: 1 + (all-old)/500, verdict: r.settle(l)})
	r.awaitLetters(e, 0)
	rdb := r.client()
	testserver.Eventually(t, time.Minute, "no key is held up", func() error { // the log learns of the last rows after the table
		n, err := rdb.HLen(t.Context(), "mr:{faults}:blocked").Result()
		if err == nil && n != 0 {
			err = fmt.Errorf("%d keys", n)
		}
		return err
	})
}
