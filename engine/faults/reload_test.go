package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/reload"
	"github.com/millrace/millrace/engine/testserver"
)

// rewrite puts other nodes into the rig's file, as an editor does.
func (r *rig) rewrite(nodes string) {
	r.t.Helper()
	text := fmt.Sprintf(pipelineFile, "faults", "", filepath.Join(repoRoot(), "plugins", "bin"), nodes)
	if err := os.WriteFile(r.file+".new", []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.file+".new", r.file); err != nil {
		r.t.Fatal(err)
	}
}

// reload asks the engine to apply its file and wants the outcome.
func (r *rig) reload(e *engine, want reload.Outcome) *reload.Result {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://"+e.listen+"/api/v1/reload", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-Millrace", "test")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var result reload.Result
	if err := json.NewDecoder(resp.Body).Decode(&result); err != nil {
		r.t.Fatal(err)
	}
	var text strings.Builder
	_ = result.Write(&text) // a builder takes everything
	r.t.Log(text.String())
	if result.Outcome != want {
		r.t.Fatalf("outcome %s, want %s", result.Outcome, want)
	}
	return &result
}

// shapes are files of one pipeline, each with another change against the one before.
func shapes() []struct{ name, nodes string } {
	base := usual(1, 2, 3, 4)
	change := func(from string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(from) }
	more := strings.NewReplacer("id: rows", "id: more", "table: readings", "table: readings2").Replace(sinkNode) + "    inputs: [celsius]\n    start: now\n"
	renamed := change(base, "id: celsius", "id: kelvin", "[celsius]", "[kelvin]")
	without := change(base[:strings.Index(base, "  - id: celsius")]+base[strings.Index(base, "  - id: rows"):], "[celsius]", "[readings]", "id: readings\n", "id: readings\n    key: device\n")
	first := change(base, "id: readings", "id: decoded", "[readings]", "[decoded]")
	return []struct{ name, nodes string }{
		{"an option", change(base, "C->F", "F->C")},
		{"back", base},
		{"a sink more", base + more},
		{"that sink less", base},
		{"a plugin renamed", renamed},
		{"the plugin taken out", without},
		{"and put back in", base},
		{"the stage's first node renamed", first},
		{"a source renamed", change(first, "id: plant1", "id: hall1", "[plant1", "[hall1")},
		{"back to the first file", base},
		{"a stage cut in two", change(base, "with: { time: ts }", "with: { time: ts }\n    durable: true")},
		{"and made one again", base},
	}
}

// TestFaultReloadsUnderLoad applies file after file, and broken ones between them, while
// messages come in: each is stored once and in order, whichever nodes it met.
func TestFaultReloadsUnderLoad(t *testing.T) {
	r := newRig(t, setup{})
	r.exec(strings.Replace(tableDDL, "readings", "readings2", 1))
	l := newLedger()
	p := proof{name: "reloads_under_load"}
	e := r.start("reload")
	r.awaitReady(e)
	var paused []time.Duration
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		r.awaitRows(1000)
		for _, shape := range shapes() {
			r.rewrite("  - { id: broken }\n")
			r.reload(e, reload.Refused)
			r.rewrite(shape.nodes)
			t.Log(shape.name)
			result := r.reload(e, reload.Applied)
			if result.Count(plan.Kept) == len(result.Nodes) {
				t.Errorf("%s: nothing has changed", shape.name)
			}
			p.faults++
			paused = append(paused, time.Duration(result.Paused*float64(time.Second)))
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	t.Logf("the part that stood still longest did so for p50 %s, p95 %s", quantile(paused, 50), quantile(paused, 95))
	prove(t, p)
	if n := r.metric(e, "millrace_dead_letters_total"); n > 0 {
		t.Errorf("%.0f events were given up", n)
	}
	var twice int
	if err := r.db.QueryRow("SELECT COUNT(*) - COUNT(DISTINCT source_id) FROM readings2").Scan(&twice); err != nil || twice != 0 {
		t.Errorf("the second table has %d rows twice, %v", twice, err)
	}
}

// TestFaultReloadWaitsForDatabase: a file whose sink cannot be opened while the database
// is away is applied when that is back; until then everything is as it was.
func TestFaultReloadWaitsForDatabase(t *testing.T) {
	maria := testserver.MariaDB(t)
	r := newRig(t, setup{maria: maria})
	l := newLedger()
	e := r.start("away")
	r.awaitReady(e)
	var waited sync.WaitGroup
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		r.awaitRows(500)
		maria.Stop()
		r.rewrite(strings.NewReplacer("id: celsius", "id: kelvin", "[celsius]", "[kelvin]").Replace(usual(1, 2, 3, 4)))
		waited.Go(func() {
			testserver.Eventually(t, time.Minute, "the wait for the sink", func() error {
				if !strings.Contains(e.log.tail(1<<20), `"msg":"reload waits"`) {
					return fmt.Errorf("not begun")
				}
				return nil
			})
			maria.Start()
		})
		r.reload(e, reload.Applied)
		waited.Wait()
		r.goesOn(e)
	})
	prove(t, proof{name: "reload_without_database", faults: 1, verdict: r.settle(l)})
}

// TestFaultKilledInAReload kills the engine at chance moments of a change of options,
// which hands no place on: whichever file is there then, it goes on.
func TestFaultKilledInAReload(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	p := proof{name: "killed_in_a_reload", faults: often(3, 30)}
	base := usual(1, 2, 3, 4)
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		for i := range p.faults {
			e := r.start("killed")
			r.awaitRows(r.rows() + 300)
			old := r.awaitPlugins(e, nil)
			r.rewrite(strings.Replace(base, "C->F", []string{"F->C", "C->F"}[i%2], 1))
			e.signal(t, syscall.SIGHUP)
			testserver.Eventually(t, time.Minute, "the new plugin", func() error { // the old one may be gone by then
				now := r.pluginsOf(e)
				if slices.ContainsFunc(now, func(pid int) bool { return !slices.Contains(old, pid) }) {
					return nil
				}
				return fmt.Errorf("plugins %v, before %v", now, old)
			})
			e.kill()
		}
	})
	r.start("killed")
	p.verdict = r.settle(l)
	prove(t, p)
}

// TestFaultControlRestartHandsNoPlacesOn is the control: the same change made by ending
// the engine and running the other file loses what rested before the sink, and doubles
// what the stage had read.
func TestFaultControlRestartHandsNoPlacesOn(t *testing.T) {
	for _, c := range []struct {
		name       string
		from, to   []string
		lost, dbld bool
	}{
		{"a stream renamed", []string{"id: celsius", "[celsius]"}, []string{"id: kelvin", "[kelvin]"}, true, false},
		{"a stage renamed", []string{"id: readings", "[readings]"}, []string{"id: decoded", "[decoded]"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			maria := testserver.MariaDB(t)
			r := newRig(t, setup{maria: maria})
			l := newLedger()
			e := r.start("control")
			r.burst(l, 0, 1000)
			r.awaitRows(1000)
			maria.Pause()
			r.burst(l, 1000, 2000)
			testserver.Eventually(t, time.Minute, "everything in the last stream", func() error {
				if n := r.metric(e, "millrace_ingested_events_total"); n < 2000 {
					return fmt.Errorf("%g taken in", n)
				}
				if n := r.metric(e, "millrace_node_events_in_total"); n < 2*2000 {
					return fmt.Errorf("%g handled", n)
				}
				return nil
			})
			e.kill()
			maria.Resume()
			r.rewrite(strings.NewReplacer(c.from[0], c.to[0], c.from[1], c.to[1]).Replace(usual(1, 2, 3, 4)))
			e = r.start("control")
			r.awaitReady(e)
			r.burst(l, 2000, 2500)
			testserver.Eventually(t, time.Minute, "the last message's row", func() error {
				var n int
				if err := r.db.QueryRow("SELECT COUNT(*) FROM readings WHERE n >= 2000").Scan(&n); err != nil || n < 500 {
					return fmt.Errorf("%d, %v", n, err)
				}
				return nil
			})
			v := r.judge(l)
			t.Logf("lost %d, doubled %d", v.lost, v.doubled)
			if (v.lost > 0) != c.lost || (v.doubled > 0) != c.dbld {
				t.Errorf("lost %d, doubled %d; want lost %t, doubled %t", v.lost, v.doubled, c.lost, c.dbld)
			}
		})
	}
}

// TestFaultReloadOfTwoEngines reloads the engine that works and the one that waits, in
// either order; only the first moves places, and the second goes on when it is killed.
func TestFaultReloadOfTwoEngines(t *testing.T) {
	r := newRig(t, setup{})
	r.exec(strings.Replace(tableDDL, "readings", "readings2", 1))
	l := newLedger()
	base := usual(1, 2, 3, 4)
	renamed := strings.NewReplacer("id: celsius", "id: kelvin", "[celsius]", "[kelvin]").Replace(base)
	more := strings.NewReplacer("id: rows", "id: more", "table: readings", "table: readings2").Replace(sinkNode) + "    inputs: [celsius]\n    start: now\n"
	p := proof{name: "reload_of_two_engines", faults: 1}
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		works := r.start("one")
		r.awaitReady(works)
		waits := r.start("two")
		testserver.Eventually(t, time.Minute, "the engine that waits", func() error {
			if _, body, err := waits.get("/readyz"); err != nil || !strings.Contains(body, "another engine holds") {
				return fmt.Errorf("%s, %v", body, err)
			}
			return nil
		})
		r.awaitRows(500)
		r.rewrite(renamed)
		if notes := r.reload(waits, reload.Applied).Notes; len(notes) == 0 {
			t.Error("nobody says that what changes runs elsewhere")
		}
		r.reload(works, reload.Applied)
		r.goesOn(works)
		r.rewrite(base + more)
		r.reload(works, reload.Applied)
		r.reload(waits, reload.Applied)
		r.goesOn(works)
		works.kill()
		p.took = append(p.took, r.goesOn(waits))
	})
	p.verdict = r.settle(l)
	prove(t, p)
	var twice int
	if err := r.db.QueryRow("SELECT COUNT(*) - COUNT(DISTINCT source_id) FROM readings2").Scan(&twice); err != nil || twice != 0 {
		t.Errorf("the second table has %d rows twice, %v", twice, err)
	}
}
