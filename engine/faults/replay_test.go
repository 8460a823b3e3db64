package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/replay"
	"github.com/millrace/millrace/engine/testserver"
)

// Replays of the journal beside the live run.

// replay asks for a replay of the rig's journal through a pipeline file.
func (r *rig) replay(e *engine, file string, req replay.Request) {
	r.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	req.File, req.Text = "faults.yaml", string(text)
	if req.From == "" {
		req.From = "earliest"
	}
	req.To = "now"
	body, err := json.Marshal(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.ask(e, http.MethodPost, "", body)
}

// ask sends a request about replays.
func (r *rig) ask(e *engine, method, path string, body []byte) {
	r.t.Helper()
	q, err := http.NewRequest(method, "http://"+e.listen+"/api/v1/replays"+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("X-Millrace", "test")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
}

func (e *engine) replayed(name string) (s replay.Status, err error) {
	_, body, err := e.get("/api/v1/replays/" + name)
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	if err == nil && s.Name != name {
		err = fmt.Errorf("answer %s", body)
	}
	return s, err
}

// awaitReplay waits until the replay has ended and cleared up.
func (r *rig) awaitReplay(e *engine, name string) (s replay.Status) {
	r.t.Helper()
	testserver.Eventually(r.t, 2*time.Minute, "the end of the replay", func() (err error) {
		if s, err = e.replayed(name); err == nil && !s.Cleared {
			err = fmt.Errorf("%s, %d of %d read, %d wait, held %v", s.State, s.Read, s.Events, s.Waiting, s.Held)
		}
		return err
	})
	return s
}

func (r *rig) compared(s replay.Status) (c replay.Comparison) {
	r.t.Helper()
	if s.State != replay.Done || len(s.Results) != 1 {
		r.t.Fatalf("replay %+v", s)
	}
	if err := json.Unmarshal(s.Results[0].Comparison, &c); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// client asks the rig's Redis; it is closed with the test.
func (r *rig) client() *redis.Client {
	r.t.Helper()
	options, err := redis.ParseURL(r.redis.URL())
	if err != nil {
		r.t.Fatal(err)
	}
	c := redis.NewClient(options)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// nothingLeft fails if the replay has left anything in the log, or a position. A lease
// that could not be given back in time goes by itself.
func (r *rig) nothingLeft(name string) {
	r.t.Helper()
	log := r.client()
	testserver.Eventually(r.t, time.Minute, "the last key of replay "+name+" to go", func() error {
		keys, err := log.Keys(r.t.Context(), "*@"+name+"-*").Result()
		if err == nil && len(keys) > 0 {
			err = fmt.Errorf("there is %v", keys)
		}
		return err
	})
	var n int
	if err := r.db.QueryRow("SELECT COUNT(*) FROM millrace_positions WHERE generation LIKE ?", name+"-%").Scan(&n); err != nil || n > 0 {
		r.t.Errorf("%d positions, %v are left of replay %s", n, err, name)
	}
}

// TestFaultShadowReplayUnderKillsAndLoad replays everything into a table of its own
// while new readings come in and the engine is killed: the table is the live one's
// equal, and the live run has not noticed.
func TestFaultShadowReplayUnderKillsAndLoad(t *testing.T) {
	const old, kills = 12_000, 3
	r := newRig(t, setup{})
	l := newLedger()
	e := r.start("replay")
	r.burst(l, 0, old)
	r.awaitRows(old)
	r.replay(e, r.file, replay.Request{Name: "trial", Mode: replay.Shadow, Rate: 4000})
	p := &producer{url: r.amqp, ledger: l}
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for i := range kills {
		var s replay.Status
		testserver.Eventually(t, time.Minute, "progress", func() (err error) {
			if s, err = e.replayed("trial"); err == nil && s.Read < int64((i+1)*1500) {
				err = fmt.Errorf("%d read", s.Read)
			}
			return err
		})
		p.round(t, old+i*500, old+(i+1)*500)
		e.kill()
		t.Logf("killed at %d of %d", s.Read, s.Events)
		e = r.start("replay")
		r.awaitReady(e)
	}
	s := r.awaitReplay(e, "trial")
	c := r.compared(s)
	if s.Events != old || c.Here != old || c.OnlyHere != 0 || c.Different != 0 || c.OnlyThere == nil || *c.OnlyThere != 0 {
		t.Fatalf("replay of %d events: %+v", s.Events, c)
	}
	var doubled int
	if err := r.db.QueryRow("SELECT COUNT(*) - COUNT(DISTINCT source_id) FROM readings__replay_trial").Scan(&doubled); err != nil || doubled != 0 {
		t.Fatalf("%d doubled, %v", doubled, err)
	}
	prove(t, proof{name: "replay/shadow", faults: kills, verdict: r.settle(l)})
	r.nothingLeft("trial")
	r.ask(e, http.MethodDelete, "/trial", nil)
	var table string
	if err := r.db.QueryRow("SHOW TABLES LIKE 'readings\\_\\_replay%'").Scan(&table); err == nil {
		t.Errorf("table %s is left", table)
	}
}

// TestFaultReplayThroughAnotherPlanShowsEveryDifference: what the new plan makes of
// the past is compared by column, and nothing of it stays.
func TestFaultReplayThroughAnotherPlanShowsEveryDifference(t *testing.T) {
	const all = 2000
	r := newRig(t, setup{})
	l := newLedger()
	r.burst(l, 0, all)
	e := r.start("other")
	r.awaitRows(all)
	other := r.write("faults", "", strings.Replace(usual(1, 2, 3, 4), "C->F", "C->K", 1))
	r.replay(e, other, replay.Request{Name: "kelvin", Mode: replay.None})
	c := r.compared(r.awaitReplay(e, "kelvin"))
	if c.Here != all || c.Different != all || c.OnlyHere != 0 || len(c.Columns) != 1 || c.Columns[0].Name != "value" || len(c.Sample) != 10 {
		t.Errorf("comparison %+v", c)
	}
	var table string
	if err := r.db.QueryRow("SHOW TABLES LIKE 'readings\\_\\_replay%'").Scan(&table); err == nil {
		t.Errorf("table %s is left", table)
	}
	r.nothingLeft("kelvin")
	r.settle(l).must(t)
}

// TestFaultLiveReplayRestoresWhatWasLost: rows that somebody deleted come back, the
// others are left alone, unless their values are to be replaced.
func TestFaultLiveReplayRestoresWhatWasLost(t *testing.T) {
	const all = 3000
	r := newRig(t, setup{})
	l := newLedger()
	r.burst(l, 0, all)
	e := r.start("live")
	r.awaitRows(all)
	r.exec("DELETE FROM readings WHERE n % 7 = 0")
	r.exec("UPDATE readings SET value = -1 WHERE n % 7 = 1")
	wrong := func() (n int) {
		if err := r.db.QueryRow("SELECT COUNT(*) FROM readings WHERE value = -1").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	broken := wrong()
	r.replay(e, r.file, replay.Request{Name: "again", Mode: replay.Live})
	if s := r.awaitReplay(e, "again"); s.State != replay.Done || r.rows() != all || wrong() != broken {
		t.Fatalf("%s (%s): %d rows, %d wrong; want %d and %d", s.State, s.Error, r.rows(), wrong(), all, broken)
	}
	r.replay(e, r.file, replay.Request{Name: "mend", Mode: replay.Live, Overwrite: true})
	if s := r.awaitReplay(e, "mend"); s.State != replay.Done || r.rows() != all || wrong() != 0 {
		t.Fatalf("%s (%s): %d rows, %d wrong; want %d and 0", s.State, s.Error, r.rows(), wrong(), all)
	}
	v := r.settle(l)
	v.disordered = 0 // what came back is late
	prove(t, proof{name: "replay/live", faults: 1, verdict: v})
	r.nothingLeft("again")
	r.nothingLeft("mend")
}

// TestFaultPausedReplayPinsItsStretch: the journal keeps what a paused replay has
// not read, whatever the retention says, and gives it up when the replay is stopped.
func TestFaultPausedReplayPinsItsStretch(t *testing.T) {
	const all = 2000
	// The last entry of each lane stays for the time, those before it go by their bytes.
	r := newRig(t, setup{settings: "log: { retention: 20s, retention_bytes: 1KiB }\n"})
	l := newLedger()
	e := r.start("pause")
	r.awaitReady(e)
	r.burst(l, 0, 100)
	r.awaitRows(100)
	r.replay(e, r.file, replay.Request{Name: "slow", Mode: replay.Shadow, Rate: 1})
	r.ask(e, http.MethodPost, "/slow/pause", nil)
	testserver.Eventually(t, time.Minute, "pause", func() error {
		s, err := e.replayed("slow")
		if err == nil && s.State != replay.Paused {
			err = fmt.Errorf("%s", s.State)
		}
		return err
	})
	s, err := e.replayed("slow")
	if err != nil || s.Read == s.Events || s.Events == 0 {
		t.Fatalf("replay %+v, %v: it has read all before it was paused", s, err)
	}
	r.burst(l, 100, all)
	r.awaitRows(all)
	kept := func() (n int64) {
		for lane := range 4 {
			length, err := r.client().XLen(t.Context(), fmt.Sprintf("mr:{faults}:stream:journal:%d", lane)).Result()
			if err != nil {
				t.Fatal(err)
			}
			n += length
		}
		return n
	}
	before := kept()
	if before == 0 {
		t.Fatal("the journal is empty although a replay is paused")
	}
	r.ask(e, http.MethodPost, "/slow/stop", nil)
	if s := r.awaitReplay(e, "slow"); s.State != replay.Stopped {
		t.Fatalf("state %s", s.State)
	}
	testserver.Eventually(t, time.Minute, "trimming", func() error {
		if n := kept(); n >= before {
			return fmt.Errorf("%d entries of %d are kept", n, before)
		}
		return nil
	})
	r.nothingLeft("slow")
	r.settle(l).must(t)
}
