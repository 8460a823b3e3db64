package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/feed"
	"github.com/millrace/millrace/engine/testserver"
)

// TestFeedPublishesAFile runs the command against a real broker: once without the
// queue, once with --declare.
func TestFeedPublishesAFile(t *testing.T) {
	broker := testserver.RabbitMQ(t)
	file := filepath.Join(t.TempDir(), "readings.jsonl")
	if err := os.WriteFile(file, []byte("{\"id\":\"a\"}\n{\"id\":\"b\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got struct {
		OK                  bool
		Confirmed, Returned int
	}
	feedFile := func(want int, more ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		args := append([]string{"feed", file, "--queue", "q", "--id-field", "id", "--url", broker.AMQPURL(), "--json"}, more...)
		if code := run(args, strings.NewReader(""), &stdout, &stderr); code != want {
			t.Fatalf("exit code %d, want %d: %s", code, want, stderr.String())
		}
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Fatalf("summary %q: %v", stdout.String(), err)
		}
	}
	feedFile(exitFindings)
	if got.OK || got.Returned != 2 || got.Confirmed != 0 {
		t.Errorf("without a queue: %+v", got)
	}
	feedFile(exitOK, "--declare", "--batch", "1")
	if !got.OK || got.Returned != 0 || got.Confirmed != 2 {
		t.Errorf("with --declare: %+v", got)
	}
}

func TestProgressLine(t *testing.T) {
	p := feed.Progress{Messages: 50, Records: 100, Total: 400, Elapsed: 10 * time.Second, Stats: feed.Stats{Confirmed: 48, Returned: 2}}
	if got, want := line(p), "100 of 400 readings, 10/s, 48 messages confirmed, 2 returned, 30s left"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
	if got, want := barOf(0.25), "█████░░░░░░░░░░░░░░░  25%"; got != want {
		t.Errorf("bar = %q, want %q", got, want)
	}
}

func TestProgressDrawsOverItself(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, bar: true}
	p.update(feed.Progress{Records: 1000, Total: 1000, Elapsed: time.Second})
	p.update(feed.Progress{Records: 1, Total: 1000, Elapsed: time.Second, Stats: feed.Stats{}})
	p.end()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\r")
	if len(lines) != 3 || len([]rune(lines[2])) < len([]rune(strings.TrimRight(lines[1], " "))) {
		t.Errorf("drawn %q: the second state does not cover the first", lines)
	}
}
