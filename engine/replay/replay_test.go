package replay

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/stream"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func request(change func(*Request)) Request {
	r := Request{Name: "trial", From: "earliest", To: "now", Mode: Shadow}
	if change != nil {
		change(&r)
	}
	return r
}

func TestCheckReportsEveryMistakeAtOnce(t *testing.T) {
	r := request(func(r *Request) {
		*r = Request{Name: "Trial!", From: "yesterday", To: "soon", Mode: "dark", Rate: -1, Tolerance: 1, EventTime: "noon", Overwrite: true}
	})
	err := r.Check(now)
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, want := range []string{"name:", "sinks:", "overwrite", "rate:", "tolerance:", "from:", "to:", "event_time:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not tell of %s", err, want)
		}
	}
	good := request(nil)
	if err := good.Check(now); err != nil {
		t.Errorf("a good request: %v", err)
	}
}

func TestCheckOfOneMistake(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Request)
		want   string // "": none
	}{
		"end before start":            {func(r *Request) { r.From, r.To = "1m", "2m" }, "to: 2m is before from, 1m"},
		"named sinks of a shadow":     {func(r *Request) { r.Sinks = []string{"rows"} }, "for --sinks live alone"},
		"named sinks of a live one":   {func(r *Request) { r.Mode, r.Sinks = Live, []string{"mqtt"} }, ""},
		"negative duration":           {func(r *Request) { r.From = "-5m" }, "from:"},
		"event time with one end":     {func(r *Request) { r.EventTime = "2026-03-01T00:00:00Z.." }, ""},
		"event time without ends":     {func(r *Request) { r.EventTime = ".." }, "FROM..TO"},
		"event time that is no range": {func(r *Request) { r.EventTime = "2026-03-01T00:00:00Z" }, "FROM..TO"},
		"name too long for a table":   {func(r *Request) { r.Name = strings.Repeat("a", 21) }, "name:"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(c.change)
			err := r.Check(now)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Check = %v; want %q", err, c.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	for text, want := range map[string][2]int64{ // as from, as to
		"earliest":                {0, 0},
		"now":                     {stream.LaneEnd, stream.LaneEnd},
		"2026-03-01T12:00:00Z":    {now.UnixMilli(), now.UnixMilli()},
		"90s":                     {now.UnixMilli() - 90_000, now.UnixMilli() - 90_000},
		"1795476000123-17":        {1795476000123, 1795476000124},
		"4.1795476000123-17":      {1795476000123, 1795476000124},
		"2026-03-01T12:00:00.25Z": {now.UnixMilli() + 250, now.UnixMilli() + 250},
	} {
		r := Request{From: text, To: text}
		if from, to := r.Bounds(now); from != want[0] || to != want[1] {
			t.Errorf("%s: %d, %d; want %v", text, from, to, want)
		}
	}
}

func TestTimesTake(t *testing.T) {
	r := Request{EventTime: "2026-03-01T12:00:00Z..2026-03-01T13:00:00Z"}
	times, err := r.Times()
	if err != nil {
		t.Fatal(err)
	}
	start, hour := now.UnixMilli(), int64(3_600_000)
	for ms, want := range map[int64]bool{start - 1: false, start: true, start + hour - 1: true, start + hour: false, 0: false} {
		if got := times.Take(ms); got != want {
			t.Errorf("Take(%d) = %t", ms-start, got)
		}
	}
	if !(Times{}).Take(0) || !(Times{}).Take(start) || (Times{From: start}).Take(0) || !(Times{From: start}).Take(start+hour) {
		t.Error("open ranges take the wrong events")
	}
}

// hash keeps replays in memory.
type hash map[string]string

func (h hash) SaveReplay(_ context.Context, field string, value []byte) error {
	h[field] = string(value)
	return nil
}
func (h hash) Replays(context.Context) (map[string]string, error) { return maps.Clone(h), nil }
func (h hash) DropReplay(_ context.Context, fields ...string) error {
	for _, f := range fields {
		delete(h, f)
	}
	return nil
}

func TestReplaysAreKept(t *testing.T) {
	h, ctx := hash{}, t.Context()
	for i, name := range []string{"late", "early"} {
		r := &Replay{Request: request(func(r *Request) { r.Name = name }), Begun: now.Add(-time.Duration(i) * time.Hour), State: Running}
		if err := Save(ctx, h, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := Want(ctx, h, "late", Paused); err != nil {
		t.Fatal(err)
	}
	h["odd"] = "{"
	all, err := All(ctx, h)
	if len(all) != 2 || all[0].Name != "early" || all[0].Want != "" || all[1].Want != Paused || err == nil || !strings.Contains(err.Error(), `"odd"`) {
		t.Fatalf("All = %+v, %v; want two, oldest first, and a word about the odd one", all, err)
	}
	delete(h, "odd")
	if err := Drop(ctx, h, "late"); err != nil || len(h) != 1 {
		t.Fatalf("%v, left: %v", err, h)
	}
	if _, err := Get(ctx, h, "late"); !errors.Is(err, ErrNone) {
		t.Errorf("Get of a dropped one: %v", err)
	}
	if r, err := Get(ctx, h, "early"); err != nil || r.Name != "early" {
		t.Errorf("Get: %+v, %v", r, err)
	}
}

// runner answers from what it is given.
type runner struct{ err error }

func (r runner) Start(context.Context, Request) (*Status, error) { return &Status{}, r.err }
func (r runner) List(context.Context) ([]Status, error)          { return nil, r.err }
func (r runner) Status(context.Context, string) (*Status, error) { return &Status{}, r.err }
func (r runner) Want(context.Context, string, string) error      { return r.err }
func (r runner) Remove(context.Context, string) error            { return r.err }

func TestRoutes(t *testing.T) {
	for name, c := range map[string]struct {
		err                error
		method, path, body string
		code               int
		want               string
	}{
		"no replays":          {nil, "GET", "/api/v1/replays", "", 200, `{"replays":[]}`},
		"one":                 {nil, "GET", "/api/v1/replays/x", "", 200, `"state"`},
		"none of that name":   {ErrNone, "GET", "/api/v1/replays/x", "", 404, "no such replay"},
		"a mistake":           {Mistake{errors.New("it has ended")}, "POST", "/api/v1/replays/x/pause", "", 400, "it has ended"},
		"the log is away":     {errors.New("away"), "POST", "/api/v1/replays/x/stop", "", 503, "away"},
		"removed":             {nil, "DELETE", "/api/v1/replays/x", "", 200, `"removed":"x"`},
		"no JSON":             {nil, "POST", "/api/v1/replays", "x", 400, "request:"},
		"an unknown field":    {nil, "POST", "/api/v1/replays", `{"nam":"x"}`, 400, "nam"},
		"far too long a file": {nil, "POST", "/api/v1/replays", `{"text":"` + strings.Repeat("x", maxRequest) + `"}`, 400, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			for pattern, h := range Routes(runner{c.err}) {
				mux.Handle(pattern, h)
			}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s; want %d and %s", w.Code, w.Body, c.code, c.want)
			}
		})
	}
}
