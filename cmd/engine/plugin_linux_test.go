package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// TestPluginOfTheReadme goes the README's way from nothing to the first event
// that a new plugin made in a running engine; only the name is another one, so
// that nobody's folder is touched.
func TestPluginOfTheReadme(t *testing.T) {
	blocks := readmeBlocks(t)
	const name = "readme_smooth"
	remove := func() {
		_ = os.RemoveAll(filepath.Join(root, "plugins", name))
		programs, _ := filepath.Glob(filepath.Join(root, "plugins/bin", name+"@*")) // the pattern is sound
		for _, program := range programs {
			_ = os.Remove(program)
		}
	}
	remove() // what a run that was cut short has left
	t.Cleanup(remove)
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(blocks["test plugin"], "smooth", name)), "\n")
	t.Chdir(root)
	for _, line := range lines[:len(lines)-1] {
		args, ok := strings.CutPrefix(line, "go run ./cmd/engine ")
		if code, out, errs := command(strings.Fields(args)...); !ok || code != exitOK {
			t.Fatalf("%s: code %d, %s%s", line, code, out, errs)
		}
	}
	t.Chdir("cmd/engine") // where startReadme counts from
	_, addr := startReadme(t, lines[len(lines)-1], nil)
	line, _ := strings.CutPrefix(strings.TrimSpace(strings.ReplaceAll(blocks["test plugintap"], "smooth", name)), "go run ./cmd/engine ")
	testserver.Eventually(t, 2*time.Minute, "an answer to tap", func() error {
		_, err := get(addr, "/readyz")
		return err
	})
	code, out, errs := command(append(strings.Fields(line), "--server", "http://"+addr)...)
	if code != exitOK || strings.Count(out, `"value":`) != 2 {
		t.Errorf("tap: code %d, %s%s", code, out, errs)
	}
}
