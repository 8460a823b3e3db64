package live

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/sink/chart"
)

// format is how data is written.
type format string

const (
	formatJSON format = "json"
	formatCSV  format = "csv"
)

// part says which part of a history a frame carries.
type part struct {
	history, begin, end bool
}

// run is a stretch of one series' points in the order in which they are sent.
type run struct {
	series *series
	t      []int64
	v      []float64

	min, max []float64 // of an envelope, the mean of which is v
}

// cut returns the first n points, and takes them off r.
func (r *run) cut(n int) run {
	out := run{series: r.series, t: r.t[:n], v: r.v[:n]}
	r.t, r.v = r.t[n:], r.v[n:]
	if r.min != nil {
		out.min, out.max = r.min[:n], r.max[:n]
		r.min, r.max = r.min[n:], r.max[n:]
	}
	return out
}

// appendFrame appends the frame event of runs as key's class writes it. The history
// of a viewer that subscribed comes as snapshots.
func appendFrame(dst []byte, key classKey, id string, runs []run, p part) []byte {
	name := "frame"
	if p.history && key.subscribed {
		name = "snapshot"
	}
	if key.format == formatCSV {
		return key.wire.text(dst, name, id, appendCSV(nil, runs))
	}
	return key.wire.end(appendColumns(key.wire.begin(dst, name, id), runs, p))
}

// appendColumns appends the JSON of a frame:
//
//	{"history":true,"begin":true,"end":true,"series":[{"id":0,"t":[ms,...],"v":[...]},...]}
//
// where history, begin and end are left out unless they are true.
func appendColumns(dst []byte, runs []run, p part) []byte {
	dst = append(dst, '{')
	if p.history {
		dst = append(dst, `"history":true,`...)
	}
	if p.begin {
		dst = append(dst, `"begin":true,`...)
	}
	if p.end {
		dst = append(dst, `"end":true,`...)
	}
	dst = append(dst, `"series":[`...)
	for i, r := range runs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"id":`...), int64(r.series.id), 10)
		dst = appendTimesAndValues(dst, r)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func appendTimesAndValues(dst []byte, r run) []byte {
	dst = append(dst, `,"t":[`...)
	for i, t := range r.t {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, t, 10)
	}
	if r.min == nil {
		return appendNumbers(append(dst, `],"v":[`...), r.v)
	}
	dst = appendNumbers(append(dst, `],"min":[`...), r.min)
	dst = appendNumbers(append(dst, `,"avg":[`...), r.v)
	return appendNumbers(append(dst, `,"max":[`...), r.max)
}

// appendNumbers appends the values and the bracket behind them.
func appendNumbers(dst []byte, values []float64) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNumber(dst, v)
	}
	return append(dst, ']')
}

// appendNumber writes the shortest text that reads back as v, which is finite.
func appendNumber(dst []byte, v float64) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// The columns of CSV data; the time is RFC 3339 in UTC.
const (
	csvHeader   = "chart,series,time,value,unit"
	csvEnvelope = "chart,series,time,min,avg,max,unit"
)

func (k classKey) csvHeader() string {
	if k.reduction.mode == modeEnvelope {
		return csvEnvelope
	}
	return csvHeader
}

func appendCSV(dst []byte, runs []run) []byte {
	for _, r := range runs {
		prefix := csvText(r.series.group.key) + "," + csvText(r.series.key) + ","
		unit := csvText(r.series.unit)
		for i := range r.t {
			dst = append(dst, prefix...)
			dst = time.UnixMilli(r.t[i]).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
			if r.min != nil {
				dst = appendNumber(append(dst, ','), r.min[i])
			}
			dst = appendNumber(append(dst, ','), r.v[i])
			if r.min != nil {
				dst = appendNumber(append(dst, ','), r.max[i])
			}
			dst = append(append(append(dst, ','), unit...), '\n')
		}
	}
	return dst
}

// csvText quotes a text as RFC 4180 asks and keeps a spreadsheet from taking it
// for a formula. Line ends become spaces: one line is one point.
func csvText(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	if s != "" && strings.ContainsRune("=+-@\t", rune(s[0])) {
		s = "'" + s
	}
	if strings.ContainsAny(s, `",`) || s != strings.TrimSpace(s) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// chunks cuts runs into lists of at most size points each, at least one list.
func chunks(runs []run, size int) [][]run {
	var out [][]run
	var cur []run
	room := size
	for _, r := range runs {
		for len(r.t) > 0 {
			n := min(room, len(r.t))
			cur = append(cur, r.cut(n))
			if room -= n; room == 0 {
				out, cur, room = append(out, cur), nil, size
			}
		}
	}
	if len(cur) > 0 || len(out) == 0 {
		out = append(out, cur)
	}
	return out
}

// chartInfo is one chart of a `schema` event.
type chartInfo struct {
	ID        string       `json:"id"`   // the sink's node and the chart's key
	Key       string       `json:"key"`  // value of the chart expression; "" if there is none
	Node      string       `json:"node"` // the chart sink
	Title     string       `json:"title"`
	Group     string       `json:"group"` // heading over the node's charts
	Decimals  *int         `json:"decimals,omitempty"`
	WindowMs  int64        `json:"window_ms"`
	MaxPoints int          `json:"max_points"`
	Series    []seriesInfo `json:"series"`

	Draw       string            `json:"draw"`
	Thresholds []chart.Threshold `json:"thresholds,omitempty"`
	Bands      []chart.Band      `json:"bands,omitempty"`
}

type seriesInfo struct {
	ID   int32     `json:"id"` // names the series in frames of this connection
	Key  string    `json:"key"`
	Unit string    `json:"unit,omitempty"`
	T    []int64   `json:"t,omitempty"` // snapshots only
	V    []float64 `json:"v,omitempty"`
	Min  []float64 `json:"min,omitempty"` // of an envelope, in place of v
	Avg  []float64 `json:"avg,omitempty"`
	Max  []float64 `json:"max,omitempty"`
}

// schema is the data of a `schema` event: charts and lines, to be added to those
// that the viewer knows of this connection.
type schema struct {
	Charts []*chartInfo `json:"charts"`
	CSV    string       `json:"csv,omitempty"`

	Px     int64 `json:"px,omitempty"`        // columns of the window, if points are reduced
	Window int64 `json:"window_ms,omitempty"` // with px
	Mode   mode  `json:"mode,omitempty"`      // with px
}

func (h *Hub) schemaOf(lines []*series, key classKey) schema {
	how := key.reduction
	out := schema{Charts: []*chartInfo{}, Px: how.px, Window: how.span, Mode: how.mode}
	if key.format == formatCSV {
		out.CSV = key.csvHeader()
	}
	at := map[*group]*chartInfo{}
	for _, s := range lines {
		c := at[s.group]
		if c == nil {
			c = h.chartInfo(s.group)
			at[s.group] = c
			out.Charts = append(out.Charts, c)
		}
		c.Series = append(c.Series, seriesInfo{ID: s.id, Key: s.key, Unit: s.unit})
	}
	slices.SortStableFunc(out.Charts, func(a, b *chartInfo) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func (h *Hub) chartInfo(g *group) *chartInfo {
	sink := h.cfg.Charts[g.chart].Sink
	one := sink.Options.Of(g.key)
	return &chartInfo{
		ID: chartID(sink.ID, g.key), Key: g.key, Node: sink.ID, Title: cmp.Or(one.Title, g.key, sink.Title()), Group: sink.Title(),
		Decimals: one.Decimals, WindowMs: sink.Options.Window.Milliseconds(), MaxPoints: sink.Options.MaxPoints,
		Draw: one.Draw, Thresholds: one.Thresholds, Bands: one.Bands,
	}
}

func chartID(node, key string) string {
	if key == "" {
		return node
	}
	return node + "/" + key
}

// marshal encodes data whose types cannot fail to encode.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("live: payload cannot be encoded: " + err.Error())
	}
	return data
}
