package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// Processes: the engine's end in good order and in bad, and its plugins' ends.

// statOf returns the fields of /proc/PID/stat after the command's name: state,
// parent's pid and on. None if there is no such process.
func statOf(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// pluginsOf lists the engine's child processes.
func (r *rig) pluginsOf(e *engine) []int {
	r.t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		r.t.Fatal(err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if stat := statOf(pid); len(stat) > 1 && stat[0] != "Z" && stat[1] == strconv.Itoa(e.cmd.Process.Pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitPlugins waits until the engine has child processes, none of them among the
// old ones, and returns them.
func (r *rig) awaitPlugins(e *engine, old []int) (pids []int) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "plugin processes", func() error {
		pids = r.pluginsOf(e)
		if len(pids) == 0 || slices.ContainsFunc(pids, func(pid int) bool { return slices.Contains(old, pid) }) {
			return fmt.Errorf("plugins %v, before %v", pids, old)
		}
		return nil
	})
	return pids
}

// awaitGone waits until none of the processes is left.
func awaitGone(t *testing.T, pids []int) {
	t.Helper()
	testserver.Eventually(t, 30*time.Second, "the end of all plugin processes", func() error {
		for _, pid := range pids {
			if stat := statOf(pid); len(stat) > 0 && stat[0] != "Z" {
				return fmt.Errorf("plugin process %d is left", pid)
			}
		}
		return nil
	})
}

// TestFaultSIGTERMDrainsUnderLoad: the first SIGTERM ends the engine with exit
// code 0, leaves no plugin process, and nothing is missing or doubled when the next
// one goes on; 5 times, 50 in a soak.
func TestFaultSIGTERMDrainsUnderLoad(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	p := proof{name: "sigterm_50", faults: often(5, 50), alive: 100 * time.Second}
	r.under(&producer{url: r.amqp, ledger: l, rate: 3000}, func() {
		for range p.faults {
			e := r.start("drain")
			r.awaitRows(r.rows() + 1000)
			plugins := r.awaitPlugins(e, nil)
			began := time.Now()
			e.signal(t, syscall.SIGTERM)
			if code := r.exit(e); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			p.took = append(p.took, time.Since(began))
			awaitGone(t, plugins)
		}
	})
	r.start("drain")
	p.verdict = r.settle(l)
	prove(t, p)
}

// TestFaultSecondSIGTERMStopsAtOnce: while a server that is away holds the drain, a
// second signal ends the process.
func TestFaultSecondSIGTERMStopsAtOnce(t *testing.T) {
	maria := testserver.MariaDB(t)
	r := newRig(t, setup{maria: maria})
	l := newLedger()
	e := r.start("twice")
	r.awaitReady(e)
	maria.Pause()
	r.burst(l, 0, 500)
	plugins := r.awaitPlugins(e, nil)
	testserver.Eventually(t, time.Minute, "something that holds the drain", func() error {
		if n, _ := r.streamEntries("celsius"); n == 0 {
			return fmt.Errorf("the sink has nothing to write")
		}
		return nil
	})
	e.signal(t, syscall.SIGTERM)
	testserver.Eventually(t, time.Minute, "the drain", func() error {
		if !strings.Contains(e.log.tail(1<<20), "draining") {
			return fmt.Errorf("not begun")
		}
		return nil
	})
	e.signal(t, syscall.SIGTERM)
	code := r.exit(e)
	awaitGone(t, plugins)
	maria.Resume()
	if code == 0 {
		t.Error("a drain that was broken off says that it went well")
	}
	r.start("twice")
	prove(t, proof{name: "second_sigterm", faults: 1, verdict: r.settle(l)})
}

// TestFaultKilledEngineLeavesNoPlugin: kill -9 of the engine ends its plugins.
func TestFaultKilledEngineLeavesNoPlugin(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		e := r.start("kill")
		r.awaitRows(500)
		plugins := r.awaitPlugins(e, nil)
		e.kill()
		awaitGone(t, plugins)
	})
	r.start("kill")
	prove(t, proof{name: "killed_engine_leaves_no_plugin", faults: 1, verdict: r.settle(l)})
}

// TestFaultSecondEngineOfOneIDIsRefused: a second run by accident ends with a
// reason, and the first one does not notice.
func TestFaultSecondEngineOfOneIDIsRefused(t *testing.T) {
	r := newRig(t, setup{})
	first := r.start("same")
	r.awaitReady(first)
	second := r.start("same")
	code := r.exit(second)
	said := second.log.tail(1 << 20)
	for _, word := range []string{"already runs", `"same"`, "--id"} {
		if !strings.Contains(said, word) {
			t.Errorf("the refusal does not say %s", word)
		}
	}
	if code == 0 || t.Failed() {
		t.Fatalf("exit code %d, it said:\n%s", code, said)
	}
	l := newLedger()
	r.burst(l, 0, 200)
	r.settle(l).must(t)
}

// TestFaultPluginKilledUnderLoad kills the plugin's process again and again under
// load.
func TestFaultPluginKilledUnderLoad(t *testing.T) {
	r := newRig(t, setup{})
	l := newLedger()
	p := proof{name: "plugin_killed", faults: 5}
	e := r.start("plugin")
	var old []int
	r.under(&producer{url: r.amqp, ledger: l, rate: 2000}, func() {
		for range p.faults {
			r.awaitRows(r.rows() + 300)
			plugins := r.awaitPlugins(e, old)
			for _, pid := range plugins {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			old = append(old, plugins...)
			p.took = append(p.took, r.goesOn(e))
		}
	})
	p.verdict = r.settle(l)
	prove(t, p)
	if n := r.metric(e, "millrace_dead_letters_total"); n > 0 {
		t.Errorf("%.0f events were given up because their plugin was killed", n)
	}
}
