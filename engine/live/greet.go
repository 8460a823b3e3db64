package live

import (
	"strconv"
	"time"
)

// hello is the first event of every connection.
func (h *Hub) hello(w wire) []byte {
	now := time.Now()
	_, east := now.Zone()
	return w.event(nil, "hello", "", marshal(map[string]any{
		"protocol": 1, "epoch": strconv.FormatUint(h.cursors.epoch, 10), "time": now.UnixMilli(), "utc_offset_min": east / 60,
		"pipeline": h.cfg.Pipeline, "version": h.cfg.Version, "embedded": h.cfg.Embedded,
		"ping_ms": h.cfg.Ping.Milliseconds(),
	}))
}

// pulse is the data of a `ping` event.
type pulse struct {
	Time  int64               `json:"time"`   // of the server, ms
	Head  uint64              `json:"head"`   // append time of the newest entry that the hub has read, ms
	Heads map[string][]string `json:"heads"`  // by stream, of each lane: how far the hub has read
	LagMs int64               `json:"lag_ms"` // how far that is behind the log
	Log   string              `json:"log"`    // ok, or away
}

// ping tells that the connection lives, and how far the hub has come.
func (h *Hub) ping(w wire) []byte { return w.event(nil, "ping", "", marshal(h.pulse())) }

func (h *Hub) pulse() pulse {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now().UnixMilli()
	p := pulse{Time: now, Heads: map[string][]string{}, Log: "ok"}
	for i, at := range h.places {
		name, _ := h.laneOf(i)
		p.Heads[name] = append(p.Heads[name], at.offset())
		p.Head = max(p.Head, at.ms)
		if h.behind[i] {
			p.LagMs = max(p.LagMs, now-int64(at.ms))
		}
		if h.away[i] != nil {
			p.Log = "away"
		}
	}
	return p
}
