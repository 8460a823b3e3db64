package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/tap"
	"github.com/millrace/millrace/engine/testserver"
)

// command runs any command of the engine and returns the exit code and what it wrote.
func command(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// TestTapAndTopOnARunningEngine goes the whole way: events of a source are shown as
// lines and as JSON, chosen by an expression, past and live; the view counts what the
// decoder rejects.
func TestTapAndTopOnARunningEngine(t *testing.T) {
	server := startRejecting(t)
	code, out, errs := command("tap", "--server", server, "rows", "--from", "earliest", "--limit", "2")
	if code != exitOK || strings.Count(out, "\n") != 2 || !strings.Contains(out, "  master.plant2/master.plant2  ") || errs != "what rows hands on: journal of rows\n" {
		t.Errorf("past: code %d, %s%s", code, out, errs)
	}
	code, out, errs = command("tap", "--server", server, "live", "--where", "1 == 1", "--limit", "1", "--to", "0s", "--from", "earliest", "--json")
	if code != exitOK || out != "" || errs != "what live reads: stream parse\n" {
		t.Errorf("a stream of which all is rejected: code %d, %s%s", code, out, errs)
	}
	code, out, errs = command("tap", "--server", server, "parse", "--where", `queue == "master.plant2"`, "--limit", "1", "--from", "earliest", "--to", "0s")
	if code != exitOK || out != "" || errs != "what parse hands on: stream parse\n" {
		t.Errorf("a node's own stream: code %d, %s%s", code, out, errs)
	}
	code, out, errs = command("tap", "--server", server, "rows", "--limit", "1", "--json", "--where", `message_id != nil`)
	var e tap.Event
	if err := json.Unmarshal([]byte(out), &e); code != exitOK || err != nil || e.Stream != "journal" || e.Source.Node != "rows" || e.Payload == nil {
		t.Errorf("live: code %d, %v, %s%s", code, err, out, errs)
	}
	testserver.Eventually(t, time.Minute, "a view of a reader that has caught up", func() error { // more is fed all the time
		code, out, errs := command("top", "--server", server, "--interval", "100ms")
		for _, want := range []string{"rejecting  ready", "rows   source ", "parse  transform ", "parse@live  journal     0"} {
			if code != exitOK || !strings.Contains(out, want) {
				return fmt.Errorf("top: code %d, %s%s; want %q", code, out, errs, want)
			}
		}
		return nil
	})
	code, out, errs = command("top", "--server", server, "--interval", "100ms", "--json")
	var v struct {
		Ready bool
		Nodes []struct {
			ID          string
			In          uint64
			Rejected    uint64
			InPerSecond *float64 `json:"in_per_second"`
		}
	}
	if err := json.Unmarshal([]byte(out), &v); code != exitOK || err != nil || len(v.Nodes) != 3 || v.Nodes[1].Rejected == 0 || v.Nodes[1].InPerSecond == nil || !v.Ready {
		t.Errorf("top --json: code %d, %v, %s%s", code, err, out, errs)
	}
}

func TestTapAndTopMistakesAreTold(t *testing.T) {
	server := startRejecting(t)
	for _, c := range []struct {
		name, want string
		code       int
		args       []string
	}{
		{"unknown node", `no node "row" (did you mean rows?)`, exitFindings, []string{"tap", "--server", server, "row"}},
		{"wrong expression", "where: column 5", exitConfig, []string{"tap", "--server", server, "parse", "--where", "a > > 1"}},
		{"empty time", "from: ", exitConfig, []string{"tap", "--server", server, "parse", "--from", "x"}},
		{"limit", "limit: ", exitConfig, []string{"tap", "--server", server, "parse", "--limit", "-1"}},
		{"no node", "accepts 1 arg", exitConfig, []string{"tap"}},
		{"nobody there to tap", "no engine answers", exitEnvironment, []string{"tap", "--server", "http://127.0.0.1:1", "rows"}},
		{"nobody there to watch", "no engine answers", exitEnvironment, []string{"top", "--server", "http://127.0.0.1:1"}},
		{"too short an interval", "--interval 1ms is below", exitConfig, []string{"top", "--interval", "1ms"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, errs := command(c.args...); code != c.code || !strings.Contains(errs, c.want) {
				t.Errorf("code %d, %q; want %d and %q", code, errs, c.code, c.want)
			}
		})
	}
}

// TestTapSaysHowItEnded: an error behind events, and a connection that breaks.
func TestTapSaysHowItEnded(t *testing.T) {
	for name, c := range map[string]struct {
		body, out, errs string
		cut, json       bool
	}{
		"an error":         {body: `{"error":"the engine is \u001b stopping"}` + "\n", errs: "engine: the engine is"},
		"an error as JSON": {body: `{"error":"the engine is stopping"}` + "\n", out: `{"error":"the engine is stopping"}` + "\n", errs: "engine: the engine is stopping\n", json: true},
		"a notice":         {body: `{"notice":"3 entries were trimmed"}` + "\n", errs: "3 entries were trimmed\n", cut: true},
		"half a line":      {body: `{"key":"a`, errs: "the tap was cut off"},
		"another program":  {body: "<html>\n", errs: "another program"},
		"bytes":            {body: `{"key":"a\u001bb","payload_b64":"//4=","appended":"2026-03-01T12:00:00Z"}` + "\n", out: "2026-03-01T12:00:00.000Z  a�b  2 bytes, fffe\n", cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(c.body))
				_ = http.NewResponseController(w).Flush()
				if c.cut {
					panic(http.ErrAbortHandler)
				}
			}))
			defer server.Close()
			args := []string{"tap", "--server", server.URL, "n"}
			if c.json {
				args = append(args, "--json")
			}
			code, out, errs := command(args...)
			if code != exitFindings || out != c.out || !strings.Contains(errs, c.errs) || strings.Contains(errs, "\x1b") {
				t.Errorf("code %d, %q, %q; want %q, %q", code, out, errs, c.out, c.errs)
			}
		})
	}
}

func TestTapCompletesNodes(t *testing.T) {
	server := startRejecting(t)
	if _, out, _ := command("__complete", "tap", "--server", server, ""); !strings.HasPrefix(out, "rows\nparse\nlive\n") {
		t.Errorf("completion: %q", out)
	}
}
