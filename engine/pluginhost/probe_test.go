package pluginhost_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
)

// mixed is a unit of 6 events of which those at 1 and 4 do what do says.
func mixed(do string) *node.Batch {
	events := manyRecords(6)
	for _, i := range []int{1, 4} {
		events[i] = record(i, "do", do, "bad", do)
	}
	return batch(0, events...)
}

// fails has a unit fail as unsure.
func fails(t *testing.T, tr node.Transform, in *node.Batch) {
	t.Helper()
	if _, err := tr.Process(within(t), in); err == nil || node.ClassOf(err) != node.Unsure {
		t.Fatalf("error %v of class %v, want unsure", err, node.ClassOf(err))
	}
}

// checkVerdict wants the events 1 and 4 rejected with code and the others doubled.
func checkVerdict(t *testing.T, tr *pluginhost.Transform, results []node.Result, code, text string) {
	t.Helper()
	for i, r := range results {
		guilty := i == 1 || i == 4
		if len(r.Rejects) == 1 != guilty || len(r.Outputs) == 1 == guilty {
			t.Errorf("event %d: outputs %v, rejects %v", i, r.Outputs, r.Rejects)
			continue
		}
		if !guilty {
			continue
		}
		if j := r.Rejects[0]; j.Code != code || !strings.Contains(j.Text, text) || j.Record != -1 || j.Maker != tr.Binary().String() {
			t.Errorf("event %d: reject %+v, want code %s, %q in the text, and the maker", i, j, code, text)
		}
	}
}

func TestPluginProbeFindsTheGuiltyEvents(t *testing.T) {
	for _, c := range []struct{ do, code, text string }{
		{"crash", "plugin_crash", "exit status 3"},
		{"hang", "plugin_deadline", "no answer to a unit of 1 events within " + hungAfter.String()},
	} {
		t.Run(c.do, func(t *testing.T) {
			cfg := quick
			cfg.CallDeadline = hungAfter
			tr := start(t, "good", cfg, double)
			in := mixed(c.do)
			fails(t, tr, in)
			checkVerdict(t, tr, mustProcess(t, tr, in), c.code, c.text)
			mustProcess(t, tr, batch(0, record(9, "value", 1)))
			if tr.Restarts() != 2 || !tr.Status().Ready {
				t.Errorf("%d restarts of the main process, want 2: a probe's are its own; status %+v", tr.Restarts(), tr.Status())
			}
		})
	}
}

func TestPluginProbeOfABrokenContract(t *testing.T) {
	tr := start(t, "hostile", pluginhost.Config{BackoffFirst: time.Millisecond, DrainTimeout: 100 * time.Millisecond}, nil)
	first := record(1, "bad", "garbage")
	in := batch(0, first, record(2, "value", 1))
	fails(t, tr, in)
	results := mustProcess(t, tr, in)
	if len(results[0].Rejects) != 1 || results[0].Rejects[0].Code != "plugin_contract" || len(results[1].Outputs) != 1 {
		t.Errorf("results %+v", results)
	}
}

// TestPluginProbeAnswersLikeAUnit: what is not the process's end keeps its meaning.
func TestPluginProbeAnswersLikeAUnit(t *testing.T) {
	tr := start(t, "good", quick, double)
	in := batch(0, record(0, "do", "crash"), record(1, "do", "panic"), record(2, "do", "large", "size", 20<<20), record(3, "do", "drop"), record(4, "do", "reject"), record(5, "do", "three"))
	fails(t, tr, in)
	results := mustProcess(t, tr, in)
	for i, code := range []string{"plugin_crash", "plugin_error", "plugin_answer", "", "told_to", ""} {
		if r := results[i].Rejects; code != "" && (len(r) != 1 || r[0].Code != code) || code == "" && len(r) > 0 {
			t.Errorf("event %d: rejects %+v, want code %q", i, r, code)
		}
	}
	if len(results[3].Outputs) != 0 || len(results[5].Outputs) != 3 {
		t.Errorf("outputs %v and %v, want none and 3", results[3].Outputs, results[5].Outputs)
	}
}

// TestPluginProbeIsNotForAnotherUnit is the control: two crashes, one each of two units.
func TestPluginProbeIsNotForAnotherUnit(t *testing.T) {
	log := &logBuffer{}
	cfg := quick
	cfg.Logger = log.logger()
	tr := start(t, "good", cfg, double)
	fails(t, tr, batch(0, record(1, "do", "crash")))
	fails(t, tr, batch(1, record(1, "do", "crash"))) // a lane knows its own units
	fails(t, tr, batch(0, record(2, "do", "crash")))
	mustProcess(t, tr, batch(0, record(2, "value", 1))) // passes after all
	fails(t, tr, batch(0, record(2, "do", "crash")))    // and counts from one again
	if strings.Contains(log.String(), "probe") {
		t.Errorf("a unit was probed:\n%s", log)
	}
}

// TestPluginProbeOfPartsOfAUnit: a stage that does not retry cuts the unit in halves.
func TestPluginProbeOfPartsOfAUnit(t *testing.T) {
	tr := start(t, "good", quick, double)
	in := mixed("crash")
	fails(t, tr, in)
	mustProcess(t, tr, batch(0, in.Events[:1]...))
	results := mustProcess(t, tr, batch(0, in.Events[1:3]...))
	if len(results[0].Rejects) != 1 || len(results[1].Outputs) != 1 {
		t.Errorf("results %+v", results)
	}
	results = mustProcess(t, tr, batch(0, in.Events[3:]...))
	if len(results[1].Rejects) != 1 || tr.Restarts() > 2 {
		t.Errorf("results %+v after %d restarts, want the last part probed at once", results, tr.Restarts())
	}
}

func TestPluginProbeWaitsForAServer(t *testing.T) {
	tr := start(t, "good", quick, double)
	in := batch(0, record(1, "do", "away"), record(2, "do", "crash"))
	other := batch(0, in.Events[1], in.Events[0])
	fails(t, tr, other)
	if _, err := tr.Process(within(t), other); node.ClassOf(err) != node.Away {
		t.Fatalf("error %v of class %v, want away", err, node.ClassOf(err))
	}
	in.Events[0].Record = record(1, "value", 1).Record // the server is back
	results := mustProcess(t, tr, in)
	if len(results[0].Outputs) != 1 || len(results[1].Rejects) != 1 {
		t.Errorf("results %+v", results)
	}
	mustProcess(t, tr, batch(0, record(3, "value", 1))) // by the main process, which a probe does not wait for
	if tr.Restarts() != 2 {
		t.Errorf("%d restarts, want 2", tr.Restarts())
	}
}

func TestPluginProbeIsBounded(t *testing.T) {
	cfg := quick
	cfg.ProbeTimeout = time.Millisecond
	for events, want := range map[int]node.Class{1: node.Unsure, 2: node.Rejected} {
		tr := start(t, "good", cfg, double)
		in := batch(0, record(1, "do", "crash"), record(2, "value", 1))
		in.Events = in.Events[:events]
		fails(t, tr, in)
		_, err := tr.Process(within(t), in)
		if err == nil || node.ClassOf(err) != want || !strings.Contains(err.Error(), fmt.Sprintf("0 of %d events", events)) {
			t.Errorf("error %v of class %v, want %v after 0 of %d events", err, node.ClassOf(err), want, events)
		}
	}
}

func TestPluginProbeEndsWithItsContext(t *testing.T) {
	cfg := quick
	cfg.CallDeadline = 500 * time.Millisecond
	tr := start(t, "good", cfg, double)
	in := batch(0, record(1, "do", "hang"))
	fails(t, tr, in)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for tr.Restarts() < 2 && t.Context().Err() == nil { // the second deadline has passed
			<-time.After(time.Millisecond)
		}
		cancel()
	}()
	_, err := tr.Process(ctx, in)
	if ctx.Err() == nil || err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %v, want the context's", err)
	}
}

func ids(results []node.Result) []event.ID {
	var list []event.ID
	for _, r := range results {
		for _, out := range r.Outputs {
			list = append(list, out.ID)
		}
	}
	return list
}

// TestPluginProbeMakesTheSameIDs: the ids of outputs do not tell which way they came.
func TestPluginProbeMakesTheSameIDs(t *testing.T) {
	tr := start(t, "good", quick, double)
	in := batch(0, record(1, "do", "three"), record(2, "value", 1), record(3, "do", "crash"))
	want := ids(mustProcess(t, tr, batch(0, in.Events[:2]...)))
	fails(t, tr, in)
	if got := ids(mustProcess(t, tr, in)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ids %v, want %v", got, want)
	}
}

// TestPluginProbeHandsStateOn: within a probe, too, an event sees what those before it
// have put, and a guilty one leaves nothing.
func TestPluginProbeHandsStateOn(t *testing.T) {
	s := newTable()
	cfg := quick
	cfg.DrainTimeout = 100 * time.Millisecond
	tr := counting(t, "1.0.0", cfg, s)
	in := unitOf(t, tr, s, keyed(1, "a"), keyed(2, "b"), keyed(3, "a", "do", "crash"), keyed(4, "a"))
	fails(t, tr, in)
	results := mustProcess(t, tr, in)
	for i, want := range []int64{1, 1, 0, 2} {
		if want == 0 {
			if len(results[i].Rejects) != 1 {
				t.Errorf("event %d: %+v, want a reject", i, results[i])
			}
			continue
		}
		if n, _ := results[i].Outputs[0].Record.Get("n"); n.AsInt() != want {
			t.Errorf("event %d: count %v, want %d", i, n.Any(), want)
		}
	}
	if _, value, err := node.UnpackState(s.values["a"]); string(value) != "2" || err != nil {
		t.Errorf("state %q, %v, want 2", value, err)
	}
}
