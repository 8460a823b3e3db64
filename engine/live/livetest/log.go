// Package livetest holds a log in memory for tests of the live hub and of what
// serves it. It keeps every frame, or as many as it is told to keep.
package livetest

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
)

// Log is an in-memory log. Its methods may be called concurrently.
type Log struct {
	epoch uint64
	lanes int

	mu      sync.Mutex
	streams map[laneName][]live.Entry // guarded by mu
	trimmed map[laneName]event.Position
	more    chan struct{} // guarded by mu; closed at the next append
	err     error         // guarded by mu; what every call answers
	lastMs  uint64        // guarded by mu
	lastSeq uint64        // guarded by mu
}

type laneName struct {
	stream string
	lane   int
}

var (
	_ live.Log     = (*Log)(nil)
	_ live.Trimmer = (*Log)(nil)
)

// NewLog returns an empty log.
func NewLog(epoch uint64, lanes int) *Log {
	return &Log{
		epoch: epoch, lanes: lanes, more: make(chan struct{}),
		streams: map[laneName][]live.Entry{}, trimmed: map[laneName]event.Position{},
	}
}

// Append adds one frame of events to a lane and returns its place.
func (l *Log) Append(stream string, lane int, events ...*event.Event) event.Position {
	return l.AppendFrame(stream, lane, encoded(events))
}

func encoded(events []*event.Event) []byte {
	frame, err := (&event.Frame{Events: events}).Encode(nil, event.None)
	if err != nil {
		panic("livetest: frame cannot be encoded: " + err.Error())
	}
	return frame
}

// AppendFrame adds the bytes of one frame to a lane and returns its place.
func (l *Log) AppendFrame(stream string, lane int, frame []byte) event.Position {
	return l.appendAt(stream, lane, uint64(time.Now().UnixMilli()), frame)
}

// AppendAt is Append as if it were another time, ms since the Unix epoch; one before
// the newest entry's counts as that.
func (l *Log) AppendAt(ms int64, stream string, lane int, events ...*event.Event) event.Position {
	return l.appendAt(stream, lane, uint64(ms), encoded(events))
}

func (l *Log) appendAt(stream string, lane int, ms uint64, frame []byte) event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ms > l.lastMs {
		l.lastMs, l.lastSeq = ms, 0
	} else {
		l.lastSeq++
	}
	at := event.Position{Epoch: l.epoch, Ms: l.lastMs, Seq: l.lastSeq}
	name := laneName{stream, lane}
	l.streams[name] = append(l.streams[name], live.Entry{At: at, Frame: frame})
	close(l.more)
	l.more = make(chan struct{})
	return at
}

// Trim forgets all but the newest keep entries of a lane.
func (l *Log) Trim(stream string, lane, keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := laneName{stream, lane}
	if drop := len(l.streams[name]) - keep; drop > 0 {
		l.trimmed[name] = l.streams[name][drop-1].At
		l.streams[name] = l.streams[name][drop:]
	}
}

// Fail lets every call answer err, until it is called with nil.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	close(l.more)
	l.more = make(chan struct{})
}

// Epoch implements [live.Log].
func (l *Log) Epoch() uint64 { return l.epoch }

// Lanes implements [live.Log].
func (l *Log) Lanes() int { return l.lanes }

// Head implements [live.Log].
func (l *Log) Head(_ context.Context, stream string, lane int) (event.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := laneName{stream, lane}
	entries := l.streams[name]
	if len(entries) == 0 {
		return event.Position{Epoch: l.epoch, Ms: l.trimmed[name].Ms, Seq: l.trimmed[name].Seq}, l.err
	}
	return entries[len(entries)-1].At, l.err
}

// Trimmed implements [live.Trimmer].
func (l *Log) Trimmed(_ context.Context, stream string, lane int) (event.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trimmed[laneName{stream, lane}], l.err
}

// ReadFrames implements [live.Log].
func (l *Log) ReadFrames(ctx context.Context, stream string, lane int, after event.Position, maxFrames int, block time.Duration) ([]live.Entry, error) {
	timer := time.NewTimer(block)
	defer timer.Stop()
	for {
		out, more, err := l.read(laneName{stream, lane}, after, maxFrames)
		if err != nil || len(out) > 0 {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, nil
		case <-more:
		}
	}
}

func (l *Log) read(name laneName, after event.Position, maxFrames int) ([]live.Entry, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, nil, l.err
	}
	entries := l.streams[name]
	from := len(entries)
	for from > 0 && entries[from-1].At.Compare(after) > 0 {
		from--
	}
	out := entries[from:]
	return out[:min(len(out), maxFrames)], l.more, nil
}

// Reading returns an event with the record {metric, device, ts, value, unit} of
// one reading, as the pipelines of this project decode it.
func Reading(metric, device string, ms int64, value float64, unit string) *event.Event {
	return &event.Event{
		RootID: device, Key: device, Time: ms, Ingested: ms,
		Record: &event.Record{Fields: []event.Field{
			{Name: "device", Value: event.String(device)}, {Name: "metric", Value: event.String(metric)},
			{Name: "ts", Value: event.Time(ms)}, {Name: "value", Value: event.Float(value)},
			{Name: "unit", Value: event.String(unit)},
		}},
	}
}
