package live

import "sync/atomic"

// Stats counts what the hub did since it began.
type Stats struct {
	Clients   int    // viewers connected now
	Series    int    // lines known
	Frames    uint64 // frames read from the log
	Points    uint64 // points taken into the window
	Late      uint64 // points older than their series' newest, put in their place
	NoValue   uint64 // events without a number to draw
	NonFinite uint64 // NaN and infinities kept inside
	Future    uint64 // points with a time more than 5 minutes ahead, left out
	Overflow  uint64 // points of lines beyond the limit, left out
	BadFrames uint64 // frames that could not be decoded
	Messages  uint64 // frames built for viewers; each is built once for all of a class
	Written   uint64 // messages written to viewers
	Merged    uint64 // messages that a slow viewer got merged into one
	Dropped   uint64 // points that slow viewers missed, each told in a gap
	Skipped   uint64 // items of topics that slow viewers missed, each told in a gap
	CutOff    uint64 // viewers that took nothing for the write timeout
	Resumed   uint64 // viewers that went on from a cursor
	Resets    uint64 // cursors that could not be resumed
}

type counters struct {
	frames, points, late, noValue, nonFinite, future, overflow, badFrames atomic.Uint64
	messages, written, merged, dropped, skipped, cutOff, resumed, resets  atomic.Uint64
}

// Stats returns the counts. It may be called at any time.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	clients, lines := h.clients, len(h.series)
	h.mu.Unlock()
	c := &h.count
	return Stats{
		Clients: clients, Series: lines,
		Frames: c.frames.Load(), Points: c.points.Load(), Late: c.late.Load(),
		NoValue: c.noValue.Load(), NonFinite: c.nonFinite.Load(), Future: c.future.Load(),
		Overflow: c.overflow.Load(), BadFrames: c.badFrames.Load(),
		Messages: c.messages.Load(), Written: c.written.Load(), Merged: c.merged.Load(),
		Dropped: c.dropped.Load(), Skipped: c.skipped.Load(), CutOff: c.cutOff.Load(), Resumed: c.resumed.Load(), Resets: c.resets.Load(),
	}
}
