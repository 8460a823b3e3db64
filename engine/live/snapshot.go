package live

import (
	"net/http"
	"strconv"
	"time"
)

// Snapshot is every chart with the points of its window. Its JSON is the answer of
// GET /api/v1/charts and of /api/v1/live with Accept: application/json.
type Snapshot struct {
	Epoch    string       `json:"epoch"`
	Cursor   string       `json:"cursor"` // id from which /api/v1/live?from= goes on
	Time     int64        `json:"time"`   // ms since the Unix epoch
	Pipeline string       `json:"pipeline"`
	Charts   []*chartInfo `json:"charts"`
	States   []stateOf    `json:"states,omitempty"` // of what else was subscribed to
}

// Snapshot returns the charts as they are now.
func (h *Hub) Snapshot() Snapshot {
	return h.snapshot(&class{hub: h}, query{})
}

func (h *Hub) snapshot(c *class, q query) Snapshot {
	w := c.once(q)
	out := Snapshot{
		Epoch: strconv.FormatUint(h.cursors.epoch, 10), Cursor: w.at.id, Time: time.Now().UnixMilli(),
		Pipeline: h.cfg.Pipeline, Charts: h.schemaOf(w.lines, classKey{}).Charts,
	}
	points := map[int32]run{}
	for _, r := range w.runs {
		points[r.series.id] = r
	}
	for _, ch := range out.Charts {
		for i := range ch.Series {
			r := points[ch.Series[i].ID]
			ch.Series[i].set(r)
		}
	}
	return out
}

// once is the window as q asks for it, which nobody goes on with.
func (c *class) once(q query) view {
	var since int64
	if q.begin == beginBack && c.key.reduction.px == 0 {
		since = time.Now().Add(-q.back).UnixMilli()
	}
	w := c.hub.window(c.pass, since, c.key.reduction.span)
	w.runs = reduced(c.key.reduction, w.runs)
	return w
}

func (s *seriesInfo) set(r run) {
	if s.T = r.t; r.min == nil {
		s.V = r.v
		return
	}
	s.Min, s.Avg, s.Max = r.min, r.v, r.max
}

func (h *Hub) serveSnapshot(w http.ResponseWriter, q query, others []stateOf) {
	h.mu.Lock()
	c := h.newClass(q.class, h.ring.last())
	h.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	if q.class.format == formatCSV {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		_, _ = w.Write(appendCSV([]byte(c.key.csvHeader()+"\n"), c.once(q).runs)) // the viewer may be gone
		return
	}
	w.Header().Set("Content-Type", "application/json")
	out := h.snapshot(c, q)
	out.States = others
	_, _ = w.Write(append(marshal(out), '\n')) // the viewer may be gone
}

// ServeCharts serves GET /api/v1/charts: a [Snapshot] as JSON, or with `to` a [Past].
func (h *Hub) ServeCharts(w http.ResponseWriter, r *http.Request) {
	if !h.awaitReady(r.Context()) {
		unavailable(w, "the log cannot be read yet")
		return
	}
	if r.URL.Query().Has("to") {
		h.servePast(w, r)
		return
	}
	q, err := parse(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.serveSnapshot(w, q, nil)
}
