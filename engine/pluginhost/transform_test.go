package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/plugins/sdk"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

var double = map[string]any{"factor": 2}

// mustProcess returns the results of a unit that must pass.
func mustProcess(t testing.TB, tr node.Transform, in *node.Batch) []node.Result {
	t.Helper()
	results, err := tr.Process(within(t), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(in.Events) {
		t.Fatalf("%d results for %d events", len(results), len(in.Events))
	}
	return results
}

// inProcess opens the good plugin without a process.
func inProcess(t testing.TB) node.Transform {
	tr, err := good.Open([]byte(`{"factor":2}`), sdk.Node{ID: "n", Lanes: 4})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// unstamp removes what only the host adds, for comparing both ways.
func unstamp(results []node.Result) []node.Result {
	for _, r := range results {
		for _, out := range r.Outputs {
			out.Plugin = ""
		}
		for i := range r.Rejects {
			r.Rejects[i].Maker = ""
		}
	}
	return results
}

func TestProcessAndDirectCallAgree(t *testing.T) {
	tr, direct := start(t, "good", pluginhost.Config{}, double), inProcess(t)
	raw := record(9)
	raw.Record, raw.Payload, raw.ContentType = nil, []byte("x"), "text/plain" // rejected
	units := map[string]*node.Batch{
		"one event":        batch(0, record(1, "value", 4.0)),
		"every outcome":    batch(1, record(1, "value", 1), record(2, "do", "drop"), record(3, "do", "reject"), record(4, "do", "three"), raw),
		"only drops":       batch(2, record(1, "do", "drop"), record(2, "do", "drop")),
		"only rejects":     batch(3, record(1, "do", "reject")),
		"many chunks":      batch(0, manyRecords(5000)...),
		"answer in parts":  batch(0, record(1, "do", "many", "size", 5000), record(2, "value", 1), record(3, "do", "many", "size", 3000)),
		"event above 64 K": batch(1, record(1, "text", strings.Repeat("y", 300<<10)), record(2, "value", 3)),
	}
	for name, in := range units {
		t.Run(name, func(t *testing.T) {
			want := mustProcess(t, direct, in)
			got := mustProcess(t, tr, in)
			for _, r := range got {
				for _, out := range r.Outputs {
					if out.Plugin != tr.Binary().String() || !strings.HasPrefix(out.Plugin, "good@1.0.0#") {
						t.Fatalf("output is stamped %q, want %q", out.Plugin, tr.Binary())
					}
				}
			}
			if diff := firstDifference(unstamp(got), want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func firstDifference(got, want []node.Result) string {
	for i := range want {
		if len(got[i].Outputs) != len(want[i].Outputs) {
			return fmt.Sprintf("event %d: %d outputs, want %d", i, len(got[i].Outputs), len(want[i].Outputs))
		}
		for j, out := range want[i].Outputs {
			if !reflect.DeepEqual(got[i].Outputs[j], out) {
				return fmt.Sprintf("event %d output %d:\n%+v\nwant\n%+v", i, j, got[i].Outputs[j], out)
			}
		}
		if !reflect.DeepEqual(got[i].Rejects, want[i].Rejects) {
			return fmt.Sprintf("event %d: rejects %v, want %v", i, got[i].Rejects, want[i].Rejects)
		}
	}
	return ""
}

func manyRecords(n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = record(i, "device", fmt.Sprint("pump-", i%7), "value", float64(i), "unit", "C")
	}
	return events
}

func TestLanesRunSideBySide(t *testing.T) {
	tr := start(t, "good", pluginhost.Config{}, double)
	errs := make(chan error, 4)
	for lane := range 4 {
		go func() {
			for i := range 50 {
				results, err := tr.Process(t.Context(), batch(lane, record(i, "value", i)))
				if err == nil && (len(results) != 1 || len(results[0].Outputs) != 1) {
					err = fmt.Errorf("lane %d unit %d: %v", lane, i, results)
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsKeepTheirClass(t *testing.T) {
	log := &logBuffer{}
	tr := start(t, "good", pluginhost.Config{Logger: log.logger()}, double)
	for do, want := range map[string]node.Class{"panic": node.Unsure, "away": node.Away} {
		_, err := tr.Process(within(t), batch(0, record(1, "value", 1), record(2, "do", do), record(3, "value", 1)))
		if err == nil || node.ClassOf(err) != want || !strings.Contains(err.Error(), "event 1") {
			t.Errorf("%s: error %v of class %v, want %v about event 1", do, err, node.ClassOf(err), want)
		}
	}
	mustProcess(t, tr, batch(0, record(4, "value", 1)))
	if tr.Restarts() != 0 {
		t.Error("a panic in the transform ended the process")
	}
	until(t, "stack in the log", func() bool { return strings.Contains(log.String(), "goroutine ") })
}

func TestPanicLateInALongUnit(t *testing.T) {
	tr := start(t, "good", pluginhost.Config{}, double)
	events := manyRecords(20000)
	events[3000] = record(3000, "do", "panic")
	if _, err := tr.Process(within(t), batch(0, events...)); node.ClassOf(err) != node.Unsure || err == nil {
		t.Fatalf("error %v", err)
	}
	mustProcess(t, tr, batch(0, events[:3000]...)) // what is left of the failed unit is passed over
	if tr.Restarts() != 0 {
		t.Error("the process was restarted")
	}
}

func TestAnswersThatDoNotFit(t *testing.T) {
	tr := start(t, "good", pluginhost.Config{MaxAnswerBytes: 40 << 20, CallDeadline: time.Minute}, double)
	for name, in := range map[string]*node.Batch{
		"one output of 20 MiB": batch(0, record(1, "do", "large", "size", 20<<20)),
		"a unit of 50 MiB":     batch(0, record(1, "do", "many", "size", 50<<10)),
		"an input of 17 MiB":   batch(0, record(1, "text", strings.Repeat("z", 17<<20))),
	} {
		_, err := tr.Process(within(t), in)
		if node.ClassOf(err) != node.Rejected || !strings.Contains(fmt.Sprint(err), "bytes") {
			t.Errorf("%s: error %v of class %v, want a rejection that names the size", name, err, node.ClassOf(err))
		}
		mustProcess(t, tr, batch(0, record(2, "value", 1)))
	}
	if tr.Restarts() != 0 {
		t.Error("the process was restarted")
	}
}

// ways are the two ways of a lane's stream.
var ways = map[string]func(pluginhost.Config) pluginhost.Config{
	"socket": func(c pluginhost.Config) pluginhost.Config { return c }, "gRPC": pluginhost.Config.OverGRPC,
}

// TestUnitGivenUpIsSeenByThePlugin: a transform that waits need not wait in vain.
func TestUnitGivenUpIsSeenByThePlugin(t *testing.T) {
	for way, over := range ways {
		log := &logBuffer{}
		tr := start(t, "waiter", over(pluginhost.Config{Logger: log.logger(), CallDeadline: time.Hour}), nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := tr.Process(ctx, batch(0, manyRecords(5000)...))
			done <- err
		}()
		until(t, way+": the plugin is at it", func() bool { return strings.Contains(log.String(), "begun") })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want the context's", way, err)
		}
		until(t, way+": the plugin has seen it", func() bool { return strings.Contains(log.String(), "given up") })
	}
}

// TestCloseLeavesNoFiles has the collector, which closes what is forgotten, stand still.
func TestCloseLeavesNoFiles(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	once := func() {
		tr, err := tryStart(t, "good", pluginhost.Config{}, double)
		if err != nil {
			t.Fatal(err)
		}
		for lane := range 4 {
			mustProcess(t, tr, batch(lane, record(lane, "value", 1)))
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
	}
	once() // what the process opens once and keeps
	before := files()
	once()
	if after := files(); after > before {
		t.Errorf("%d files are open, %d before", after, before)
	}
}

// TestAnswersLargerThanTheirUnits has both sides send more than is let through at once:
// a host that does not read while it sends, or a plugin the other way round, must not
// wait for the other for ever.
func TestAnswersLargerThanTheirUnits(t *testing.T) {
	for way, over := range ways {
		tr := start(t, "good", over(pluginhost.Config{MaxAnswerBytes: 1 << 30, CallDeadline: time.Minute}), double)
		events := manyRecords(800)
		for i := range events {
			events[i] = record(i, "do", "many", "size", 20, "text", strings.Repeat("x", 1<<(i%16)))
		}
		for i, r := range mustProcess(t, tr, batch(0, events...)) {
			if len(r.Outputs) != 20 {
				t.Fatalf("%s: event %d has %d outputs", way, i, len(r.Outputs))
			}
		}
	}
}

// TestSmallChunksFillTheWindow: short texts that are there often are once in a frame,
// which makes it small, and the kernel needs more for many small messages than their bytes.
func TestSmallChunksFillTheWindow(t *testing.T) {
	text := event.String(strings.Repeat("x", 16))
	events := manyRecords(400)
	for i := range events {
		for range 2800 {
			events[i].Record.Fields = append(events[i].Record.Fields, event.Field{Name: "f", Value: text})
		}
	}
	got, err := pluginhost.ChunksAhead(batch(0, events...))
	if want := pluginv1.WindowBytes / pluginv1.LeastBytes; err != nil || got != want {
		t.Errorf("%d chunks are under way, error %v; want %d", got, err, want)
	}
}

func TestPluginHostileAnswers(t *testing.T) {
	cfg := pluginhost.Config{
		BackoffFirst: time.Millisecond, BackoffMax: time.Millisecond, DrainTimeout: 200 * time.Millisecond,
		CallDeadline: time.Minute, RestartBudget: 100, MaxAnswerBytes: 8 << 20,
	}
	answers := []string{"garbage", "too few", "too many", "counts", "unit", "root", "reject", "more", "20 MiB", "closes", "packed", "many outputs", "many rejects"}
	for way, over := range ways {
		tr, wrong := start(t, "hostile", over(cfg), nil), answers
		if way == "socket" {
			wrong = slices.AppendSeq(slices.Clone(answers), maps.Keys(rubbish))
		}
		for _, bad := range wrong {
			_, err := tr.Process(within(t), batch(0, record(1, "bad", bad), record(2, "value", 1)))
			want := node.Unsure
			if bad == "20 MiB" || bad == "4 GiB claimed" || strings.HasPrefix(bad, "many") {
				want = node.Rejected
			}
			if err == nil || node.ClassOf(err) != want {
				t.Errorf("%s over %s: error %v of class %v, want %v", bad, way, err, node.ClassOf(err), want)
			}
			mustProcess(t, tr, batch(0, record(3, "value", 1)))
		}
	}
}

func TestCancelledCallLeavesTheProcessAlone(t *testing.T) {
	tr := start(t, "good", pluginhost.Config{CallDeadline: time.Minute}, double)
	mustProcess(t, tr, batch(0, record(0, "value", 1)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := tr.Process(ctx, batch(1, record(1, "do", "hang")))
		done <- err
	}()
	until(t, "unit under way", func() bool { return tr.Busy(1) })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	mustProcess(t, tr, batch(0, record(2, "value", 1)))
	if tr.Restarts() != 0 {
		t.Error("a cancelled call restarted the process")
	}
}
