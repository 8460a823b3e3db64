package metrics

import (
	"errors"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

func TestScrapeShowsWhatWasRecorded(t *testing.T) {
	r := New()
	r.Ingested("plant1", 3, 100, time.Millisecond)
	r.Processed("celsius", 3, 2, 1, time.Millisecond)
	r.DeadLettered("celsius", node.Unsure, 1)
	r.Retried("rows", node.Away, errors.New("away"))
	r.Stored("rows", &node.Unit{Events: []*event.Event{{Ingested: 1}}}, time.UnixMilli(1001))
	r.WatchLog(func() LogStats {
		return LogStats{Bytes: 7, Readers: []ReaderLag{{Reader: "rows@live", Stream: "celsius", Lane: 2, Events: 5, Seconds: 1.5}}}
	})
	rec := httptest.NewRecorder()
	r.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`millrace_ingested_events_total{source="plant1"} 3`,
		`millrace_node_events_out_total{node="celsius"} 2`,
		`millrace_dead_letters_total{class="rejected",node="celsius"} 1`,
		`millrace_dead_letters_total{class="unsure",node="celsius"} 1`,
		`millrace_retries_total{class="away",node="rows"} 1`,
		`millrace_stored_seconds_sum{node="rows"} 1`,
		"# HELP millrace_stored_seconds Time from a unit's first event leaving the source until the sink stored it.",
		`# TYPE millrace_stored_seconds histogram`,
		`millrace_stored_seconds_bucket{node="rows",le="1.024"} 1`,
		`millrace_stored_seconds_bucket{node="rows",le="0.512"} 0`,
		`millrace_log_bytes 7`,
		`millrace_lag_events{lane="2",reader="rows@live",stream="celsius"} 5`,
	} {
		if !strings.Contains(rec.Body.String(), want+"\n") {
			t.Errorf("scrape lacks %s", want)
		}
	}
}

// TestScrapeIsReadByPrometheus reads a scrape with Prometheus' own parser.
func TestScrapeIsReadByPrometheus(t *testing.T) {
	const source = "a\"b\\c\nd"
	r := New()
	r.Ingested(source, 3, 100, time.Millisecond)
	r.Ingested("plant2", 4, 100, 40*time.Second)
	r.WatchLog(func() LogStats { return LogStats{HoursLeft: math.Inf(1)} })
	rec := httptest.NewRecorder()
	r.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	events := families["millrace_ingested_events_total"]
	if m := events.GetMetric(); events.GetType() != dto.MetricType_COUNTER || len(m) != 2 ||
		m[0].GetLabel()[0].GetValue() != source || m[0].GetCounter().GetValue() != 3 {
		t.Errorf("ingested_events_total = %v", events)
	}
	took := families["millrace_append_seconds"].GetMetric()
	if h := took[1].GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() != 40 || len(h.GetBucket()) != 19 {
		t.Errorf("append_seconds of plant2 = %v", h)
	}
	if !math.IsInf(families["millrace_log_hours_left"].GetMetric()[0].GetGauge().GetValue(), 1) {
		t.Error("log_hours_left is not +Inf")
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "process_open_fds"} {
		if families[name] == nil {
			t.Errorf("scrape lacks %s", name)
		}
	}
}

func TestHoldsAreSortedAndEnd(t *testing.T) {
	r := New()
	r.Held("rows", "celsius", 1, errors.New("b"))
	r.Held("rows", "celsius", 0, errors.New("a"))
	if got := r.Holds(); len(got) != 2 || got[0].Lane != 0 || got[1].Reason != "b" {
		t.Fatalf("Holds = %+v", got)
	}
	r.Held("rows", "celsius", 0, nil)
	if got := r.Holds(); len(got) != 1 || got[0].Lane != 1 {
		t.Fatalf("Holds after one ended = %+v", got)
	}
}

// TestForgottenNodesAreNotScraped: what a removed node has counted goes, and a new
// one of its name begins at nothing; others stay.
func TestForgottenNodesAreNotScraped(t *testing.T) {
	r := New()
	r.Ingested("plant1", 3, 100, time.Millisecond)
	r.Processed("celsius", 3, 2, 1, time.Millisecond)
	r.Processed("rows", 2, 2, 0, time.Millisecond)
	r.Retried("celsius", node.Away, errors.New("away"))
	r.Held("celsius", "journal", 2, errors.New("away"))
	r.Held("rows", "celsius", 2, errors.New("away"))
	r.Forget("celsius")
	r.Forget("plant1")
	r.Forget("nobody")
	rec := httptest.NewRecorder()
	r.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, gone := range []string{`"celsius"`, `"plant1"`} {
		if strings.Contains(rec.Body.String(), gone) {
			t.Errorf("%s is still scraped", gone)
		}
	}
	if !strings.Contains(rec.Body.String(), `millrace_node_units_total{node="rows"} 1`) {
		t.Error("another node's metrics are gone")
	}
	if holds := r.Holds(); len(holds) != 1 || holds[0].Stage != "rows" {
		t.Errorf("holds %v; want those of rows", holds)
	}
	r.Processed("celsius", 1, 1, 0, time.Millisecond)
	if got := r.Totals()["celsius"]; got.In != 1 {
		t.Errorf("a new node of the name has taken in %d; want 1", got.In)
	}
}

func TestFollowedQueuesAreShown(t *testing.T) {
	r := New()
	r.WatchQueues(func() []QueueStats {
		return []QueueStats{{Source: "plant1", Leader: "WIN1", Replica: "linux", Known: true, Synchronised: true, Promotions: 2, Redelivered: 3, Missing: 4}, {Source: "plant2"}}
	})
	var page strings.Builder
	r.writeTo(&page)
	for _, line := range []string{
		`queue_synchronised{leader="WIN1",replica="linux",source="plant1"} 1`, `queue_promotions_total{source="plant1"} 2`,
		`queue_redelivered_total{source="plant1"} 3`, `queue_missing_messages{source="plant1"} 4`, `queue_missing_messages{source="plant2"} 0`,
	} {
		if !strings.Contains(page.String(), line) {
			t.Errorf("no %s in\n%s", line, page.String())
		}
	}
	if strings.Contains(page.String(), `source="plant2"} 1`) {
		t.Error("what nobody has told is synchronised")
	}
}
