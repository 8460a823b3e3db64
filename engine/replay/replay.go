// Package replay is what is asked of a replay of the journal, what is kept of it in
// the log, and how it is asked for over HTTP. A replay is another generation of a
// plan that reads a stretch of the journal; package runtime runs it.
package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// Modes say what becomes of what a replay makes.
const (
	Live   = "live"   // the sinks' own tables, by event id: repeats are no-ops
	Shadow = "shadow" // tables of the replay's own, compared with the live ones in the end
	None   = "none"   // nothing stays: counted, compared, dropped
)

// Request is what a user asks for.
type Request struct {
	Name      string   `json:"name"`                 // [a-z][a-z0-9_]{0,19}; part of a shadow table's name
	File      string   `json:"file"`                 // name of the pipeline file, for messages
	Text      string   `json:"text"`                 // its content: the plan that the stretch goes through; "": the one that runs
	From      string   `json:"from"`                 // see [Bounds]
	To        string   `json:"to"`                   // see [Bounds]
	EventTime string   `json:"event_time,omitempty"` // FROM..TO, both RFC 3339, one may be missing: only events of this time
	Node      string   `json:"node,omitempty"`       // only what passes through this node, or comes from this source
	Key       string   `json:"key,omitempty"`        // only what has this key where it reaches a sink
	Mode      string   `json:"mode"`                 // live, shadow or none
	Sinks     []string `json:"sinks,omitempty"`      // of mode live: these sinks alone, external ones too
	Overwrite bool     `json:"overwrite,omitempty"`  // of mode live: changed values replace stored ones
	Rate      int      `json:"rate,omitempty"`       // most events per second; 0: as fast as live traffic allows
	Tolerance float64  `json:"tolerance,omitempty"`  // relative difference of numbers that counts as none
	Paused    bool     `json:"paused,omitempty"`     // it begins paused, so that one can look at its charts from the first event on
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,19}$`)

// Check returns all that is wrong with the request, joined.
func (r *Request) Check(now time.Time) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !namePattern.MatchString(r.Name) {
		bad("name: %q is not of the form [a-z][a-z0-9_]{0,19}", r.Name)
	}
	switch r.Mode {
	case Live, Shadow, None:
	default:
		bad("sinks: %q is none of live, shadow, none", r.Mode)
	}
	if r.Mode != Live && (r.Overwrite || len(r.Sinks) > 0) {
		bad("overwrite and named sinks are for --sinks live alone")
	}
	if r.Rate < 0 {
		bad("rate: %d events a second", r.Rate)
	}
	if r.Tolerance < 0 || r.Tolerance >= 1 {
		bad("tolerance: %g is not in 0..1", r.Tolerance)
	}
	from, err1 := bound("from", r.From, now)
	to, err2 := bound("to", r.To, now)
	if err1 == nil && err2 == nil && to.ms < from.ms {
		bad("to: %s is before from, %s", r.To, r.From)
	}
	_, err3 := r.Times()
	return errors.Join(append(errs, err1, err2, err3)...)
}

// limit is one end of a stretch of the journal.
type limit struct {
	ms int64 // ms since the Unix epoch
	id bool  // the limit is an entry and belongs to the stretch
}

// bound reads one end of the stretch: a time (RFC 3339), how long ago (10m), an
// entry of the journal (1795476000123-17, as dead letters name it), earliest, or now.
// An entry stands for the millisecond in which it was stored.
func bound(name, text string, now time.Time) (limit, error) {
	switch text {
	case "earliest":
		return limit{}, nil
	case "now":
		return limit{ms: stream.LaneEnd}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return limit{ms: at.UnixMilli()}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return limit{ms: now.Add(-ago).UnixMilli()}, nil
	}
	if at, err := entry(text); err == nil {
		return limit{ms: int64(at.Ms), id: true}, nil
	}
	return limit{}, fmt.Errorf("%s: %q is no time (2026-03-01T12:00:00Z), no time ago (10m), no journal entry (1795476000123-17), not earliest and not now", name, text)
}

// entry reads a journal entry, with or without its epoch.
func entry(text string) (event.Position, error) {
	if !strings.Contains(text, ".") {
		text = "1." + text
	}
	return event.ParsePosition(text)
}

// Bounds returns the times, in ms since the Unix epoch, before which the stretch has
// its last entry left out and its last entry. The request must have been checked.
func (r *Request) Bounds(now time.Time) (from, to int64) {
	first, _ := bound("from", r.From, now)
	last, _ := bound("to", r.To, now)
	if last.id {
		last.ms++
	}
	return first.ms, last.ms
}

// Times is a range of event times in ms since the Unix epoch; 0 is no limit.
type Times struct{ From, To int64 }

// Take reports whether an event of this time belongs to the range: at or after its
// start, before its end. An event without a time belongs only to the whole range.
func (t Times) Take(ms int64) bool {
	return t == Times{} || ms != 0 && ms >= t.From && (t.To == 0 || ms < t.To)
}

// Times reads the range of event times.
func (r *Request) Times() (t Times, err error) {
	if r.EventTime == "" {
		return t, nil
	}
	from, to, ok := strings.Cut(r.EventTime, "..")
	if !ok || from+to == "" {
		return t, fmt.Errorf("event_time: %q is not of the form FROM..TO", r.EventTime)
	}
	read := func(text string) int64 {
		if text == "" {
			return 0
		}
		at, wrong := time.Parse(time.RFC3339, text)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("event_time: %q is not of the form 2026-03-01T12:00:00Z", text))
		}
		return at.UnixMilli()
	}
	t = Times{read(from), read(to)}
	return t, err
}

// States of a replay.
const (
	Running = "running"
	Paused  = "paused"
	Done    = "done"    // the whole stretch went through; there is a result
	Stopped = "stopped" // by a user, or because it was paused for too long
	Failed  = "failed"
)

// Lane is the stretch of one lane of the journal.
type Lane struct {
	From stream.Mark `json:"from"` // the entry before the first
	To   stream.Mark `json:"to"`   // the last entry
}

// Replay is what the log keeps of one replay.
type Replay struct {
	Request
	Generation string      `json:"generation"` // the name with a part that no other replay has
	Begun      time.Time   `json:"begun"`
	Ended      time.Time   `json:"ended,omitzero"`
	PausedAt   time.Time   `json:"paused_at,omitzero"`
	Stretch    []Lane      `json:"stretch"` // by lane
	State      string      `json:"state"`
	Error      string      `json:"error,omitempty"`
	Cleared    bool        `json:"cleared"`           // it is over and has nothing left in the log
	Results    []SinkFacts `json:"results,omitempty"` // by sink, once it is done
	Letters    int         `json:"dead_letters"`      // that it made, once it is done; of mode none they are dropped
}

// SinkFacts is what became of one sink's events.
type SinkFacts struct {
	Sink       string          `json:"sink"`
	Table      string          `json:"table,omitempty"`      // that was written
	Events     int64           `json:"events"`               // that reached the sink since the engine's last start
	Comparison json.RawMessage `json:"comparison,omitempty"` // with the live table; see sqlsink.Comparison
}

// GenerationOf names the generation of a replay of this name that begins now.
func GenerationOf(name string, now time.Time) string {
	return name + "-" + strconv.FormatInt(now.UnixMilli(), 36)
}

// Total is the number of events of the stretch.
func (r *Replay) Total() (events int64) {
	for _, l := range r.Stretch {
		events += max(l.To.Events-l.From.Events, 0)
	}
	return events
}

// Over reports whether the replay has ended.
func (r *Replay) Over() bool { return r.State != Running && r.State != Paused }

// Status is a replay with how far it has come.
type Status struct {
	Replay
	Events  int64 `json:"events"`  // of the stretch
	Read    int64 `json:"read"`    // of them, that every reader of the journal has passed
	Waiting int64 `json:"waiting"` // events between its stages and sinks

	Held []string `json:"held,omitempty"` // why parts of it stand still
}

// Comparison is what a replay's table has that the live one has not, as a sink
// reports it; "here" is the replay's.
type Comparison struct {
	Here      int64  `json:"rows_here"`
	There     int64  `json:"rows_there"` // of the same event times
	OnlyHere  int64  `json:"only_here"`
	OnlyThere *int64 `json:"only_there,omitempty"` // nil if the replay was filtered
	Different int64  `json:"different"`
	Columns   []struct {
		Name      string `json:"name"`
		Different int64  `json:"different"`
	} `json:"columns"`
	Sample []Row `json:"sample"`
}

// Row is one row that is not the same in both tables.
type Row struct {
	EventID string                `json:"event_id"`
	Kind    string                `json:"kind"` // different, only_here, only_there
	Columns map[string][2]*string `json:"columns,omitempty"`
}

// Text says what differs: column: here / there.
func (r Row) Text() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Columns)) {
		values := r.Columns[name]
		parts = append(parts, fmt.Sprintf("%s: %s / %s", name, orNull(values[0]), orNull(values[1])))
	}
	return strings.Join(parts, ", ")
}

func orNull(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}
