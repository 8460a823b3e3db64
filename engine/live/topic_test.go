package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// topics are one topic of each kind, driven by the test.
type topics struct {
	graph, marks, taps *live.Topic
	value              atomic.Int64 // what the state says
	reads              atomic.Int64
	marked             []any
	passed             int
	broken             atomic.Bool
}

func newTopics() *topics {
	t := &topics{}
	t.graph = live.NewState("graph", "graph:charts", time.Second, func(context.Context) (any, error) {
		t.reads.Add(1)
		if t.broken.Load() {
			return nil, errors.New("away")
		}
		return map[string]int64{"value": t.value.Load()}, nil
	})
	t.marks = live.NewLog("mark", "graph:charts", time.Second, 2, func(context.Context) ([]any, error) {
		defer func() { t.marked = nil }()
		return t.marked, nil
	})
	t.taps = live.NewPassing("tap", "tap:celsius", time.Second, func(_ context.Context, anew bool) ([]any, error) {
		t.passed++
		return []any{map[string]any{"n": t.passed, "anew": anew}}, nil
	})
	return t
}

func (t *topics) Find(_ context.Context, kind, name string) ([]*live.Topic, error) {
	switch {
	case kind == "graph" && name == "charts":
		return []*live.Topic{t.graph, t.marks}, nil
	case kind == "tap" && name == "celsius":
		return []*live.Topic{t.taps}, nil
	case kind == "tap":
		return nil, &live.Refusal{Code: 403, Text: "tap: not allowed"}
	}
	return nil, fmt.Errorf("sub=%s:%s: expected graph:charts", kind, name)
}

func withTopics(t *topics) func(*live.Config) { return func(c *live.Config) { c.Topics = t } }

func TestOneConnectionCarriesManySubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, topics := livetest.NewLog(1, 1), newTopics()
		hub, _ := start(t, config(t, log, withTopics(topics)))
		log.Append(readings, 0, reading("a", 1))
		time.Sleep(time.Second)
		topics.marked = []any{1, 2, 3}
		v := view(hub, "sub=chart:temp,graph:charts")
		synctest.Wait()
		log.Append(readings, 0, reading("a", 2))
		time.Sleep(1500 * time.Millisecond)
		topics.value.Store(7)
		time.Sleep(2 * time.Second)
		v.close()
		if got, want := names(v.events()), "hello schema snapshot graph mark mark frame graph bye"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		for _, e := range v.events() {
			if data := e.name == "snapshot" || e.name == "frame"; data != (e.id != "") {
				t.Errorf("event %s has id %q; only data has one", e.name, e.id)
			}
		}
		r := newReceived()
		mustTake(t, r, v)
		if got := fmt.Sprint(r.values); got != "map[temp|a:[1 2]]" {
			t.Errorf("received %s", got)
		}
	})
}

// TestTopicIsReadOnceForAll: what a topic costs does not depend on its viewers, and
// without any it costs nothing.
func TestTopicIsReadOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := newTopics()
		hub, _ := start(t, config(t, livetest.NewLog(1, 1), withTopics(topics)))
		time.Sleep(10 * time.Second)
		if n := topics.reads.Load(); n != 0 {
			t.Errorf("read %d times while nobody looked", n)
		}
		var all []*viewer
		for range 20 {
			all = append(all, view(hub, "sub=graph:charts"))
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if n := topics.reads.Load(); n < 9 || n > 12 {
			t.Errorf("20 viewers in 10 s: read %d times, want about 11", n)
		}
		for _, v := range all {
			v.close()
			if got := strings.Fields(names(v.events())); strings.Join(got[:2], " ") != "hello graph" {
				t.Errorf("without charts: %q", got)
			}
		}
	})
}

// TestSlowViewerIsToldOfMissedItems: what a topic told while a viewer was stuck is
// counted, or sent; a state that cannot be read stays as it was.
func TestSlowViewerIsToldOfMissedItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := newTopics()
		hub, _ := start(t, config(t, livetest.NewLog(1, 1), withTopics(topics), func(c *live.Config) {
			c.WriteTimeout, c.Ping = time.Hour, time.Hour
		}))
		slow, other := view(hub, "sub=tap:celsius"), view(hub, "sub=tap:celsius")
		synctest.Wait()
		release := slow.stall()
		time.Sleep(20 * time.Second)
		release()
		time.Sleep(3 * time.Second)
		slow.close()
		other.close()
		got, gaps := tapped(t, slow)
		all, none := tapped(t, other)
		if gaps == 0 || got+gaps != all || none != 0 {
			t.Errorf("the slow one got %d and was told of %d, the other got %d and was told of %d", got, gaps, all, none)
		}
		if s := hub.Stats(); s.Skipped != uint64(gaps) {
			t.Errorf("counted %d, told %d", s.Skipped, gaps)
		}
	})
}

func tapped(t *testing.T, v *viewer) (events, gaps int) {
	t.Helper()
	for _, e := range v.events() {
		switch e.name {
		case "tap":
			events++
		case "gap":
			var g struct {
				Sub   string
				Items int
			}
			if err := json.Unmarshal([]byte(e.data), &g); err != nil || g.Sub != "tap:celsius" {
				t.Errorf("gap %s: %v", e.data, err)
			}
			gaps += g.Items
		}
	}
	return events, gaps
}

func TestStateThatCannotBeReadStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topics := newTopics()
		hub, _ := start(t, config(t, livetest.NewLog(1, 1), withTopics(topics)))
		v := view(hub, "sub=graph:charts")
		synctest.Wait()
		topics.broken.Store(true)
		time.Sleep(3 * time.Second)
		late := view(hub, "sub=graph:charts")
		synctest.Wait()
		v.close()
		late.close()
		for _, v := range []*viewer{v, late} {
			if got := strings.Count(names(v.events()), "graph"); got != 1 {
				t.Errorf("%d graphs, want the one that could be read: %q", got, names(v.events()))
			}
		}
	})
}

// TestWires sends the same events as lines of JSON, and as one snapshot.
func TestWires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, topics := livetest.NewLog(1, 1), newTopics()
		hub, _ := start(t, config(t, log, withTopics(topics)))
		log.Append(readings, 0, reading("a", 1))
		time.Sleep(time.Second)
		const query = "sub=chart:temp,graph:charts"
		sse, lines := view(hub, query), view(hub, query, "Accept", "application/x-ndjson")
		csv, once := view(hub, query+"&format=csv", "Accept", "application/x-ndjson"), view(hub, query, "Accept", "application/json")
		synctest.Wait()
		log.Append(readings, 0, reading("a", 2))
		time.Sleep(time.Second)
		for _, v := range []*viewer{sse, lines, csv, once} {
			v.close()
		}
		if got := lines.header.Get("Content-Type"); got != "application/x-ndjson" {
			t.Errorf("Content-Type %q", got)
		}
		if got, want := parseLines(t, lines.bytes()), sse.events(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("as lines: %v\nas server-sent events: %v", got, want)
		}
		if got := fmt.Sprint(parseLines(t, csv.bytes())); !strings.Contains(got, `temp,a,2000-01-01T00:00:00.000Z,1,C\n`) {
			t.Errorf("CSV in lines: %s", got)
		}
		var s struct{ States []struct{ Sub, Event string } }
		if err := json.Unmarshal(once.bytes(), &s); err != nil || len(s.States) != 1 || s.States[0].Event != "graph" {
			t.Errorf("snapshot %s: %v", once.bytes(), err)
		}
	})
}

// TestEventNamesAreTheContract holds the documents to each other and to the code.
func TestEventNamesAreTheContract(t *testing.T) {
	doc, api := readSchema(t, "live.md"), readSchema(t, "openapi.yaml")
	list := regexp.MustCompile(`event: \{ enum: \[(.*)\]`).FindStringSubmatch(api)
	if list == nil {
		t.Fatal("openapi.yaml does not list the events")
	}
	names := strings.Split(list[1], ", ")
	if want := strings.Fields("hello schema snapshot frame stats graph tap dlq mark gap reset ping bye"); !slices.Equal(names, want) {
		t.Errorf("events %v; the contract is %v", names, want)
	}
	for _, name := range names {
		if !strings.Contains(doc, "\n| `"+name+"` |") {
			t.Errorf("live.md has no line for event %q", name)
		}
	}
}

func readSchema(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parseLines reads events from lines of JSON.
func parseLines(t *testing.T, b []byte) []sse {
	t.Helper()
	var out []sse
	for line := range strings.Lines(string(b)) {
		var e struct {
			Event, ID string
			Data      json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, sse{e.Event, e.ID, string(e.Data)})
	}
	return out
}

func TestRefusedSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, _ := start(t, config(t, livetest.NewLog(1, 1), withTopics(newTopics())))
		for query, code := range map[string]int{
			"sub=graph:other": 400, "sub=tap:secret": 403, "sub=:x": 400, "window=1ms": 400, "window=25h": 400,
			"sub=chart:" + strings.Repeat("a,chart:", 40) + "a": 200,
		} {
			v := view(hub, query)
			synctest.Wait()
			v.close()
			if v.code != code {
				t.Errorf("%s: code %d, want %d", query, v.code, code)
			}
		}
	})
}
