package faults

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/testserver"
)

// shift is what version 1.1.0 of the test's plugin adds to the degrees of 1.0.0.
const shift = 1000

// upgradeRig is a rig whose plugin folder has two versions with different outputs.
func upgradeRig(t *testing.T) *rig {
	t.Helper()
	nodes := strings.Replace(usual(1, 2, 3, 4), "        - { name: value }\n", "        - { name: value }\n        - { name: plugin, from: plugin }\n", 1)
	r := newRig(t, setup{nodes: nodes})
	r.exec("ALTER TABLE readings ADD plugin VARCHAR(96)")
	dir := t.TempDir()
	testserver.Plugin(t, repoRoot(), dir, "1.0.0", nil)
	testserver.Plugin(t, repoRoot(), dir, "1.1.0", map[string]string{"+ conv.offset": fmt.Sprintf("+ conv.offset + %d", shift)})
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	usualDir := fmt.Sprintf("plugins: { dir: %q }", filepath.Join(repoRoot(), "plugins", "bin"))
	own := strings.Replace(string(text), usualDir, fmt.Sprintf("plugins: { dir: %q, trial: 20ms }", dir), 1)
	if own == string(text) {
		t.Fatal("the pipeline file has no plugin folder")
	}
	if err := os.WriteFile(r.file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// ask sends a request that changes something, or not, and reads the answer.
func (e *engine) ask(t *testing.T, method, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+e.listen+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(httpapi.Header, "test")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v, %+v", method, path, resp.Status, err, into)
	}
}

// promote changes the version and waits until that is done.
func (r *rig) promote(e *engine, version string) pluginhost.Action {
	r.t.Helper()
	var a pluginhost.Action
	e.ask(r.t, http.MethodPost, "/api/v1/plugins/scale/promote?version="+version, &a)
	testserver.Eventually(r.t, time.Minute, "the outcome of "+a.ID, func() error {
		e.ask(r.t, http.MethodGet, "/api/v1/plugins/actions/"+a.ID, &a)
		if !a.Over() {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	if a.State != pluginhost.Done || len(a.Nodes) != 1 {
		r.t.Fatalf("action %+v; want one node changed", a)
	}
	return a
}

// TestFaultUpgradeUnderLoad swaps the plugin between two versions, 50 times in a
// soak. No unit may fail, and every row must have the value that the version in its
// plugin column makes.
func TestFaultUpgradeUnderLoad(t *testing.T) {
	r := upgradeRig(t)
	l := newLedger()
	e := r.start("upgrade")
	p := proof{name: "upgrade_under_load", faults: often(20, 50)}
	var pauses []time.Duration
	r.under(&producer{url: r.amqp, ledger: l, rate: 4000}, func() {
		r.awaitReady(e)
		for i := range p.faults {
			r.awaitRows(r.rows() + 100)
			began := time.Now()
			a := r.promote(e, []string{"1.0.0", "1.1.0"}[i%2])
			p.took = append(p.took, time.Since(began))
			pauses = append(pauses, time.Duration(a.Nodes[0].PauseMaxMs*float64(time.Millisecond)))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	if n := r.failedUnits(e); n > 0 {
		t.Errorf("%.0f units failed and were tried again", n)
	}
	made := r.rowsByVersion()
	t.Logf("rows by version %v; longest pause of a lane p50 %s p99 %s", made, quantile(pauses, 50), quantile(pauses, 99))
	if made["scale@1.0.0"] == 0 || made["scale@1.1.0"] == 0 {
		t.Errorf("rows by version %v: the load met one version alone", made)
	}
}

// rowsByVersion counts rows by the version that made them, and holds each row's
// value to it.
func (r *rig) rowsByVersion() map[string]int {
	r.t.Helper()
	rows, err := r.db.Query("SELECT n, value, plugin FROM readings")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	made := map[string]int{}
	for rows.Next() {
		var n int
		var value float64
		var plugin string
		if err := rows.Scan(&n, &value, &plugin); err != nil {
			r.t.Fatal(err)
		}
		version, _, _ := strings.Cut(plugin, "#")
		want := (float64(n%100)+0.5)*9/5 + 32
		if version == "scale@1.1.0" {
			want += shift
		}
		if math.Abs(value-want) > 1e-6 {
			r.t.Fatalf("row of reading %d by %s has value %v, want %v", n, plugin, value, want)
		}
		made[version]++
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return made
}

// failedUnits counts the units that the plugin node was given again.
func (r *rig) failedUnits(e *engine) float64 {
	return r.metric(e, `millrace_retries_total{class="unsure",node="celsius"}`)
}

// TestFaultControlUpgradeByKill kills the process where an upgrade would drain it: the
// units in hand fail, and the oracle of the test above sees it.
func TestFaultControlUpgradeByKill(t *testing.T) {
	r := upgradeRig(t)
	l := newLedger()
	e := r.start("upgrade")
	r.under(&producer{url: r.amqp, ledger: l, rate: 4000}, func() {
		r.awaitReady(e)
		for range 40 {
			r.awaitRows(r.rows() + 100)
			_ = e.killPlugin(t) // gone already is as good
			if r.failedUnits(e) > 0 {
				return
			}
		}
	})
	if r.failedUnits(e) == 0 {
		t.Fatal("no unit failed: the oracle of the upgrade proves nothing")
	}
}

// killPlugin ends the process that works for the plugin node.
func (e *engine) killPlugin(t *testing.T) error {
	t.Helper()
	var in pluginhost.Inspection
	e.ask(t, http.MethodGet, "/api/v1/plugins/scale", &in)
	if len(in.Nodes) != 1 || in.Nodes[0].PID == 0 {
		return nil
	}
	process, err := os.FindProcess(in.Nodes[0].PID)
	if err != nil {
		return err
	}
	return process.Kill()
}
