package jsontransform_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	jsontransform "github.com/millrace/millrace/engine/transform/json"
)

func processWith(t testing.TB, tr node.Transform, events ...*event.Event) []node.Result {
	t.Helper()
	results, err := tr.Process(t.Context(), &node.Batch{Events: events})
	if err != nil || len(results) != len(events) {
		t.Fatalf("Process = %d results, %v; want %d", len(results), err, len(events))
	}
	return results
}

// BenchmarkProcess decodes readings of about 150 bytes in units of 1 and 1000
// events, and as arrays of 100; figures are per reading.
func BenchmarkProcess(b *testing.B) {
	const reading = `{"id":"plant1-%09d","device":"furnace-south-%02d","metric":"temperature","ts":"2026-08-21T10:00:%02d.123Z","value":%d.93588199,"unit":"degF"}`
	object := func(i int) string { return fmt.Sprintf(reading, i, i%20, i%60, i%90) }
	array := func(i int) string {
		var parts []string
		for k := range 100 {
			parts = append(parts, object(100*i+k))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	plain := jsontransform.Options{Time: "ts"}
	for _, bc := range []struct {
		name        string
		opts        jsontransform.Options
		events, per int
		make        func(int) string
	}{
		{"one object", plain, 1, 1, object},
		{"unit of 1000 objects", plain, 1000, 1, object},
		{"unit of 1000 objects, plant set", jsontransform.Options{Time: "ts", Set: map[string]string{"plant": `"plant1"`}}, 1000, 1, object},
		{"unit of 10 arrays of 100", plain, 10, 100, array},
	} {
		b.Run(bc.name, func(b *testing.B) {
			tr, err := jsontransform.New("readings", &bc.opts)
			if err != nil {
				b.Fatal(err)
			}
			var events []*event.Event
			bytes := 0
			for i := range bc.events {
				events = append(events, payload(bc.make(i)))
				bytes += len(events[i].Payload)
			}
			b.ReportAllocs()
			b.SetBytes(int64(bytes))
			for b.Loop() {
				if r := processWith(b, tr, events...); len(r[0].Outputs) != bc.per {
					b.Fatalf("%d outputs: %v", len(r[0].Outputs), r[0].Rejects)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bc.events*bc.per), "ns/reading")
		})
	}
}
