package status

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/spec"
)

func config(r *metrics.Recorder) Config {
	p := &spec.Pipeline{Name: "mill", Nodes: []spec.Node{{ID: "plant1", Source: "amqp"}, {ID: "decode", Transform: "json"}, {ID: "live", Sink: "chart"}}}
	return Config{
		Pipeline: func() *spec.Pipeline { return p },
		Version:  "1.2.3", Generation: "live", Recorder: r,
		Reasons: func() []httpapi.Reason { return []httpapi.Reason{{Component: "rows", Reason: "database is away"}} },
	}
}

func answer(t *testing.T, c Config) (s Status) {
	t.Helper()
	w := httptest.NewRecorder()
	New(c).ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/status", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return s
}

func TestStatusSaysWhatWasRecorded(t *testing.T) {
	r := metrics.New()
	if s := answer(t, config(r)); s.Log != nil || s.Readers == nil || s.Holds == nil || s.Ready {
		t.Errorf("before there is a log: %+v", s)
	}
	r.Ingested("plant1", 3, 100, time.Millisecond)
	r.Repeated("plant1", 2)
	r.Processed("decode", 3, 2, 1, time.Millisecond)
	r.DeadLettered("decode", node.Unsure, 1)
	r.Retried("decode", node.Away, errors.New("away"))
	r.Retried("decode", node.Unsure, errors.New("odd"))
	r.Held("rows", "decode", 1, errors.New("database is away"))
	at := time.UnixMilli(1_000_000).UTC()
	r.WatchLog(func() metrics.LogStats {
		return metrics.LogStats{At: at, Bytes: 7, MaxBytes: 70, HoursLeft: math.Inf(1), DeadLetters: 2, Readers: []metrics.ReaderLag{
			{Reader: "rows@live", Stream: "decode", Lane: 0, Events: 5, Seconds: 1.5}, {Reader: "rows@live", Stream: "decode", Lane: 1, Events: 1, Seconds: 9},
			{Reader: "decode@live", Stream: "journal", Lane: 0},
		}}
	})
	s := answer(t, config(r))
	if s.Pipeline != "mill" || s.Version != "1.2.3" || s.Uptime < 0 || len(s.Reasons) != 1 || len(s.Holds) != 1 || s.Holds[0].Lane != 1 {
		t.Errorf("status %+v", s)
	}
	if got := *s.Nodes[0].Totals; got != (metrics.Totals{In: 5, Out: 3}) || s.Nodes[0].Kind != "source" {
		t.Errorf("source: %+v", got)
	}
	if got := *s.Nodes[1].Totals; got != (metrics.Totals{In: 3, Out: 2, Rejected: 1, Retries: 2, DeadLetters: 2}) {
		t.Errorf("transform: %+v", got)
	}
	if s.Nodes[2].Kind != "chart" || s.Nodes[2].Totals != nil {
		t.Errorf("chart: %+v; it is not counted", s.Nodes[2])
	}
	if *s.Log != (Log{At: at, Bytes: 7, MaxBytes: 70, DeadLetters: 2}) {
		t.Errorf("log %+v", s.Log)
	}
	if len(s.Readers) != 2 || len(s.Readers[0].Lanes) != 2 {
		t.Fatalf("readers %+v; want two, the first with two lanes", s.Readers)
	}
	if events, worst := s.Readers[0].Worst(); events != 6 || worst.Lane != 1 {
		t.Errorf("worst: %d events, lane %d; want 6 and lane 1", events, worst.Lane)
	}
}

func TestStatusNamesThePrograms(t *testing.T) {
	c := config(metrics.New())
	want := Plugin{Runs: "scale@1.2.0#0a1b2c3d", Restarts: 2, Reason: "it is started again"}
	c.Plugins = func() map[string]Plugin { return map[string]Plugin{"decode": want} }
	s := answer(t, c)
	if got := s.Nodes[1].Plugin; got == nil || *got != want || s.Nodes[0].Plugin != nil {
		t.Errorf("nodes %+v", s.Nodes)
	}
}

func TestRates(t *testing.T) {
	began := time.UnixMilli(1_000_000)
	look := func(uptime float64, in, out uint64) *Status {
		return &Status{Started: began, Uptime: uptime, Nodes: []Node{{ID: "a", Totals: &metrics.Totals{In: in, Out: out}}, {ID: "live"}}}
	}
	anew := look(1, 1, 1)
	anew.Started = began.Add(time.Hour)
	for name, c := range map[string]struct {
		before, after *Status
		want          map[string]Rate
	}{
		"two looks":                          {look(10, 100, 50), look(12, 300, 51), map[string]Rate{"a": {100, 0.5}}},
		"nothing happens":                    {look(10, 100, 50), look(12, 100, 50), map[string]Rate{"a": {}}},
		"the first look":                     {nil, look(12, 300, 51), map[string]Rate{}},
		"no time between":                    {look(12, 100, 50), look(12, 300, 51), map[string]Rate{}},
		"the engine was started anew":        {look(0.5, 0, 0), anew, map[string]Rate{}},
		"a node that was not there before":   {&Status{Started: began, Uptime: 1}, look(2, 5, 5), map[string]Rate{}},
		"an answer that was overtaken on it": {look(12, 300, 51), look(10, 100, 50), map[string]Rate{}},
	} {
		if got := Rates(c.before, c.after); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}
