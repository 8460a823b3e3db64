package live

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/sink/chart"
)

const (
	readFrames = 256         // entries of one read
	readBlock  = time.Second // how long a read waits for the first entry
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
	maxFuture  = 5 * time.Minute // a time further ahead than this is a wrong clock
)

// reader turns the frames of one stream into points. It is used by one goroutine.
type reader struct {
	hub    *Hub
	stream string
	taps   []*tap
	points []point
}

// tap is one chart that reads the stream.
type tap struct {
	chart int // index in Config.Charts
	x     *chart.Extractor
	known map[seriesName]int32 // series that this reader has met
}

type seriesName struct{ chart, series string }

func (h *Hub) newReader(name string) (*reader, error) {
	r := &reader{hub: h, stream: name}
	for i, ch := range h.cfg.Charts {
		if !ch.reads(name) {
			continue
		}
		x, err := ch.Sink.Extractor()
		if err != nil {
			return nil, err
		}
		r.taps = append(r.taps, &tap{chart: i, x: x, known: map[seriesName]int32{}})
	}
	return r, nil
}

// take decodes one entry and adds its points. A frame that cannot be decoded is
// counted and skipped: the stages report it.
func (r *reader) take(e Entry) {
	f, err := event.DecodeFrame(e.Frame)
	if err != nil {
		r.hub.count.badFrames.Add(1)
		r.hub.log.Error("frame skipped by charts", "stream", r.stream, "at", e.At.String(), "error", err)
		return
	}
	latest := time.Now().Add(maxFuture).UnixMilli()
	for _, t := range r.taps {
		for _, ev := range f.Events {
			r.add(t, ev, latest)
		}
	}
}

func (r *reader) add(t *tap, ev *event.Event, latest int64) {
	if r.stream == journal && !r.hub.cfg.Charts[t.chart].wants(r.stream, ev.Source.Node) {
		return
	}
	p, outcome := t.x.Point(ev)
	switch {
	case outcome == chart.NoValue:
		r.hub.count.noValue.Add(1)
		return
	case outcome == chart.NonFinite:
		r.hub.count.nonFinite.Add(1)
		return
	case p.Time > latest:
		r.hub.count.future.Add(1)
		return
	}
	if id := r.series(t, p, ev); id >= 0 {
		r.points = append(r.points, point{id, p.Time, p.Value})
	}
}

// series finds the point's series, asking the hub only for one not met before.
func (r *reader) series(t *tap, p chart.Point, ev *event.Event) int32 {
	if id, ok := t.known[seriesName{p.Chart, p.Series}]; ok {
		return id
	}
	s := r.hub.seriesOf(t.chart, p.Chart, p.Series, t.x.Unit(ev))
	if s == nil {
		r.hub.count.overflow.Add(1)
		return -1
	}
	t.known[seriesName{s.group.key, s.key}] = s.id // its own texts, not the frame's
	return s.id
}

// cut hands over the points taken so far and starts anew in the same memory.
func (r *reader) cut() []point {
	out := r.points
	r.points = r.points[:0]
	return out
}

// follow reads one lane from after on until ctx ends. An error of the log that
// waiting cannot mend is returned; anything else is waited out.
func (h *Hub) follow(ctx context.Context, name string, lane, index int, after event.Position) error {
	r, err := h.newReader(name)
	if err != nil {
		return err
	}
	pause := retryFirst
	for ctx.Err() == nil {
		entries, err := h.cfg.Log.ReadFrames(ctx, name, lane, after, readFrames, readBlock)
		if err != nil {
			if node.ClassOf(err) == node.Fatal {
				return fmt.Errorf("charts follow stream %q lane %d: %w", name, lane, err)
			}
			if ctx.Err() != nil {
				return nil
			}
			h.setAway(index, err)
			sleep(ctx, pause)
			pause = min(2*pause, retryMost)
			continue
		}
		pause = retryFirst
		h.setAway(index, nil)
		if len(entries) == 0 {
			h.caughtUp(index)
			continue
		}
		for _, e := range entries {
			r.take(e)
		}
		after = entries[len(entries)-1].At
		h.publish(index, placeOf(after), r.cut(), len(entries))
		h.idle(ctx, len(entries))
	}
	return nil
}

// idle pauses while nobody looks, so that a follower reads many frames at once
// instead of waking up for each. A viewer's arrival ends the pause.
func (h *Hub) idle(ctx context.Context, entries int) {
	if entries == readFrames {
		return // behind: go on
	}
	watched := h.watched()
	if watched == nil {
		return
	}
	timer := time.NewTimer(h.cfg.IdlePause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-watched:
	case <-timer.C:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
