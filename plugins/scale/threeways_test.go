package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/pluginkit"
	"github.com/millrace/millrace/engine/testserver"
)

// twin returns a folder of sources in which scale is the twin in Python of this
// plugin, with this plugin's examples.
func twin(t *testing.T) string {
	t.Helper()
	testserver.Require(t, "python3")
	source := filepath.Join(t.TempDir(), "plugins")
	for to, from := range map[string]string{"scale": "../sdk/python/testdata/scale", "scale/examples": "examples", "sdk/python": "../sdk/python"} {
		if err := os.CopyFS(filepath.Join(source, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(source, "scale/examples/units.yaml")); err != nil { // the twin knows no table of units
		t.Fatal(err)
	}
	return source
}

func hostOf(t *testing.T, source string) *pluginhost.Host {
	return pluginhost.New(pluginhost.Config{Dir: filepath.Join(t.TempDir(), "bin"), SourceDir: source})
}

// TestPluginSuiteThroughBothProcesses runs the suite that TestConformance runs in
// process through a process in Go and through one in Python.
func TestPluginSuiteThroughBothProcesses(t *testing.T) {
	for language, source := range map[string]string{"go": "..", "python": twin(t)} {
		t.Run(language, func(t *testing.T) {
			trial, err := pluginkit.Try(t.Context(), hostOf(t, source), source, "scale")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range trial.Cases {
				for _, broken := range c.Broken {
					t.Error(broken)
				}
			}
		})
	}
}

// TestPluginGivesTheSameThreeWays compares bit by bit what becomes of many readings
// in process, through a process in Go, and through one in Python.
func TestPluginGivesTheSameThreeWays(t *testing.T) {
	const config = `{"convert":["F->C","Wh->kWh"],"rules":[{"from":"counts","to":"bar","factor":0.0025,"offset":-2.5}],"unknown":"reject"}`
	with := map[string]any{
		"convert": []any{"F->C", "Wh->kWh"}, "unknown": "reject",
		"rules": []any{map[string]any{"from": "counts", "to": "bar", "factor": 0.0025, "offset": -2.5}},
	}
	direct, err := start(config)
	if err != nil {
		t.Fatal(err)
	}
	in := &node.Batch{Events: readings(rand.New(rand.NewPCG(5, 6)), 3000)}
	want, err := direct.Process(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for language, source := range map[string]string{"go": "..", "python": twin(t)} {
		tr, err := hostOf(t, source).Start(t.Context(), pluginhost.NodeConfig{Node: "celsius", Ref: "scale", With: with, Lanes: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tr.Close() }) // always nil
		got, err := tr.Process(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if err := same(got[i], want[i]); err != nil {
				t.Fatalf("%s: event %d (%v): %v", language, i, in.Events[i].Record, err)
			}
		}
	}
}

// same compares what became of an event; the reject's text is for people, and may
// say the same in other words.
func same(got, want node.Result) error {
	if len(got.Outputs) != len(want.Outputs) || len(got.Rejects) != len(want.Rejects) {
		return fmt.Errorf("%d outputs, rejects %v; want %d, %v", len(got.Outputs), got.Rejects, len(want.Outputs), want.Rejects)
	}
	for k, out := range got.Outputs {
		out.Plugin = ""
		if !reflect.DeepEqual(out, want.Outputs[k]) {
			return fmt.Errorf("output %+v %v; want %+v %v", out, out.Record, want.Outputs[k], want.Outputs[k].Record)
		}
	}
	for k, r := range got.Rejects {
		if w := want.Rejects[k]; r.Code != w.Code || r.Record != w.Record {
			return fmt.Errorf("reject %v; want %v", r, w)
		}
	}
	return nil
}

// readings returns events of every kind of value and unit.
func readings(r *rand.Rand, n int) []*event.Event {
	values := []func() event.Value{
		func() event.Value { return event.Float(r.NormFloat64() * 1e3) }, func() event.Value { return event.Int(r.Int64()) },
		func() event.Value { return event.Decimal(fmt.Sprintf("%.4f", r.NormFloat64())) }, func() event.Value { return event.Null },
		func() event.Value { return event.String("warm") }, func() event.Value { return event.Float(math.MaxFloat64 / r.Float64()) },
		func() event.Value { return event.Bool(true) }, func() event.Value { return event.Time(5) },
	}
	events := make([]*event.Event, n)
	for i := range events {
		root := fmt.Sprintf("m-%d", i)
		e := &event.Event{
			ID: event.RootID(event.NewIdentity("p", "plant", root), 7), RootID: root, Key: "k", Time: 7, Ingested: r.Int64N(1 << 40),
			Root: event.Position{Epoch: 1, Ms: uint64(r.IntN(1 << 40)), Seq: uint64(i)}, Record: &event.Record{},
		}
		e.Record.Fields = append(e.Record.Fields, field("device", event.String("a device with a name of more than twenty bytes")))
		if r.IntN(10) > 0 {
			e.Record.Fields = append(e.Record.Fields, field("value", values[r.IntN(len(values))]()))
		}
		if unit := []string{"F", "Wh", "counts", "furlong", ""}[r.IntN(5)]; unit != "" || r.IntN(2) == 0 {
			e.Record.Fields = append(e.Record.Fields, field("unit", event.String(unit)))
		}
		events[i] = e
	}
	return events
}
