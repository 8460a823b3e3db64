package metrics

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
		`millrace_log_bytes 7`,
		`millrace_lag_events{lane="2",reader="rows@live",stream="celsius"} 5`,
	} {
		if !strings.Contains(rec.Body.String(), want+"\n") {
			t.Errorf("scrape lacks %s", want)
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
