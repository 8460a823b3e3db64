package live_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
	"github.com/millrace/millrace/engine/sink/chart"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestStreamGolden keeps the bytes of a whole stream: history, a new line, a late
// point, a ping, a resume, a reset and the end.
func TestStreamGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(42, 2)
		decimals := 1
		sink, err := chart.New("live", chart.Options{
			Chart: "metric", Series: "device", Unit: "unit", Title: "Plant readings", Decimals: &decimals,
			Charts: map[string]chart.One{"flow": {Title: "Flow", Look: chart.Look{
				Draw:       chart.Step,
				Thresholds: []chart.Threshold{{At: 2e21, Label: "high", Severity: chart.Alarm}},
				Bands:      []chart.Band{{From: 0, To: 1, Severity: chart.Fine}},
			}}},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		hub, stop := start(t, config(t, log, func(c *live.Config) { c.Charts[0].Sink = sink }))
		log.Append(readings, 0, reading("press-01", 1.5), reading("press-02", -0.0000001))
		time.Sleep(time.Second)
		v := view(hub, "")
		synctest.Wait()
		log.Append(readings, 1, livetest.Reading("flow", "valve \"1\"\n", time.Now().UnixMilli(), 1e21, "m³/h"), reading("press-01", 2))
		time.Sleep(time.Second)
		log.Append(readings, 0, livetest.Reading("temp", "press-01", time.Now().UnixMilli()-1500, 1.75, "C"))
		time.Sleep(4 * time.Second)
		v.close()
		r := newReceived()
		mustTake(t, r, v)
		log.Append(readings, 0, reading("press-02", 3))
		time.Sleep(time.Second)
		again, reset := view(hub, from(r.lastID)), view(hub, "format=csv", "Last-Event-ID", "41.x")
		synctest.Wait()
		again.close()
		stop()
		<-reset.done
		golden(t, "stream.txt", "# new\n"+string(v.bytes())+"# resumed\n"+string(again.bytes())+"# reset, as csv\n"+string(reset.bytes()))
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (rewrite with -update and read the diff):\n%s", path, got)
	}
}

// TestDocumentedMembers holds the documents in schemas/ to what is really sent.
func TestDocumentedMembers(t *testing.T) {
	doc, err := os.ReadFile("../../schemas/live.md")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := os.ReadFile("testdata/stream.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range parseSSE(stream) {
		if !strings.Contains(string(doc), "`"+e.name+"`") {
			t.Errorf("live.md does not name event %q", e.name)
		}
		var members map[string]any
		if e.name == "frame" || json.Unmarshal([]byte(e.data), &members) != nil {
			continue
		}
		for name := range members {
			if !regexp.MustCompile("[`\"]" + name + "[`\"]").Match(doc) {
				t.Errorf("live.md does not name member %q of event %s", name, e.name)
			}
		}
	}
}

// TestOpenAPISnapshot holds the snapshot to its schema in openapi.yaml: every
// member that is sent is described, every one required is sent.
func TestOpenAPISnapshot(t *testing.T) {
	text, err := os.ReadFile("../../schemas/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(text, &api); err != nil {
		t.Fatal(err)
	}
	check := func(name string, v any) {
		members, ok := v.(map[string]any)
		s := api.Components.Schemas[name]
		if !ok || len(s.Properties) == 0 {
			t.Fatalf("%s: no object, or no schema", name)
		}
		for m := range members {
			if _, ok := s.Properties[m]; !ok {
				t.Errorf("%s: member %q is not described", name, m)
			}
		}
		for _, m := range s.Required {
			if _, ok := members[m]; !ok {
				t.Errorf("%s: required member %q is missing", name, m)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(1, 1)
		hub, _ := start(t, config(t, log))
		log.Append(readings, 0, reading("a", 1))
		time.Sleep(time.Second)
		v := view(hub, "", "Accept", "application/json")
		<-v.done
		var snapshot map[string]any
		if err := json.Unmarshal(v.bytes(), &snapshot); err != nil {
			t.Fatal(err)
		}
		check("Snapshot", snapshot)
		one := snapshot["charts"].([]any)[0].(map[string]any)
		check("Chart", one)
		check("Series", one["series"].([]any)[0])
	})
}
