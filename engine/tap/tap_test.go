package tap

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

const out = "celsius" // the one stream beside the journal

// mill is a plan with each kind of node.
func mill() *plan.Plan {
	return &plan.Plan{
		Ingests: []string{"plant1", "plant2"},
		Stages: []plan.Stage{{ID: "decode", Inputs: []string{stream.Journal}, Nodes: []plan.StageNode{
			{ID: "decode", Edges: []plan.Edge{{Node: "plant1", Stream: stream.Journal}}},
			{ID: "filter", Edges: []plan.Edge{{Node: "decode"}, {Node: "plant2", Stream: stream.Journal}, {Node: "decode"}}},
			{ID: out, Edges: []plan.Edge{{Node: "filter"}}, Stream: out},
		}}},
		Sinks:  []plan.SinkRun{{ID: "rows", Edges: []plan.Edge{{Node: out, Stream: out}}}},
		Charts: []plan.Chart{{ID: "live", Edges: []plan.Edge{{Node: out, Stream: out}, {Node: "plant2", Stream: stream.Journal}}}},
	}
}

func TestViewOf(t *testing.T) {
	for id, want := range map[string]string{
		"plant2": "what plant2 hands on: journal of plant2",
		"decode": "what decode reads: journal of plant1",
		"filter": "what filter reads: journal of plant1, plant2",
		out:      "what celsius hands on: stream celsius",
		"rows":   "what rows reads: stream celsius",
		"live":   "what live reads: stream celsius and journal of plant2",
	} {
		if v, err := ViewOf(mill(), id); err != nil || v.String() != want {
			t.Errorf("%s: %q, %v; want %q", id, v, err, want)
		}
	}
}

// memory is a log in memory. Its entries' times are those of the (virtual) clock.
type memory struct {
	lanes   map[string][][]stream.Entry
	trimmed int // entries at each lane's start that are there no more
	reading func()
	err     error
}

func newMemory(lanes int) *memory {
	return &memory{lanes: map[string][][]stream.Entry{stream.Journal: make([][]stream.Entry, lanes), out: make([][]stream.Entry, lanes)}}
}

func (m *memory) Epoch() uint64 { return 7 }
func (m *memory) Lanes() int    { return len(m.lanes[out]) }

func (m *memory) Head(_ context.Context, name string, lane int) (event.Position, error) {
	if n := len(m.lanes[name][lane]); n > 0 {
		return m.lanes[name][lane][n-1].At, m.err
	}
	return event.Position{Epoch: 7}, m.err
}

func (m *memory) ReadFrames(_ context.Context, name string, lane int, after event.Position, most int, _ time.Duration) ([]stream.Entry, error) {
	if m.reading != nil {
		m.reading()
	}
	var list []stream.Entry
	for i, e := range m.lanes[name][lane] {
		if i >= m.trimmed && e.At.Compare(after) > 0 && len(list) < most {
			list = append(list, e)
		}
	}
	return list, m.err
}

// add appends one frame.
func (m *memory) add(name string, lane int, events ...*event.Event) {
	frame, err := (&event.Frame{Events: events}).Encode(nil, event.None)
	if err != nil {
		panic(err)
	}
	m.addFrame(name, lane, frame)
}

func (m *memory) addFrame(name string, lane int, frame []byte) {
	at := event.Position{Epoch: 7, Ms: uint64(time.Now().UnixMilli()), Seq: uint64(len(m.lanes[name][lane]) + 1)}
	m.lanes[name][lane] = append(m.lanes[name][lane], stream.Entry{At: at, Frame: frame})
}

// reading returns event n, a record with its number.
func reading(n int) *event.Event {
	return &event.Event{
		ID: event.ID{15: byte(n), 14: byte(n >> 8)}, RootID: "m" + strconv.Itoa(n), Key: "press", Source: event.Source{Node: "plant1"},
		Record: &event.Record{Fields: []event.Field{{Name: "n", Value: event.Int(int64(n))}}},
	}
}

// message returns event n of a source.
func message(n int, source string) *event.Event {
	e := reading(n)
	e.Record, e.Payload, e.Source.Node = nil, []byte(`{"n":`+strconv.Itoa(n)+`}`), source
	return e
}

// serve mounts taps as the engine does.
func serve(taps *Taps) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/tap/{node}", taps)
	return mux
}

// ask asks for a tap that ends by itself and returns the answer.
func ask(log Log, node, query string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	serve(New(Config{Log: log, Plan: mill()})).ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/tap/"+node+"?"+query, nil))
	return w
}

// roots returns the root ids of the lines, other lines as they are.
func roots(t *testing.T, body string) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(body) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.RootID == "" {
			e.RootID = strings.TrimSpace(line)
		}
		list = append(list, e.RootID)
	}
	return list
}

// ago fills a log with events 0..n-1 of the stream, a minute apart, over its lanes in turn; the
// newest is a minute old.
func ago(n, lanes int) *memory {
	log := newMemory(lanes)
	for i := range n {
		log.add(out, i%lanes, reading(i))
		time.Sleep(time.Minute)
	}
	return log
}

func TestWhatIsShown(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{"all, merged by time", "from=earliest&to=0s", "m0 m1 m2 m3 m4 m5"},
		{"a time back", "from=3m&to=0s", "m3 m4 m5"},
		{"an end is left out", "from=earliest&to=3m", "m0 m1 m2"},
		{"a piece", "from=4m&to=2m", "m2 m3"},
		{"a limit", "from=2m&limit=1", "m4"},
		{"an expression", "from=earliest&to=0s&where=" + url.QueryEscape("n % 2 == 1"), "m1 m3 m5"},
		{"a limit counts what is shown", "from=earliest&limit=2&where=" + url.QueryEscape("n > 2"), "m3 m4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := ask(ago(6, 3), out, c.query)
				if got := strings.Join(roots(t, w.Body.String()), " "); w.Code != 200 || got != c.want {
					t.Errorf("%d %s; want %s", w.Code, got, c.want)
				}
			})
		})
	}
}

func TestJournalShowsOneSourceAndSaysItsEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(1)
		log.add(stream.Journal, 0, message(1, "plant1"), message(2, "plant2"))
		w := ask(log, "plant2", "from=earliest&limit=1")
		at := log.lanes[stream.Journal][0][0].At
		want := `{"stream":"journal","lane":0,"position":"` + at.String() + `","index":1,"appended":"` + time.UnixMilli(int64(at.Ms)).UTC().Format(time.RFC3339) +
			`","id":"00000000000000000000000000000002","root_id":"m2","key":"press","source":{"node":"plant2","exchange":"","routing_key":"","queue":"","message_id":"","redelivered":false},"root":"` +
			at.String() + `","payload":"{\"n\":2}"}` + "\n"
		if w.Body.String() != want || w.Header().Get(Header) != "what plant2 hands on: journal of plant2" || w.Header().Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%v\n%s\nwant\n%s", w.Header(), w.Body, want)
		}
	})
}

// unread fails the test when it is read.
type unread struct{ *testing.T }

func (u unread) Epoch() uint64 { return 7 }
func (u unread) Lanes() int    { return 1 }
func (u unread) Head(context.Context, string, int) (event.Position, error) {
	u.Error("read")
	return event.Position{}, nil
}

func (u unread) ReadFrames(context.Context, string, int, event.Position, int, time.Duration) ([]stream.Entry, error) {
	u.Error("read")
	return nil, nil
}

func TestMistakesAreToldBeforeAnythingIsRead(t *testing.T) {
	for _, c := range []struct {
		name, node, query string
		code              int
		want              []string
	}{
		{"unknown node", "celcius", "", 404, []string{`no node \"celcius\" (did you mean celsius?)`, "plant1, plant2, decode"}},
		{"unknown node that is like no other", "zzz", "", 404, []string{`no node \"zzz\"; there are plant1`}},
		{"an expression that is none", out, "where=" + url.QueryEscape("n > > 1"), 400, []string{"where: column 5:"}},
		{"a clock in an expression", out, "where=" + url.QueryEscape("now() > time"), 400, []string{"where: column 1:"}},
		{"fields of a payload", "filter", "where=" + url.QueryEscape("n > 1"), 400, []string{"where: n asks for fields", "payload.NAME"}},
		{"all at once", out, "from=noon&to=soon&limit=0&wher=x", 400, []string{"wher: unknown", "from: ", "earliest", "to: ", "limit: "}},
		{"an end before the beginning", out, "from=1m&to=2m", 400, []string{"to: 2m is not after the beginning"}},
		{"an end that is past, of what comes", out, "to=2m", 400, []string{"to: 2m is not after the beginning"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(unread{t}, c.node, c.query)
			for _, want := range c.want {
				if w.Code != c.code || !strings.Contains(w.Body.String(), want) {
					t.Errorf("%d %s; want %d with %q", w.Code, w.Body, c.code, want)
				}
			}
		})
	}
}

func TestWhatIsNoEventIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		fill        func(*memory)
		query, want string
	}{
		"an entry that is no frame": {func(m *memory) { m.addFrame(out, 0, []byte("?")) }, "from=earliest&to=0s", "of celsius/0 cannot be read: frame header"},
		"an expression that does not fit, once": {func(m *memory) {
			for i := range 3 {
				m.add(out, 0, reading(i))
			}
		}, "from=earliest&to=0s&where=" + url.QueryEscape(`n startsWith "a"`), "is left out, and others like it: expression"},
		"nested JSON that is none": {func(m *memory) {
			e := reading(1)
			e.Record = &event.Record{Fields: []event.Field{{Name: "n", Value: event.JSON("{")}}}
			m.add(out, 0, e)
		}, "from=earliest&to=0s", "no JSON form"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory(1)
				c.fill(log)
				time.Sleep(time.Second)
				body := ask(log, out, c.query).Body.String()
				if strings.Count(body, "\n") != 1 || !strings.HasPrefix(body, `{"notice":`) || !strings.Contains(body, c.want) {
					t.Errorf("%s; want one notice with %q", body, c.want)
				}
			})
		})
	}
}

// TestTrimmedEntriesAreCounted: entries go between two reads of a live tap.
func TestTrimmedEntriesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(1)
		log.add(out, 0, reading(0))
		reads := 0
		log.reading = func() {
			if reads++; reads == 2 {
				for i := range 4 {
					log.add(out, 0, reading(i+1))
				}
				log.trimmed = 4
			}
		}
		got := roots(t, ask(log, out, "limit=1").Body.String())
		if want := []string{`{"notice":"3 entries of celsius/0 were trimmed before they were read"}`, "m4"}; !slices.Equal(got, want) {
			t.Errorf("%v; want %v", got, want)
		}
	})
}

func TestLogOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(1)
		log.err = node.AsAway(errors.New("redis is away"))
		if w := ask(log, out, ""); w.Code != 503 || !strings.Contains(w.Body.String(), "redis is away") {
			t.Errorf("at the beginning: %d %s", w.Code, w.Body)
		}
		if w := ask(log, out, "from=earliest"); w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"error":"redis is away`) {
			t.Errorf("later: %d %s", w.Code, w.Body)
		}
	})
}

// TestTapEndsWithItsContext: an engine that stops says so to its clients.
func TestTapEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/tap/"+out, nil)
			serve(New(Config{Log: newMemory(2), Plan: mill()})).ServeHTTP(w, r)
		}()
		synctest.Wait()
		stop()
		<-done
		if w.Body.String() != `{"error":"the engine is stopping"}`+"\n" {
			t.Errorf("last line %q", w.Body)
		}
	})
}

// stalled is a client that takes nothing behind the header: a write lasts until its deadline.
type stalled struct {
	*httptest.ResponseRecorder
	due time.Time
}

func (s *stalled) SetWriteDeadline(t time.Time) error { s.due = t; return nil }
func (s *stalled) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return s.ResponseRecorder.Write(b)
	}
	time.Sleep(time.Until(s.due))
	return 0, os.ErrDeadlineExceeded
}

// TestSlowClientsAreCutOff fills all places with clients that take nothing: the next
// one is refused, and taken once they are cut off.
func TestSlowClientsAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		log := ago(3, 1)
		h := serve(New(Config{Log: log, Plan: mill(), Logger: slog.New(slog.NewTextHandler(&told, nil))}))
		done := make(chan struct{}, MaxTaps)
		for range MaxTaps {
			go func() {
				h.ServeHTTP(&stalled{ResponseRecorder: httptest.NewRecorder()}, httptest.NewRequest("GET", "/api/v1/tap/"+out+"?from=earliest", nil))
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		last := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/tap/"+out+"?from=earliest&limit=3", nil))
			return w
		}
		if w := last(); w.Code != 503 || !strings.Contains(w.Body.String(), "8 taps are open") || w.Header().Get("Retry-After") == "" {
			t.Errorf("one too many: %d %s", w.Code, w.Body)
		}
		for range MaxTaps {
			<-done
		}
		if w := last(); w.Code != 200 || len(roots(t, w.Body.String())) != 3 {
			t.Errorf("afterwards: %d %s", w.Code, w.Body)
		}
		if n := strings.Count(told.String(), "tap cut off"); n != MaxTaps {
			t.Errorf("%d clients are told of as cut off:\n%s", n, told.String())
		}
	})
}

func TestHeadIsAnsweredWithoutBody(t *testing.T) {
	w := httptest.NewRecorder()
	serve(New(Config{Log: newMemory(1), Plan: mill()})).ServeHTTP(w, httptest.NewRequest("HEAD", "/api/v1/tap/rows", nil))
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get(Header) != "what rows reads: stream celsius" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// lines reads whole lines of an answer.
func lines(t *testing.T, r *bufio.Reader, n int) string {
	t.Helper()
	var text strings.Builder
	for range n {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", text.String(), err)
		}
		text.WriteString(line)
	}
	return text.String()
}
