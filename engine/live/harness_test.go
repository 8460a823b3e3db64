package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/sink/chart"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) {
	livetest.Join()
	time.Local = time.UTC // `hello` tells the zone
	testserver.Main(m)
}

const readings = "readings"

// config is a hub's configuration with one chart node over stream readings.
func config(t testing.TB, log live.Log, change ...func(*live.Config)) live.Config {
	t.Helper()
	sink, err := chart.New("live", chart.Options{
		Chart: "metric", Series: "device", Unit: "unit", Title: "Plant readings", MaxPoints: 100_000,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := live.Config{
		Log: log, Pipeline: "charts", Version: "test",
		Charts: []live.Chart{{Sink: sink, Edges: []plan.Edge{{Node: "celsius", Stream: readings}}}},
	}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

// start runs a hub until the returned function is called or the test ends.
func start(t testing.TB, cfg live.Config) (*live.Hub, func()) {
	t.Helper()
	hub, err := live.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return hub, stop
}

// sse is one server-sent event.
type sse struct {
	name, id, data string
}

// parseSSE returns the whole events of b; a cut one at its end is left out.
func parseSSE(b []byte) []sse {
	var out []sse
	for {
		block, rest, whole := bytes.Cut(b, []byte("\n\n"))
		if !whole {
			return out
		}
		var e sse
		var data []string
		for line := range strings.SplitSeq(string(block), "\n") {
			switch field, value, _ := strings.Cut(line, ": "); field {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				data = append(data, value)
			}
		}
		e.data = strings.Join(data, "\n")
		out, b = append(out, e), rest
	}
}

// viewer is a request whose answer is kept in memory.
type viewer struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	header http.Header
	code   int
	buf    bytes.Buffer
	block  chan struct{} // not nil: writes wait until it is closed
	due    time.Time

	discard bool // keep nothing
}

// view begins a request for hub with the query and headers (name, value, ...).
func view(hub http.Handler, query string, headers ...string) *viewer {
	ctx, cancel := context.WithCancel(context.Background())
	v := &viewer{cancel: cancel, done: make(chan struct{}), header: http.Header{}, code: 200}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/live?"+query, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	go func() {
		defer close(v.done)
		hub.ServeHTTP(v, r)
	}()
	return v
}

func from(id string) string { return url.Values{"from": {id}}.Encode() }

func (v *viewer) Header() http.Header { return v.header }
func (v *viewer) WriteHeader(code int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.code = code
}
func (v *viewer) FlushError() error { return nil }
func (v *viewer) SetWriteDeadline(t time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.due = t
	return nil
}

func (v *viewer) Write(b []byte) (int, error) {
	v.mu.Lock()
	block, due := v.block, v.due
	v.mu.Unlock()
	if block != nil {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		select {
		case <-block:
		case <-timer.C:
			return 0, os.ErrDeadlineExceeded
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.discard {
		return len(b), nil
	}
	return v.buf.Write(b)
}

// stall holds every write from now on; the returned function lets them go.
func (v *viewer) stall() func() {
	block := make(chan struct{})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.block = block
	return func() {
		v.mu.Lock()
		v.block = nil
		v.mu.Unlock()
		close(block)
	}
}

func (v *viewer) bytes() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Clone(v.buf.Bytes())
}

func (v *viewer) events() []sse { return parseSSE(v.bytes()) }

// close ends the request as a viewer that goes away does.
func (v *viewer) close() {
	v.cancel()
	<-v.done
}

// frame is the data of a `frame` event.
type frame struct {
	History, Begin, End bool
	Series              []struct {
		ID int32
		T  []int64
		V  []float64
	}
}

// received is what a viewer knows that follows the protocol, over any number of
// connections.
type received struct {
	lastID string
	names  map[int32]string // "chart|series" by id of this connection
	values map[string][]float64
	times  map[string][]int64
	staged map[string][]float64
	stTime map[string][]int64
	resets []string
	gaps   uint64
	merged uint64
	bye    bool
	frames int
}

func newReceived() *received {
	return &received{values: map[string][]float64{}, times: map[string][]int64{}}
}

// take follows the events of one connection.
func (r *received) take(events []sse) error {
	r.names = map[int32]string{}
	for _, e := range events {
		if e.id != "" {
			r.lastID = e.id
		}
		var err error
		switch e.name {
		case "schema":
			err = r.schema(e.data)
		case "frame", "snapshot":
			err = r.frame(e.data)
		case "reset":
			r.resets = append(r.resets, e.data)
		case "gap":
			var g struct{ Points, Frames uint64 }
			err = json.Unmarshal([]byte(e.data), &g)
			r.gaps += g.Points
			r.merged += g.Frames
		case "bye":
			r.bye = true
		case "graph", "stats", "dlq", "mark", "tap":
		case "hello", "ping":
			if !json.Valid([]byte(e.data)) || e.id != "" {
				err = fmt.Errorf("bad %s: %+v", e.name, e)
			}
		default:
			err = fmt.Errorf("unknown event %q", e.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *received) schema(data string) error {
	var s struct {
		Charts []struct {
			Key    string
			Series []struct {
				ID  int32
				Key string
			}
		}
	}
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		return err
	}
	for _, c := range s.Charts {
		for _, l := range c.Series {
			r.names[l.ID] = c.Key + "|" + l.Key
		}
	}
	return nil
}

func (r *received) frame(data string) error {
	var f frame
	if err := json.Unmarshal([]byte(data), &f); err != nil {
		return fmt.Errorf("frame %s: %w", data, err)
	}
	r.frames++
	if f.Begin {
		r.staged, r.stTime = map[string][]float64{}, map[string][]int64{}
	}
	values, times := r.values, r.times
	if f.History {
		values, times = r.staged, r.stTime
	}
	for _, s := range f.Series {
		name, ok := r.names[s.ID]
		if !ok || len(s.T) != len(s.V) || len(s.T) == 0 {
			return fmt.Errorf("series %d: known %v, %d times, %d values", s.ID, ok, len(s.T), len(s.V))
		}
		values[name] = append(values[name], s.V...)
		times[name] = append(times[name], s.T...)
	}
	if f.End {
		r.values, r.times = r.staged, r.stTime
	}
	return nil
}

func (r *received) count() int {
	n := 0
	for _, v := range r.values {
		n += len(v)
	}
	return n
}

func reading(device string, value float64) *event.Event {
	return livetest.Reading("temp", device, time.Now().UnixMilli(), value, "C")
}
