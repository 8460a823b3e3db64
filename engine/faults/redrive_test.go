package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
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
	testserver.Eventually(r.t, time.Minute, fmt.Sprintf("%d dead letters", want), func() (err error) {
		if l, err = e.deadLetters(); err == nil && l.Total != want {
			err = fmt.Errorf("%d", l.Total)
		}
		return err
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
	v.disordered = 0 // it is late
	v.must(t)
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
	r.settle(l).must(t)
	r.awaitLetters(e, 0)
}
