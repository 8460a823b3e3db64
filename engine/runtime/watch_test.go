package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/reload"
)

// TestOneConnectionShowsEverything subscribes to a chart, the graph, the dead letters
// and a node's events, and hears of each, and of a reload.
func TestOneConnectionShowsEverything(t *testing.T) {
	one := sourceA + decode + marks("mark", "1", "decode", "") + rows("mark") + drawn("mark")
	m := startMill(t, one)
	seen := m.follow("sub=chart:c,graph:mill,dlq:mill,tap:mark")
	for _, name := range []string{"hello", "graph", "stats", "mark", "dlq"} {
		seen(name)
	}
	m.few()
	seen("frame")
	var s struct {
		Seen   int
		Events []struct{ Record map[string]any }
	}
	if err := json.Unmarshal(seen("tap"), &s); err != nil || s.Seen == 0 || s.Events[0].Record["way"] != "1" {
		t.Errorf("tap %+v: %v", s, err)
	}
	m.apply(one+more("start: now, ", "mark"), reload.Applied)
	var g struct{ Nodes []struct{ ID string } }
	if err := json.Unmarshal(seen("graph"), &g); err != nil || len(g.Nodes) != 6 {
		t.Errorf("graph %+v: %v", g, err)
	}
	seen("mark")
	for _, query := range []string{"sub=graph:other", "sub=tap:nosuch", "sub=nothing:mill"} {
		resp, err := http.Get("http://" + m.addr + "/api/v1/live?" + query)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s: %d, want 400", query, resp.StatusCode)
		}
	}
}

// TestSocketSaysBye: the twin serves the same charts, and is told when the engine stops.
func TestSocketSaysBye(t *testing.T) {
	m := startMill(t, sourceA+decode+rows("decode")+drawn("decode"))
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	c, _, err := websocket.Dial(ctx, "ws://"+m.addr+"/api/v1/live/ws?sub=graph:mill", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	defer func() { _ = c.CloseNow() }()
	for _, want := range []string{"hello", "graph", "stats"} {
		_, text, err := c.Read(ctx)
		if err != nil || !strings.HasPrefix(string(text), `{"event":"`+want+`"`) {
			t.Fatalf("message %s: %v; want %s", text, err, want)
		}
	}
	ended := make(chan string, 1)
	go func() {
		last := ""
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				ended <- last
				return
			}
			last = string(text)
		}
	}()
	m.stop()
	if last := <-ended; !strings.HasPrefix(last, `{"event":"bye"`) {
		t.Errorf("the last message is %s, want bye", last)
	}
}

// follow reads the live stream as lines; what it returns waits for the next event of
// a name, in any order with others, and returns its data.
func (m *mill) follow(query string) func(name string) []byte {
	m.t.Helper()
	ctx, stop := context.WithTimeout(m.t.Context(), time.Minute)
	m.t.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.addr+"/api/v1/live?"+query, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	kept := map[string][][]byte{}
	return func(name string) []byte {
		m.t.Helper()
		for len(kept[name]) == 0 {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				m.t.Fatalf("no %s: %v", name, err)
			}
			var e struct {
				Event string
				Data  json.RawMessage
			}
			if err := json.Unmarshal(line, &e); err != nil {
				m.t.Fatalf("%s: %v", line, err)
			}
			kept[e.Event] = append(kept[e.Event], e.Data)
		}
		data := kept[name][0]
		kept[name] = kept[name][1:]
		return data
	}
}

// TestMarksOfPlugins: what changed nothing is no mark.
func TestMarksOfPlugins(t *testing.T) {
	var m markList
	swap := []pluginhost.NodeSwap{{Node: "n", From: "scale@1.0.0#1", To: "scale@1.1.0#2"}}
	for _, a := range []pluginhost.Action{
		{Name: "scale", State: pluginhost.Trying, Nodes: swap},
		{Name: "scale", State: pluginhost.RolledBack, Text: "back", Nodes: swap},
		{Name: "scale", State: pluginhost.Refused, Text: "unfit", Nodes: swap},
		{Name: "scale", State: pluginhost.Done, Text: "no node has another version to run"},
	} {
		m.plugin(a)
	}
	var texts []string
	list, _ := m.take(t.Context())
	for _, one := range list {
		texts = append(texts, one.(mark).Kind+": "+one.(mark).Text)
	}
	if got, want := strings.Join(texts, "\n"), "plugin: plugin scale: trial of scale@1.1.0#2\nplugin: plugin scale: back"; got != want {
		t.Errorf("marks\n%s\nwant\n%s", got, want)
	}
}

// TestRedactionsFollowTheFile hides a field by a reload that changes nothing else: taps
// that are open hide it from then on, too.
func TestRedactionsFollowTheFile(t *testing.T) {
	one := sourceA + decode + marks("mark", "secret", "decode", "") + rows("mark")
	m := startMill(t, one)
	m.apply(one+"tap: { redact: [way] }\n", reload.Unchanged)
	seen := m.follow("sub=tap:mark")
	seen("hello")
	m.few()
	if text := string(seen("tap")); strings.Contains(text, "secret") || !strings.Contains(text, redact.Marker) {
		t.Errorf("tap %s", text)
	}
	resp, err := http.Get("http://" + m.addr + "/api/v1/tap/mark?from=earliest&limit=1&where=" + url.QueryEscape(`way != "secret"`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || strings.Contains(string(text), "secret") || !strings.Contains(string(text), redact.Marker) {
		t.Errorf("tap %s, %v", text, err)
	}
}
