package pluginhost_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/testserver"
)

// pythonSource returns a folder of sources with the SDK and the plugins in Python
// that tests run.
func pythonSource(t testing.TB) string {
	t.Helper()
	testserver.Require(t, "python3")
	source := filepath.Join(t.TempDir(), "plugins")
	if err := os.CopyFS(source, os.DirFS("../../plugins/sdk/python/testdata")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(source, "sdk/python"), os.DirFS("../../plugins/sdk/python")); err != nil {
		t.Fatal(err)
	}
	return source
}

// pythonHost returns a host that has built the plugin of that name.
func pythonHost(t testing.TB, cfg pluginhost.Config, name string) *pluginhost.Host {
	t.Helper()
	cfg.Dir, cfg.SourceDir = cmp.Or(cfg.Dir, filepath.Join(t.TempDir(), "bin")), pythonSource(t)
	host := pluginhost.New(cfg)
	if _, err := host.Build(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return host
}

func startPython(t testing.TB, cfg pluginhost.Config, name string, with map[string]any) *pluginhost.Transform {
	t.Helper()
	tr, err := pythonHost(t, cfg, name).Start(t.Context(), pluginhost.NodeConfig{Node: "n", Pipeline: "p", Ref: name, With: with, Lanes: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// TestPluginPythonOutcomes: what a plugin in Python may do with an event comes out
// as from one in Go.
func TestPluginPythonOutcomes(t *testing.T) {
	for way, over := range ways {
		t.Run(way, func(t *testing.T) { pythonOutcomes(t, startPython(t, over(pluginhost.Config{}), "echo", nil)) })
	}
}

func pythonOutcomes(t *testing.T, tr *pluginhost.Transform) {
	direct := inProcess(t)
	raw := record(9)
	raw.Record, raw.Payload, raw.ContentType = nil, []byte("x"), "text/plain"
	for name, in := range map[string]*node.Batch{
		"every outcome":   batch(1, record(1, "value", 1.5), record(2, "do", "drop"), record(3, "do", "reject", "value", 7), record(4, "do", "three"), raw, record(5)),
		"only drops":      batch(2, record(1, "do", "drop"), record(2, "do", "drop")),
		"answer in parts": batch(0, record(1, "do", "many", "size", 5000), record(2, "value", 1.5), record(3, "do", "many", "size", 3000)),
	} {
		want, got := mustProcess(t, direct, in), mustProcess(t, tr, in)
		for i := range want {
			if len(got[i].Outputs) != len(want[i].Outputs) || len(got[i].Rejects) != len(want[i].Rejects) {
				t.Fatalf("%s: event %d: %d outputs, %v; want %d, %v", name, i, len(got[i].Outputs), got[i].Rejects, len(want[i].Outputs), want[i].Rejects)
			}
			for j, out := range want[i].Outputs {
				if g := got[i].Outputs[j]; g.ID != out.ID || g.Source != out.Source || g.Root != out.Root || !strings.HasPrefix(g.Plugin, "echo@1.0.0#") {
					t.Fatalf("%s: event %d, output %d: %+v; want %+v", name, i, j, g, out)
				}
			}
			for j, r := range want[i].Rejects {
				if g := got[i].Rejects[j]; g.Code != r.Code || g.Record != r.Record {
					t.Errorf("%s: event %d: reject %v; want %v", name, i, g, r)
				}
			}
		}
	}
	many := manyRecords(5000)
	for i, r := range mustProcess(t, tr, batch(3, many...)) {
		want := many[i].Derive("n", 0, 0)
		want.Record, want.Plugin = many[i].Record, tr.Binary().String()
		if !reflect.DeepEqual(r.Outputs, []*event.Event{want}) {
			t.Fatalf("event %d: %+v; want %+v", i, r.Outputs[0], want)
		}
	}
}

func TestPluginPythonErrorsKeepTheirClass(t *testing.T) {
	for way, over := range ways {
		t.Run(way, func(t *testing.T) {
			log := &logBuffer{}
			tr := startPython(t, over(pluginhost.Config{Logger: log.logger(), MaxAnswerBytes: 40 << 20}), "echo", nil)
			pythonErrors(t, tr, log)
		})
	}
}

func pythonErrors(t *testing.T, tr *pluginhost.Transform, log *logBuffer) {
	for do, want := range map[string]node.Class{"fail": node.Unsure, "away": node.Away, "fatal": node.Fatal, "no such word": node.Unsure} {
		_, err := tr.Process(within(t), batch(0, record(1, "value", 1), record(2, "do", do), record(3, "value", 1)))
		if err == nil || node.ClassOf(err) != want || !strings.Contains(err.Error(), "event 1") {
			t.Errorf("%s: error %v of class %v, want %v about event 1", do, err, node.ClassOf(err), want)
		}
	}
	for name, in := range map[string]*event.Event{"large": record(1, "do", "large", "size", 20<<20), "many": record(1, "do", "many", "size", 50<<10)} {
		if _, err := tr.Process(within(t), batch(0, in)); node.ClassOf(err) != node.Rejected || !strings.Contains(fmt.Sprint(err), "bytes") {
			t.Errorf("%s: error %v of class %v, want a rejection that names the size", name, err, node.ClassOf(err))
		}
	}
	mustProcess(t, tr, batch(0, record(4, "value", 1)))
	if tr.Restarts() != 0 {
		t.Error("an exception ended the process")
	}
	until(t, "the stack in the log", func() bool { return strings.Contains(log.String(), "RuntimeError: told to") })
}

func TestPluginPythonDiesAndComesAgain(t *testing.T) {
	cfg := quick
	cfg.CallDeadline = hungAfter
	tr := startPython(t, cfg, "echo", nil)
	for _, do := range []string{"crash", "hang"} {
		if _, err := tr.Process(within(t), batch(0, record(1, "do", do))); node.ClassOf(err) != node.Unsure || err == nil {
			t.Errorf("%s: error %v, want unsure", do, err)
		}
		mustProcess(t, tr, batch(0, record(2, "value", 1)))
	}
	if tr.Restarts() != 2 {
		t.Errorf("%d restarts, want 2", tr.Restarts())
	}
}

func TestPluginPythonConfigurationErrors(t *testing.T) {
	host := pythonHost(t, pluginhost.Config{}, "scale")
	for want, with := range map[string]map[string]any{
		"with.rules: none given":            {},
		"with.unknown: 'x' is none":         {"unknown": "x", "convert": []any{"F->C"}},
		"with.convert[1]: no conversion":    {"convert": []any{"F->C", "F->X"}},
		"with.convert[0]: is a number":      {"convert": []any{1}},
		"with.unit_field: is a bool, want ": {"unit_field": true, "form": 1},
		"with.form: unknown field":          {"unit_field": true, "form": 1},
	} {
		_, err := host.Start(t.Context(), pluginhost.NodeConfig{Node: "n", Ref: "scale", With: with, Lanes: 1})
		if wrong, ok := errors.AsType[*pluginhost.ConfigError](err); !ok || !strings.Contains(wrong.Error(), want) {
			t.Errorf("%v: %v; want %q in it", with, err, want)
		}
	}
}

// TestPluginPythonSeesAndSays: a plugin in Python sees no more of the environment
// than one in Go, and what it prints and logs is in the host's log.
func TestPluginPythonSeesAndSays(t *testing.T) {
	t.Setenv("SECRET_TOKEN", "hush")
	log := &logBuffer{}
	tr := startPython(t, pluginhost.Config{Logger: log.logger()}, "echo", nil)
	out := mustProcess(t, tr, batch(0, record(1, "do", "log")))[0].Outputs[0]
	if env, _ := out.Record.Get("environment"); strings.Contains(env.Text(), "hush") || !strings.Contains(env.Text(), "PATH=") {
		t.Errorf("the plugin sees %s", env.Text())
	}
	for _, want := range []string{`level=WARN msg="a word" plugin=echo@1.0.0 node=n`, "msg=printed"} {
		until(t, want+" in the log", func() bool { return strings.Contains(log.String(), want) })
	}
}

func TestPluginPythonEndsWithItsHost(t *testing.T) {
	dir := t.TempDir()
	pythonHost(t, pluginhost.Config{Dir: dir}, "echo")
	pid := killHostOf(t, dir, "echo", "three", 20*time.Millisecond)
	until(t, "the plugin is gone", func() bool { return !alive(pid) })
}

// TestPluginPythonRefusesStrangers: mutual TLS is on, with a certificate that the
// SDK has made itself.
func TestPluginPythonRefusesStrangers(t *testing.T) {
	for _, insecure := range []bool{false, true} {
		t.Setenv("TMPDIR", t.TempDir())
		startPython(t, pluginhost.Config{InsecureSocket: insecure}, "echo", nil)
		if err := callSocket(t); (err == nil) != insecure {
			t.Errorf("insecure %v: a stranger hears %v", insecure, err)
		}
	}
}

// TestPluginPythonBuildIsPinned: the same sources give the same bytes, other sources
// others, and a newer source is built before it runs.
func TestPluginPythonBuildIsPinned(t *testing.T) {
	source := pythonSource(t)
	host := pluginhost.New(pluginhost.Config{Dir: filepath.Join(t.TempDir(), "bin"), SourceDir: source})
	first, err := host.Build(t.Context(), "echo")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := host.Build(t.Context(), "echo"); err != nil || again != first {
		t.Errorf("%+v, %v; want %+v", again, err, first)
	}
	main := filepath.Join(source, "echo", "main.py")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(main, []byte(strings.Replace(string(text), `"1.0.0"`, `"1.1.0"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if newer, err := host.Resolve("echo"); err != nil || newer.Version != "1.1.0" || newer.Hash == first.Hash {
		t.Errorf("%+v, %v; want version 1.1.0", newer, err)
	}
	if err := os.WriteFile(main, []byte("import millrace\nraise ValueError('oops')\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Build(t.Context(), "echo"); err == nil || !strings.Contains(err.Error(), "ValueError: oops") {
		t.Errorf("a program that fails: %v", err)
	}
}

func BenchmarkPython(b *testing.B) {
	for way, over := range ways {
		tr := startPython(b, over(pluginhost.Config{}), "echo", nil)
		for _, c := range units {
			b.Run("pass/"+way+"/"+c.name, func(b *testing.B) { benchmark(b, tr, tr.PID(), c.events) })
		}
	}
	scale := startPython(b, pluginhost.Config{}, "scale", map[string]any{"rules": []any{map[string]any{"from": "C", "to": "F", "factor": 2}}})
	for _, c := range units {
		b.Run("scale/"+c.name, func(b *testing.B) { benchmark(b, scale, scale.PID(), c.events) })
	}
}

func BenchmarkPythonStart(b *testing.B) {
	host := pythonHost(b, pluginhost.Config{}, "echo")
	for b.Loop() {
		tr, err := host.Start(b.Context(), pluginhost.NodeConfig{Node: "n", Ref: "echo", Lanes: 1})
		if err != nil {
			b.Fatal(err)
		}
		if err := tr.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
