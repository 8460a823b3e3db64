// Package status tells what a running engine does just now: what its nodes have
// counted, how far readers are behind, how full the log is and why anything stands
// still. It puts together what the engine knows anyway, asks no server and costs
// nothing per event.
package status

import (
	"encoding/json"
	"math"
	"net/http"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

// Status is the answer of GET /api/v1/status.
type Status struct {
	Time       time.Time        `json:"time"` // by the engine's clock
	Pipeline   string           `json:"pipeline"`
	Generation string           `json:"generation"`
	Version    string           `json:"version"`
	Started    time.Time        `json:"started"`
	Uptime     float64          `json:"uptime_seconds"` // of a clock that is never set back
	Ready      bool             `json:"ready"`
	Reasons    []httpapi.Reason `json:"reasons"` // why it is not ready
	Holds      []metrics.Hold   `json:"holds"`   // lanes that stand still
	Nodes      []Node           `json:"nodes"`   // in the file's order
	Readers    []Reader         `json:"readers"` // by stream and reader
	Log        *Log             `json:"log,omitempty"`
}

// Node is one node of the pipeline with what it counted since the engine began.
type Node struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // source, transform, plugin, sink or chart
	Type string `json:"type"`
	*metrics.Totals
	Plugin *Plugin `json:"plugin,omitempty"` // of a plugin node, once it has been started
}

// Plugin is the program that a plugin node runs.
type Plugin struct {
	Runs     string `json:"runs"`             // name@version#hash8
	Restarts uint64 `json:"restarts"`         // of its process
	Spare    string `json:"spare,omitempty"`  // the version before, ready during a trial
	Reason   string `json:"reason,omitempty"` // why it is not ready
}

// Reader is how far one stage or sink is behind in one stream.
type Reader struct {
	Reader string `json:"reader"` // id@generation
	Stream string `json:"stream"`
	Lanes  []Lag  `json:"lanes"`
}

// Lag is how far a reader is behind one lane's head.
type Lag struct {
	Lane    int     `json:"lane"`
	Events  int64   `json:"events"`  // not yet finished with
	Seconds float64 `json:"seconds"` // since the oldest of them was appended
}

// Log is how full the log is.
type Log struct {
	At              time.Time `json:"at,omitzero"` // when it and the lags were measured; zero: not yet
	Bytes           int64     `json:"bytes"`
	MaxBytes        int64     `json:"max_bytes"`            // at which ingest stops
	HoursLeft       *float64  `json:"hours_left,omitempty"` // at the growth of the last ten minutes; nil: it does not grow
	DeadLetters     int64     `json:"dead_letters"`
	DeadLetterBytes int64     `json:"dead_letter_bytes"`
}

// Config is where a status comes from.
type Config struct {
	Pipeline   func() *spec.Pipeline // what runs now
	Generation string
	Version    string
	Recorder   *metrics.Recorder
	Reasons    func() []httpapi.Reason  // why the engine is not ready
	Plugins    func() map[string]Plugin // by node; nil: none
}

// Source tells the status of an engine. It may be used from any goroutine.
type Source struct {
	cfg     Config
	started time.Time
}

// New returns the source of an engine that begins now.
func New(c Config) *Source { return &Source{c, time.Now()} }

// Now returns the status as it is.
func (s *Source) Now() *Status { return s.cfg.now(s.started) }

// ServeHTTP serves the [Status] as JSON.
func (s *Source) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(s.Now()) // the asker may be gone
}

func (c Config) now(started time.Time) *Status {
	now, p := time.Now(), c.Pipeline()
	s := &Status{
		Time: now.UTC(), Pipeline: p.Name, Generation: c.Generation, Version: c.Version,
		Started: started.UTC(), Uptime: now.Sub(started).Seconds(),
		Reasons: append([]httpapi.Reason{}, c.Reasons()...), Holds: c.Recorder.Holds(), Nodes: c.nodes(p), Readers: []Reader{},
	}
	s.Ready = len(s.Reasons) == 0
	if stats, ok := c.Recorder.LogStats(); ok {
		s.Log = logOf(&stats)
		s.Readers = readersOf(stats.Readers)
	}
	return s
}

func (c Config) nodes(p *spec.Pipeline) []Node {
	totals, plugins := c.Recorder.Totals(), map[string]Plugin{}
	if c.Plugins != nil {
		plugins = c.Plugins()
	}
	list := make([]Node, len(p.Nodes))
	for i := range list {
		n := &p.Nodes[i]
		if plan.IsChart(n) { // the live hub draws all charts at once and counts no node
			list[i] = Node{ID: n.ID, Kind: plan.ChartType, Type: n.TypeName()}
			continue
		}
		counted := totals[n.ID]
		list[i] = Node{ID: n.ID, Kind: string(n.Kind()), Type: n.TypeName(), Totals: &counted}
		if runs, ok := plugins[n.ID]; ok {
			list[i].Plugin = &runs
		}
	}
	return list
}

func logOf(s *metrics.LogStats) *Log {
	l := &Log{At: s.At.UTC(), Bytes: s.Bytes, MaxBytes: s.MaxBytes, DeadLetters: s.DeadLetters, DeadLetterBytes: s.DeadLetterBytes}
	if !math.IsInf(s.HoursLeft, 0) {
		l.HoursLeft = &s.HoursLeft
	}
	return l
}

// readersOf puts the lanes together that follow each other in the list.
func readersOf(lags []metrics.ReaderLag) []Reader {
	list := []Reader{}
	for _, lag := range lags {
		if n := len(list); n == 0 || list[n-1].Reader != lag.Reader || list[n-1].Stream != lag.Stream {
			list = append(list, Reader{Reader: lag.Reader, Stream: lag.Stream})
		}
		r := &list[len(list)-1]
		r.Lanes = append(r.Lanes, Lag{lag.Lane, lag.Events, lag.Seconds})
	}
	return list
}

// Worst returns the sum of events over the reader's lanes and the lane that is
// furthest behind: the longest, then by the most events.
func (r *Reader) Worst() (events int64, worst Lag) {
	for i, l := range r.Lanes {
		events += l.Events
		if i == 0 || l.Seconds > worst.Seconds || l.Seconds == worst.Seconds && l.Events > worst.Events {
			worst = l
		}
	}
	return events, worst
}
