package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

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
