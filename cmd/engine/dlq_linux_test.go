package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/testserver"
)

// rejecting reads rows of CSV as JSON: each message becomes a dead letter.
const rejecting = `kind: pipeline
version: 1
name: rejecting
connections: { q: { amqp: { urls: embedded } }, log: { redis: { url: embedded } } }
nodes:
  - { id: rows, source: amqp, with: { connection: q, queue: master.plant2, identity: message_id } }
  - { id: parse, transform: json, inputs: [rows] }
  - { id: live, sink: chart, inputs: [parse] }
`

// startRejecting runs the pipeline until the test ends and returns its URL once it
// has dead letters.
func startRejecting(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rejecting.yaml")
	if err := os.WriteFile(file, []byte(rejecting), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := runPipeline(ctx, file, runFlags{listen: "127.0.0.1:0", logLevel: "error"}, in)
		ended <- errors.Join(err, in.Close())
	}()
	addr, rest := listening(t, out)
	t.Cleanup(func() {
		stop()
		rest()
		if err := <-ended; err != nil {
			t.Errorf("engine: %v", err)
		}
	})
	server := "http://" + addr
	testserver.Eventually(t, time.Minute, "dead letters", func() error {
		if code, out, errs := ask(server, "", "ls", "--json", "--limit", "1"); code != exitOK || strings.Contains(out, `"total": 0`) {
			return fmt.Errorf("code %d, %s%s", code, out, errs)
		}
		return nil
	})
	return server
}

// ask runs `engine dlq` with args and stdin, and returns the exit code and what it wrote.
func ask(server, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(append([]string{"dlq", "--server", server}, args...), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func listed(t *testing.T, server string, args ...string) dlq.Listing {
	t.Helper()
	code, out, errs := ask(server, "", append([]string{"ls", "--json"}, args...)...)
	var l dlq.Listing
	if err := json.Unmarshal([]byte(out), &l); code != exitOK || err != nil {
		t.Fatalf("ls: code %d, %v, %s%s", code, err, out, errs)
	}
	return l
}

// TestDLQCommandsOnARunningEngine goes the whole way: a message that a node refuses
// is listed with its reason, shown with its payload, exported and dropped.
func TestDLQCommandsOnARunningEngine(t *testing.T) {
	server := startRejecting(t)
	l := listed(t, server, "--node", "parse", "--class", "rejected")
	if len(l.Reasons) == 0 || l.Reasons[0].Node != "parse" || len(l.Letters) == 0 {
		t.Fatalf("listing %+v; want letters of node parse", l)
	}
	if other := listed(t, server, "--node", "other"); other.Total != 0 {
		t.Errorf("%d letters of a node that does not exist", other.Total)
	}
	first := l.Letters[0]
	code, out, _ := ask(server, "", "show", first.ID)
	var shown dlq.Letter
	if err := json.Unmarshal([]byte(out), &shown); code != exitOK || err != nil || shown.Event == nil || shown.Event.Payload == nil {
		t.Fatalf("show: code %d, %v, %s; want the event's payload", code, err, out)
	}
	if shown.RootID != first.RootID || shown.Event.Source.Queue != "master.plant2" {
		t.Errorf("shown %+v; want message %s of master.plant2", shown, first.RootID)
	}
	code, out, _ = ask(server, "", "export", "--to", shown.Time.Add(time.Hour).Format(time.RFC3339))
	if line, _, _ := strings.Cut(out, "\n"); code != exitOK || !strings.Contains(line, first.ID) || !strings.Contains(line, `"payload"`) {
		t.Errorf("export: code %d, first line %s; want letter %s with its payload", code, line, first.ID)
	}
	if _, out, _ := ask(server, "", "drop", "--dry-run", first.ID); out != "would drop 1 dead letters\n" {
		t.Errorf("dry run: %q", out)
	}
	if code, _, errs := ask(server, "no\n", "drop", first.ID); code != exitConfig || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("drop after no: code %d, %s; want nothing dropped", code, errs)
	}
	if _, out, _ := ask(server, "yes\n", "drop", first.ID); out != "dropped 1 dead letters\n" {
		t.Errorf("drop: %q", out)
	}
	if code, _, errs := ask(server, "", "show", first.ID); code != exitFindings || !strings.Contains(errs, "no such dead letter") {
		t.Errorf("show of a dropped letter: code %d, %s", code, errs)
	}
}

// TestDLQReplayOfWhatIsStillBad: letters whose cause is not mended come back, none
// is lost, and the command says so.
func TestDLQReplayOfWhatIsStillBad(t *testing.T) {
	server := startRejecting(t)
	first := listed(t, server).Letters[0]
	_, out, errs := ask(server, "", "replay", "--dry-run", first.ID)
	if out != "1 dead letters with 1 events would be driven again\n  1 from node parse\n" {
		t.Errorf("dry run: %q %s", out, errs)
	}
	code, out, errs := ask(server, "", "replay", "--json", first.ID)
	var r replayResult
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil || r.Events != 1 || r.Refused != 1 || r.Waiting != 0 {
		t.Fatalf("replay: code %d, %v, %s%s", code, err, out, errs)
	}
	again := listed(t, server, "--generation", "redrive")
	if again.Total != 1 || again.Letters[0].EventID != first.EventID || again.Letters[0].ID == first.ID {
		t.Errorf("letters %+v; want one of event %s, with a name of its own", again, first.EventID)
	}
	if _, out, _ := ask(server, "", "replay", first.ID); out != "0 dead letters with 0 events driven again\n" {
		t.Errorf("again: %q", out)
	}
	if _, out, _ := ask(server, "", "replay", again.Letters[0].ID); !strings.Contains(out, "1 were refused again") {
		t.Errorf("replay of the one that came back: %q", out)
	}
	if again := listed(t, server, "--generation", "redrive"); again.Total != 1 {
		t.Errorf("%d letters of the replay, want 1", again.Total)
	}
}

func TestDLQMistakesAreTold(t *testing.T) {
	server := startRejecting(t)
	for _, c := range []struct {
		name, want string
		code       int
		server     string
		args       []string
	}{
		{"unknown class and time at once", "class:", exitConfig, server, []string{"ls", "--class", "odd", "--from", "noon"}},
		{"limit out of range", "limit:", exitConfig, server, []string{"ls", "--limit", "-1"}},
		{"drop without a choice", "expected ids, a filter, or --all", exitConfig, server, []string{"drop", "--yes"}},
		{"drop of ids and a filter", "not both", exitConfig, server, []string{"drop", "--yes", "--node", "a", "1-0"}},
		{"a name that is none", "not of the form", exitFindings, server, []string{"show", "abc"}},
		{"nobody there", "no engine answers", exitEnvironment, "http://127.0.0.1:1", []string{"ls"}},
		{"no URL", "not of the form http://host:port", exitConfig, "localhost", []string{"ls"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := ask(c.server, "", c.args...)
			if code != c.code || !strings.Contains(errs, c.want) {
				t.Errorf("code %d, %q; want %d and %q", code, errs, c.code, c.want)
			}
		})
	}
}
