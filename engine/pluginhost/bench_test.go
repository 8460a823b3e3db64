package pluginhost_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
)

// readings returns n records of about 150 bytes, as a decode node makes them.
func readings(n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		root := fmt.Sprintf("plant1-mhx3k2a-%06d", i)
		events[i] = &event.Event{
			ID: event.RootID(event.NewIdentity("p", "plant1", root), 0), RootID: root, Key: fmt.Sprint("machine-", i%5),
			Time: 1700000000000 + int64(i), Ingested: 1700000000200 + int64(i),
			Source: event.Source{Node: "plant1", RoutingKey: "master.plant1", Queue: "master.plant1", MessageID: root},
			Root:   event.Position{Epoch: 1, Ms: 1700000000200, Seq: uint64(i / 100)},
			Record: &event.Record{Fields: []event.Field{
				{Name: "id", Value: event.String(root)}, {Name: "device", Value: event.String(fmt.Sprint("machine-", i%5))},
				{Name: "metric", Value: event.String("temperature")}, {Name: "ts", Value: event.Time(1700000000000 + int64(i))},
				{Name: "value", Value: event.Float(float64(i) * 1.1)}, {Name: "unit", Value: event.String("C")},
			}},
		}
	}
	return events
}

// payloads returns n records with one text of 256 bytes.
func payloads(n int) []*event.Event {
	events := readings(n)
	for i, e := range events {
		e.Record = &event.Record{Fields: []event.Field{{Name: "text", Value: event.String(strings.Repeat(string(rune('a'+i%26)), 256))}}}
	}
	return events
}

// cpu returns the processor time that a process has used so far.
func cpu(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var utime, stime int64
	f := strings.Fields(rest)
	_, _ = fmt.Sscan(f[11]+" "+f[12], &utime, &stime) // zero is as good as an error here
	return time.Duration(utime+stime) * 10 * time.Millisecond
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // never fails for self
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchmark(b *testing.B, tr node.Transform, pid int, events []*event.Event) {
	in := &node.Batch{Events: events}
	for range 20 {
		mustProcess(b, tr, in)
	}
	own, theirs := ownCPU(), time.Duration(0)
	if pid != 0 {
		theirs = cpu(pid)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, err := tr.Process(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		n += len(events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
	b.ReportMetric(float64((ownCPU()-own).Nanoseconds())/float64(n), "hostcpu-ns/event")
	if pid != 0 {
		b.ReportMetric(float64((cpu(pid)-theirs).Nanoseconds())/float64(n), "plugincpu-ns/event")
	}
}

func BenchmarkHop(b *testing.B) {
	for way, over := range ways {
		tr := start(b, "good", over(pluginhost.Config{}), double)
		for _, c := range units {
			b.Run(way+"/"+c.name, func(b *testing.B) { benchmark(b, tr, tr.PID(), c.events) })
		}
	}
	direct := inProcess(b)
	for _, c := range units {
		b.Run("direct/"+c.name, func(b *testing.B) { benchmark(b, direct, 0, c.events) })
	}
}

var units = []struct {
	name   string
	events []*event.Event
}{
	{"256x256B", payloads(256)}, {"1000x150B", readings(1000)}, {"4096x150B", readings(4096)}, {"1x150B", readings(1)},
}

// BenchmarkStart measures from nothing to a configured process of a shipped plugin.
func BenchmarkStart(b *testing.B) {
	host := pluginhost.New(pluginhost.Config{Dir: filepath.Join(b.TempDir(), "bin"), SourceDir: "../../plugins"})
	if _, err := host.Build(b.Context(), "scale"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		tr, err := host.Start(b.Context(), pluginhost.NodeConfig{Node: "n", Ref: "scale", With: map[string]any{"convert": []any{"F->C"}}, Lanes: 1})
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		if err := tr.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
