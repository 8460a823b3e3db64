// Package metrics turns what ingest, stages and sinks report into Prometheus
// metrics and into the reasons that readiness shows. It stands beside an event's
// way: nothing waits for it, and it keeps no event.
package metrics

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Recorder hears what happens in one pipeline. Its methods may be called from any
// goroutine; each takes well under a microsecond per unit and nothing per event.
type Recorder struct {
	registry *prometheus.Registry

	ingested, ingestedBytes, frames, repeated, unidentified *prometheus.CounterVec
	in, out, rejected, units, deadLetters, retries          *prometheus.CounterVec
	appendSeconds, unitSeconds, endToEndSeconds             *prometheus.HistogramVec

	mu    sync.Mutex
	holds map[lane]string // guarded by mu: why lanes stand still
}

type lane struct {
	stage, stream string
	number        int
}

// latencyBuckets are seconds from 0.25 ms to about 33 s.
var latencyBuckets = prometheus.ExponentialBuckets(0.00025, 2, 18)

// New returns a recorder with a registry of its own.
func New() *Recorder {
	r := &Recorder{registry: prometheus.NewRegistry(), holds: map[lane]string{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "millrace", Name: name, Help: help}, labels)
		r.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "millrace", Name: name, Help: help, Buckets: latencyBuckets,
		}, labels)
		r.registry.MustRegister(h)
		return h
	}
	r.ingested = counter("ingested_events_total", "Events stored in the journal.", "source")
	r.ingestedBytes = counter("ingested_bytes_total", "Bytes of frames stored in the journal.", "source")
	r.frames = counter("ingested_frames_total", "Frames stored in the journal.", "source")
	r.repeated = counter("repeated_messages_total", "Messages left out because their identity is stored already.", "source")
	r.unidentified = counter("unidentified_messages_total", "Messages without identity, delivered at least once.", "source")
	r.in = counter("node_events_in_total", "Events that a node took in.", "node")
	r.out = counter("node_events_out_total", "Events that a node handed on or stored.", "node")
	r.rejected = counter("node_records_rejected_total", "Records that a node rejected.", "node")
	r.units = counter("node_units_total", "Units that a node handled.", "node")
	r.deadLetters = counter("dead_letters_total", "Events given up after an error.", "node", "class")
	r.retries = counter("retries_total", "Runs that are tried again.", "node", "class")
	r.appendSeconds = histogram("append_seconds", "Time to store one frame in the journal.", "source")
	r.unitSeconds = histogram("unit_seconds", "Time a node takes for one unit; for a sink, its transaction.", "node")
	r.endToEndSeconds = histogram("stored_seconds", "Time from a unit's first event leaving the source until the sink stored it.", "node")
	r.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler serves the metrics in Prometheus' text format.
func (r *Recorder) Handler() http.Handler {
	return promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{})
}

// Ingested counts one frame stored in the journal.
func (r *Recorder) Ingested(source string, events, bytes int, took time.Duration) {
	r.ingested.WithLabelValues(source).Add(float64(events))
	r.ingestedBytes.WithLabelValues(source).Add(float64(bytes))
	r.frames.WithLabelValues(source).Inc()
	r.appendSeconds.WithLabelValues(source).Observe(took.Seconds())
}

// Repeated counts messages left out because they are stored already.
func (r *Recorder) Repeated(source string, events int) {
	r.repeated.WithLabelValues(source).Add(float64(events))
}

// Unidentified counts messages without identity.
func (r *Recorder) Unidentified(source string, events int) {
	r.unidentified.WithLabelValues(source).Add(float64(events))
}

// Processed counts one unit that a node handled.
func (r *Recorder) Processed(id string, in, out, rejected int, took time.Duration) {
	r.in.WithLabelValues(id).Add(float64(in))
	r.out.WithLabelValues(id).Add(float64(out))
	r.units.WithLabelValues(id).Inc()
	r.unitSeconds.WithLabelValues(id).Observe(took.Seconds())
	if rejected > 0 {
		r.rejected.WithLabelValues(id).Add(float64(rejected))
		r.deadLetters.WithLabelValues(id, node.Rejected.String()).Add(float64(rejected))
	}
}

// Retried counts a run that is tried again.
func (r *Recorder) Retried(id string, class node.Class, _ error) {
	r.retries.WithLabelValues(id, class.String()).Inc()
}

// DeadLettered counts events that were given up.
func (r *Recorder) DeadLettered(id string, class node.Class, events int) {
	r.deadLetters.WithLabelValues(id, class.String()).Add(float64(events))
}

// Stored observes how long a unit's first event was on its way.
func (r *Recorder) Stored(id string, u *node.Unit, at time.Time) {
	if len(u.Events) > 0 {
		r.endToEndSeconds.WithLabelValues(id).Observe(at.Sub(time.UnixMilli(u.Events[0].Ingested)).Seconds())
	}
}

// Held notes why a lane stands still; a nil reason ends it. Lane -1 is the whole
// stage.
func (r *Recorder) Held(stage, stream string, number int, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := lane{stage, stream, number}
	if reason == nil {
		delete(r.holds, key)
		return
	}
	r.holds[key] = reason.Error()
}

// Hold is one lane that stands still.
type Hold struct {
	Stage  string `json:"stage"`
	Stream string `json:"stream"`
	Lane   int    `json:"lane"` // -1: all lanes
	Reason string `json:"reason"`
}

// Holds lists the lanes that stand still, by stage, stream and lane.
func (r *Recorder) Holds() []Hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Hold, 0, len(r.holds))
	for k, reason := range r.holds {
		list = append(list, Hold{k.stage, k.stream, k.number, reason})
	}
	slices.SortFunc(list, func(a, b Hold) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Lane, b.Lane))
	})
	return list
}

// LogStats is what the log knows of itself; see [Recorder.WatchLog].
type LogStats struct {
	Bytes, MaxBytes int64
	HoursLeft       float64 // at the present rate; +Inf if it does not grow
	DeadLetters     int64
	DeadLetterBytes int64
	Readers         []ReaderLag
}

// ReaderLag is how far one reader is behind one lane's head.
type ReaderLag struct {
	Reader, Stream string
	Lane           int
	Events         int64
	Seconds        float64
	Position       event.Position
}

// WatchLog serves the log's own figures, asked for at each scrape; stats must not
// block.
func (r *Recorder) WatchLog(stats func() LogStats) { r.registry.MustRegister(logCollector{stats}) }
