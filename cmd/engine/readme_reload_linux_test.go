package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// TestReadmeReload changes a running pipeline's file as the README says and reloads it
// with the README's command: what is printed is what the README shows, but for the
// file's place and the times.
func TestReadmeReload(t *testing.T) {
	blocks := readmeBlocks(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	text, err := os.ReadFile(filepath.Join(root, "pipelines", "charts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "charts.yaml")
	t.Chdir(root) // the plugins' folder begins there
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := runPipeline(ctx, file, runFlags{listen: "127.0.0.1:0", logLevel: "warn"}, in)
		ended <- errors.Join(err, in.Close())
	}()
	addr, lines := followed(t, out)
	go func() {
		for range lines {
		}
	}()
	testserver.Eventually(t, 3*time.Minute, "readiness", func() error { _, err := get(addr, "/readyz"); return err })

	const from, to = `convert: ["F->C"]`, `convert: ["C->F"]`
	if !strings.Contains(string(text), from) || strings.Count(blocks["test reload"], "\n") != 1 {
		t.Fatal("charts.yaml does not say what the README changes")
	}
	write(strings.Replace(string(text), from, to, 1))
	args, ok := strings.CutPrefix(strings.TrimSpace(blocks["test reload"]), "go run ./cmd/engine ")
	code, printed, errs := command(append(strings.Fields(args), "--server", "http://"+addr)...)
	first := regexp.MustCompile(`^reload reload-\w+-\d+ of \S+: applied in [\d.]+ s, no part stood still for longer than [\d.]+ s\n`)
	want := blocks["output reload"]
	if !ok || code != exitOK || !first.MatchString(want) || !first.MatchString(printed) || first.ReplaceAllString(printed, "") != first.ReplaceAllString(want, "") {
		t.Errorf("code %d, %s%s; the README shows\n%s", code, printed, errs, want)
	}
	testserver.Eventually(t, time.Minute, "rows", func() error { return rowsArrive(addr) })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}
