package dlq

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/stream/embedded"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// open returns an embedded log with letters.
func open(t *testing.T, letters ...stream.DeadLetter) *stream.Log {
	t.Helper()
	server, err := embedded.Start(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	log, err := stream.Open(t.Context(), stream.Config{
		URL: server.URL(), Pipeline: "mill", EngineID: "one", Lanes: 1, Logger: slog.New(slog.DiscardHandler), OnFatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	le, err := log.Acquire(t.Context(), "sink:rows")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.StoreDeadLetters(t.Context(), le, letters); err != nil {
		t.Fatal(err)
	}
	return log
}

// letter returns the n-th letter: a minute after the one before, of node a or b in turn.
func letter(n int) stream.DeadLetter {
	e := &event.Event{
		ID: event.ID{15: byte(n), 14: byte(n >> 8)}, RootID: "message", Key: []string{"press", "pump"}[n%2], Time: start.UnixMilli(),
		Payload: []byte(`{"value":"?"}`), Headers: []event.Header{{Name: "shift", Value: event.Int(3)}},
		Source: event.Source{Node: "plant1", Queue: "master.plant1"},
	}
	return stream.DeadLetter{
		Event: e, Node: []string{"a", "b"}[n%2], Generation: "live", Record: n, Class: node.Rejected, Code: []string{"number", "time"}[n%2],
		Text: []string{"not a number", "not a time"}[n%2], Attempt: 1, TimeMs: start.Add(time.Duration(n) * time.Minute).UnixMilli(), Stream: stream.Journal,
	}
}

func letters(n int) []stream.DeadLetter {
	all := make([]stream.DeadLetter, n)
	for i := range all {
		all[i] = letter(i)
	}
	return all
}

func TestFilter(t *testing.T) {
	log := open(t, letters(10)...)
	for name, c := range map[string]struct {
		f    Filter
		want int
	}{
		"an empty filter takes all": {Filter{}, 10},
		"node":                      {Filter{Node: "a"}, 5},
		"class":                     {Filter{Class: "unsure"}, 0},
		"code":                      {Filter{Code: "time"}, 5},
		"part of the text":          {Filter{Text: "a num"}, 5},
		"key":                       {Filter{Key: "pump"}, 5},
		"from is included":          {Filter{From: start.Add(8 * time.Minute)}, 2},
		"to is not":                 {Filter{To: start.Add(8 * time.Minute)}, 8},
		"all must hold":             {Filter{Node: "a", Key: "pump"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := List(t.Context(), log, c.f, "", 100)
			if err != nil || got.Total != c.want || len(got.Letters) != c.want {
				t.Errorf("List = %+v, %v; want %d letters", got, err, c.want)
			}
		})
	}
}

// TestListCountsAllAndReturnsPages: more letters than the log hands out at a time.
func TestListCountsAllAndReturnsPages(t *testing.T) {
	const total, limit = page + 7, 200
	log := open(t, letters(total)...)
	seen := map[string]bool{}
	after := ""
	for left := total; left > 0; {
		l, err := List(t.Context(), log, Filter{}, after, limit)
		if err != nil || l.Total != left || len(l.Letters) != min(limit, left) {
			t.Fatalf("List after %q: total %d, %d letters, %v; want %d", after, l.Total, len(l.Letters), err, left)
		}
		if got := l.Reasons[0].Count + l.Reasons[1].Count; len(l.Reasons) != 2 || got != left {
			t.Fatalf("reasons %+v; want two that add up to %d", l.Reasons, left)
		}
		for _, d := range l.Letters {
			seen[d.ID] = true
		}
		left -= len(l.Letters)
		if (l.Next == "") != (left == 0) {
			t.Fatalf("next is %q with %d left", l.Next, left)
		}
		after = l.Next
	}
	if len(seen) != total {
		t.Errorf("%d letters seen on all pages; want %d", len(seen), total)
	}
}

// TestNewestIsListFromTheOtherEnd pages back over more letters than the log hands out
// at a time.
func TestNewestIsListFromTheOtherEnd(t *testing.T) {
	const total, limit = page + 7, 200
	log := open(t, letters(total)...)
	all, err := List(t.Context(), log, Filter{}, "", total)
	if err != nil {
		t.Fatal(err)
	}
	left := all.Letters
	for before := ""; len(left) > 0; {
		l, err := Newest(t.Context(), log, Filter{}, before, limit)
		if err != nil || l.Total != len(left) || len(l.Letters) != min(limit, len(left)) {
			t.Fatalf("Newest before %q: total %d, %d letters, %v; want %d", before, l.Total, len(l.Letters), err, len(left))
		}
		for _, d := range l.Letters {
			if want := left[len(left)-1].ID; d.ID != want {
				t.Fatalf("letter %s; want %s", d.ID, want)
			}
			left = left[:len(left)-1]
		}
		if (l.Next == "") != (len(left) == 0) {
			t.Fatalf("next is %q with %d left", l.Next, len(left))
		}
		before = l.Next
	}
	if none, err := Newest(t.Context(), log, Filter{Node: "a"}, "", 0); err != nil || len(none.Letters) != 0 || none.Total == 0 {
		t.Errorf("Newest without letters = %+v, %v; want counts alone", none, err)
	}
}

// TestThroughLeavesOutWhatCameLater: what was stored since somebody looked is not meant.
func TestThroughLeavesOutWhatCameLater(t *testing.T) {
	log := open(t, letters(10)...)
	all, err := List(t.Context(), log, Filter{}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	f := Filter{Through: all.Letters[6].ID}
	if f.Empty() {
		t.Error("the filter says that it takes all")
	}
	if got, err := Drop(t.Context(), log, f, false); err != nil || got.Dropped != 7 {
		t.Errorf("Drop = %+v, %v; want the first seven", got, err)
	}
}

func TestRoutesOfPagesAndNamedLetters(t *testing.T) {
	log := open(t, letters(3)...)
	all, err := List(t.Context(), log, Filter{}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	first, second, third := all.Letters[0].ID, all.Letters[1].ID, all.Letters[2].ID
	for path, want := range map[string][]string{
		"/api/v1/dlq?order=newest&limit=1":                            {third},
		"/api/v1/dlq?order=newest&limit=1&after=" + third:             {second},
		"/api/v1/dlq?order=oldest&limit=1":                            {first},
		"/api/v1/dlq?order=newest&limit=1&through=" + first:           {first},
		"/api/v1/dlq/export?id=" + third + "&id=" + first + "&id=1-1": {third, first},
		"/api/v1/dlq/export?through=" + second:                        {first, second},
	} {
		w := asked(log, &line{log: log}, "GET", path)
		for _, d := range all.Letters {
			if named := slices.Contains(want, d.ID); w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"id":"`+d.ID) != named {
				t.Errorf("%s: %d %s; want letter %s: %t", path, w.Code, w.Body, d.ID, named)
			}
		}
	}
}

func TestDropTakesOnlyWhatTheFilterTakes(t *testing.T) {
	log := open(t, letters(10)...)
	for _, c := range []struct {
		dryRun  bool
		dropped int
	}{{true, 5}, {false, 5}, {false, 0}} {
		if got, err := Drop(t.Context(), log, Filter{Node: "a"}, c.dryRun); err != nil || got.Dropped != c.dropped || got.DryRun != c.dryRun {
			t.Fatalf("Drop = %+v, %v; want %+v", got, err, c)
		}
	}
	left, err := List(t.Context(), log, Filter{}, "", 100)
	if err != nil || left.Total != 5 || left.Reasons[0].Node != "b" {
		t.Fatalf("left %+v, %v; want the five of node b", left, err)
	}
	if got, err := DropIDs(t.Context(), log, []string{left.Letters[0].ID, "1-1", "odd"}, false); err == nil || got.Dropped != 0 {
		t.Errorf("DropIDs with a bad name = %+v, %v; want an error and nothing dropped", got, err)
	}
	if got, err := DropIDs(t.Context(), log, []string{left.Letters[0].ID, "1-1"}, false); err != nil || got.Dropped != 1 {
		t.Errorf("DropIDs = %+v, %v; want the one that is there", got, err)
	}
}

func TestShowAndExportHaveTheEvent(t *testing.T) {
	binary := letter(1)
	binary.Event.Payload = []byte{0xff, 0xfe}
	binary.Event.Record = &event.Record{Fields: []event.Field{{Name: "value", Value: event.Decimal("1.50")}}}
	raw := stream.DeadLetter{Raw: []byte{1, 2}, Node: "rows", Generation: "live", Record: -1, Class: node.Rejected, Stream: stream.Journal}
	log := open(t, letter(0), binary, raw)
	var out bytes.Buffer
	if err := Export(t.Context(), log, Filter{}, json.NewEncoder(&out)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines; want 3", len(lines))
	}
	for i, want := range []string{
		`"headers":{"shift":3},"payload":"{\"value\":\"?\"}"`, `"payload_b64":"//4=","record":{"value":1.50}`, `"raw":"AQI="`,
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: %s; want %s", i, lines[i], want)
		}
		var d Letter
		if err := json.Unmarshal([]byte(lines[i]), &d); err != nil {
			t.Fatal(err)
		}
		shown, err := Show(t.Context(), log, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := json.Marshal(shown); err != nil || string(text) != lines[i] {
			t.Errorf("Show = %s, %v; want what was exported: %s", text, err, lines[i])
		}
	}
}

// asked returns the routes' answer.
func asked(log Journal, driver Driver, method, path string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	for pattern, h := range Routes(log, driver, nothingHidden) {
		mux.Handle(pattern, h)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// closed is a log out of reach.
type closed struct{ Journal }

func (closed) DeadLetters(context.Context, string, int) ([]stream.StoredDeadLetter, error) {
	return nil, node.AsAway(context.DeadlineExceeded)
}

func nothingHidden() *redact.Rules { return nil }

// TestLettersAreShownRedacted asks every way to see letters for a value that is hidden.
func TestLettersAreShownRedacted(t *testing.T) {
	const secret = "hunter2-0451"
	known, opaque, raw := letter(0), letter(1), letter(2)
	known.Event.Key, known.Event.Payload, known.Text = secret, []byte(`{"value":"`+secret+`"}`), "not a number: "+secret
	opaque.Event.Payload, opaque.Text = []byte("value;"+secret), "no JSON: value;"+secret
	raw.Event, raw.Raw, raw.Text = nil, []byte(secret), "odd: "+secret
	log := open(t, known, opaque, raw)
	rules, err := redact.Parse([]string{"value"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, h := range Routes(log, &line{log: log}, func() *redact.Rules { return rules }) {
		mux.Handle(pattern, h)
	}
	get := func(path string) string {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Body.String()
	}
	var l Listing
	if err := json.Unmarshal([]byte(get("/api/v1/dlq")), &l); err != nil || l.Total != 3 {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, path := range []string{"", "/export", "/" + l.Letters[0].ID, "/" + l.Letters[1].ID, "/" + l.Letters[2].ID} {
		body := get("/api/v1/dlq" + path)
		if strings.Contains(body, secret) || strings.Contains(body, base64.StdEncoding.EncodeToString([]byte(secret))) || !strings.Contains(body, redact.Marker) && !strings.Contains(body, redact.Withheld) {
			t.Errorf("%s: %s", path, body)
		}
	}
	if body := get("/api/v1/dlq?key=" + secret); !strings.Contains(body, `"total":0`) {
		t.Errorf("a filter tells what is hidden: %s", body)
	}
	if stored, _, err := log.DeadLetter(t.Context(), l.Letters[0].ID); err != nil || stored.Event.Key != secret {
		t.Errorf("the letter itself is changed: %+v, %v", stored.Event, err)
	}
}

func TestRoutesRefuse(t *testing.T) {
	log := open(t, letter(0))
	for name, c := range map[string]struct {
		log          Journal
		method, path string
		code         int
		want         string
	}{
		"all mistakes at once":          {log, "GET", "/api/v1/dlq?class=odd&from=noon&limit=x&nod=a", 400, `after`},
		"a name that is none":           {log, "GET", "/api/v1/dlq/abc", 404, "not of the form"},
		"a letter that is not there":    {log, "GET", "/api/v1/dlq/1-1", 404, "no such dead letter"},
		"after something odd":           {log, "GET", "/api/v1/dlq?after=x", 400, "after"},
		"an order that is none":         {log, "GET", "/api/v1/dlq?order=x", 400, "neither"},
		"through something odd":         {log, "POST", "/api/v1/dlq/drop?through=x", 400, "through"},
		"export of ids and a filter":    {log, "GET", "/api/v1/dlq/export?id=1-1&node=a", 400, "not both"},
		"export of a name that is none": {log, "GET", "/api/v1/dlq/export?id=odd", 404, "not of the form"},
		"export with an odd filter":     {log, "GET", "/api/v1/dlq/export?class=odd", 400, "class"},
		"drop of everything unmeant":    {log, "POST", "/api/v1/dlq/drop", 400, "all=true"},
		"drop of ids and a filter":      {log, "POST", "/api/v1/dlq/drop?id=1-1&node=a", 400, "not both"},
		"a log that is out of reach":    {closed{}, "GET", "/api/v1/dlq", 503, "deadline"},
		"replay of everything":          {log, "POST", "/api/v1/dlq/replay", 400, "all=true"},
		"replay of an unknown node":     {log, "GET", "/api/v1/dlq/replay?node=z", 400, `"z"`},
		"drop with a misspelt filter":   {log, "POST", "/api/v1/dlq/drop?nodes=a", 400, "nodes: unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			w := asked(c.log, &line{log: log}, c.method, c.path)
			var body struct{ Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != c.code || !strings.Contains(body.Error, c.want) {
				t.Errorf("%d %s; want %d and %q", w.Code, w.Body, c.code, c.want)
			}
			if n, _ := List(t.Context(), log, Filter{}, "", 1); n.Total != 1 {
				t.Error("the letter is gone")
			}
		})
	}
}
