package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/reload"
	"github.com/millrace/millrace/engine/testserver"
)

const watched = `kind: pipeline
version: 1
name: watched
connections: { q: { amqp: { urls: embedded } }, log: { redis: { url: embedded } }, s: { sql: { dsn: embedded } } }
nodes:
  - { id: a, source: amqp, with: { connection: q, queue: master.plant1, identity: message_id } }
  - { id: decode, transform: json, inputs: [a], with: { set: { mark: '"1"' } } }
  - { id: rows, sink: sql, inputs: [decode], with: { connection: s, table: rows, auto_create: true, columns: [{ name: mark, type: varchar(8) }] } }
`

// TestReloadBySignalWatchAndCommand: a file that is written into, exchanged or named
// by a signal is applied; one that is wrong is told and changes nothing.
func TestReloadBySignalWatchAndCommand(t *testing.T) {
	hangups := make(chan os.Signal, 1) // or the signal would end the test where nobody waits for it
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	file := filepath.Join(t.TempDir(), "watched.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, watched)
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := runPipeline(ctx, file, runFlags{listen: "127.0.0.1:0", logLevel: "info", watch: true}, in)
		ended <- errors.Join(err, in.Close())
	}()
	addr, lines := followed(t, out)
	testserver.Eventually(t, time.Minute, "ready", func() error { _, err := get(addr, "/readyz"); return err })

	write(file, strings.ReplaceAll(watched, `"1"`, `"2"`))
	awaitLine(t, lines, `"trigger":"watch"`, `"outcome":"applied"`, `"restarted":1`)
	awaitLine(t, lines, "restarted", "decode", "with.set")
	write(file+".new", strings.ReplaceAll(watched, `"1"`, `"3"`))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, `"trigger":"watch"`, `"outcome":"applied"`, `"restarted":1`)
	write(file, "kind: pipelin\n")
	awaitLine(t, lines, `"trigger":"watch"`, `"outcome":"refused"`)
	awaitLine(t, lines, "the pipeline runs on as before")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, lines, `"trigger":"signal"`, `"outcome":"refused"`)

	ask := func(wantCode int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(append(args, "--server", "http://"+addr), strings.NewReader(""), &stdout, &stderr); code != wantCode {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, wantCode, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	if text := ask(exitFindings, "reload"); !strings.Contains(text, "refused") || !strings.Contains(text, "watched.yaml:1:7") {
		t.Errorf("a file that is wrong: %s", text)
	}
	var r reload.Result
	if text := ask(exitFindings, "reload", "--json"); json.Unmarshal([]byte(text), &r) != nil || r.Outcome != reload.Refused {
		t.Errorf("as JSON: %s", text)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
	for range lines {
	}
}

// awaitLine waits for a line with all of the words.
func awaitLine(t *testing.T, lines <-chan string, words ...string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			found := ok
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return
			}
			if !ok {
				t.Fatalf("the end instead of a line with %q", words)
			}
		case <-limit:
			t.Fatalf("no line with %q", words)
		}
	}
}
