// Package metrics turns what ingest, stages and sinks report into Prometheus
// metrics and into the reasons that readiness shows. It stands beside an event's
// way: nothing waits for it, and it keeps no event.
package metrics

import (
	"bytes"
	"cmp"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Recorder hears what happens in one pipeline. Its methods may be called from any
// goroutine; each takes well under a microsecond per unit and nothing per event.
type Recorder struct {
	ingested, ingestedBytes, frames, repeated, unidentified *family[*vm.Counter]
	in, out, rejected, units, deadLetters, retries          *family[*vm.Counter]
	reloads                                                 *family[*vm.Counter]
	appendSeconds, unitSeconds, endToEndSeconds             *family[*vm.PrometheusHistogram]
	log                                                     atomic.Pointer[func() LogStats]
	queues                                                  atomic.Pointer[func() []QueueStats]

	mu    sync.Mutex
	holds map[lane]string // guarded by mu: why lanes stand still
}

type lane struct {
	stage, stream string
	number        int
}

// New returns a recorder that has heard of nothing yet.
func New() *Recorder {
	return &Recorder{
		holds: map[lane]string{},

		ingested:      counters("ingested_events_total", "Events stored in the journal.", "source"),
		ingestedBytes: counters("ingested_bytes_total", "Bytes of frames stored in the journal.", "source"),
		frames:        counters("ingested_frames_total", "Frames stored in the journal.", "source"),
		repeated:      counters("repeated_messages_total", "Messages left out because their identity is stored already.", "source"),
		unidentified:  counters("unidentified_messages_total", "Messages without identity, delivered at least once.", "source"),
		in:            counters("node_events_in_total", "Events that a node took in.", "node"),
		out:           counters("node_events_out_total", "Events that a node handed on or stored.", "node"),
		rejected:      counters("node_records_rejected_total", "Records that a node rejected.", "node"),
		units:         counters("node_units_total", "Units that a node handled.", "node"),
		deadLetters:   counters("dead_letters_total", "Events given up after an error.", "class", "node"),
		retries:       counters("retries_total", "Runs that are tried again.", "class", "node"),

		reloads: counters("reloads_total", "Times that the pipeline's file was applied again, or was to be.", "outcome"),

		appendSeconds:   histograms("append_seconds", "Time to store one frame in the journal.", "source"),
		unitSeconds:     histograms("unit_seconds", "Time a node takes for one unit; for a sink, its transaction.", "node"),
		endToEndSeconds: histograms("stored_seconds", "Time from a unit's first event leaving the source until the sink stored it.", "node"),
	}
}

// Handler serves the metrics in Prometheus' text format: the pipeline's own, those
// of the Go runtime and those of the process.
func (r *Recorder) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		var page bytes.Buffer // a slow client holds no lock of the library's
		r.writeTo(&page)
		w.Write(page.Bytes())
	})
}

func (r *Recorder) writeTo(w io.Writer) {
	for _, f := range []interface{ writeTo(io.Writer) }{
		r.ingested, r.ingestedBytes, r.frames, r.repeated, r.unidentified,
		r.in, r.out, r.rejected, r.units, r.deadLetters, r.retries,
		r.reloads, r.appendSeconds, r.unitSeconds, r.endToEndSeconds,
	} {
		f.writeTo(w)
	}
	if stats, ok := r.LogStats(); ok {
		stats.writeTo(w)
	}
	if stats := r.queues.Load(); stats != nil {
		writeQueues(w, (*stats)())
	}
	vm.WriteProcessMetrics(w)
	vm.WriteFDMetrics(w)
}

// Ingested counts one frame stored in the journal.
func (r *Recorder) Ingested(source string, events, bytes int, took time.Duration) {
	r.ingested.with(source).Add(events)
	r.ingestedBytes.with(source).Add(bytes)
	r.frames.with(source).Inc()
	r.appendSeconds.with(source).Update(took.Seconds())
}

// Repeated counts messages left out because they are stored already.
func (r *Recorder) Repeated(source string, events int) {
	r.repeated.with(source).Add(events)
}

// Unidentified counts messages without identity.
func (r *Recorder) Unidentified(source string, events int) {
	r.unidentified.with(source).Add(events)
}

// Processed counts one unit that a node handled.
func (r *Recorder) Processed(id string, in, out, rejected int, took time.Duration) {
	r.in.with(id).Add(in)
	r.out.with(id).Add(out)
	r.units.with(id).Inc()
	r.unitSeconds.with(id).Update(took.Seconds())
	if rejected > 0 {
		r.rejected.with(id).Add(rejected)
		r.deadLetters.with(node.Rejected.String(), id).Add(rejected)
	}
}

// Retried counts a run that is tried again.
func (r *Recorder) Retried(id string, class node.Class, _ error) {
	r.retries.with(class.String(), id).Inc()
}

// DeadLettered counts events that were given up.
func (r *Recorder) DeadLettered(id string, class node.Class, events int) {
	r.deadLetters.with(class.String(), id).Add(events)
}

// Stored observes how long a unit's first event was on its way.
func (r *Recorder) Stored(id string, u *node.Unit, at time.Time) {
	if len(u.Events) > 0 {
		r.endToEndSeconds.with(id).Update(at.Sub(time.UnixMilli(u.Events[0].Ingested)).Seconds())
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

// Reloaded counts one reload of the pipeline's file by its outcome.
func (r *Recorder) Reloaded(outcome string) { r.reloads.with(outcome).Inc() }

// Unhold forgets every reason of a stage, whose lanes must not be at work.
func (r *Recorder) Unhold(stage string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.holds, func(l lane, _ string) bool { return l.stage == stage })
}

// Forget drops the metrics of a node that the pipeline has no more. The node must not
// be at work.
func (r *Recorder) Forget(id string) {
	for _, f := range []*family[*vm.Counter]{r.ingested, r.ingestedBytes, r.frames, r.repeated, r.unidentified} {
		f.forget("source", id)
	}
	for _, f := range []*family[*vm.Counter]{r.in, r.out, r.rejected, r.units, r.deadLetters, r.retries} {
		f.forget("node", id)
	}
	r.appendSeconds.forget("source", id)
	r.unitSeconds.forget("node", id)
	r.endToEndSeconds.forget("node", id)
	r.Unhold(id)
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
	At              time.Time // when it was taken; zero: never yet
	Bytes, MaxBytes int64
	HoursLeft       float64 // at the present rate; +Inf if it does not grow
	DeadLetters     int64
	DeadLetterBytes int64
	DeadLetterAlarm bool  // they take more than the pipeline's file allows without a word
	DeadLettersCut  int64 // stored by this process with a part of their content
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
func (r *Recorder) WatchLog(stats func() LogStats) { r.log.Store(&stats) }

// LogStats returns the log's own figures; ok is false before there is a log.
func (r *Recorder) LogStats() (s LogStats, ok bool) {
	stats := r.log.Load()
	if stats == nil {
		return LogStats{}, false
	}
	return (*stats)(), true
}
