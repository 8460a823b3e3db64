package main

import (
	"fmt"
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

// TestPluginOperationsOfTheReadme runs the README's commands against a running engine
// whose plugin folder is the test's own.
func TestPluginOperationsOfTheReadme(t *testing.T) {
	blocks := readmeBlocks(t)
	bin, dist := t.TempDir(), t.TempDir()
	module, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	testserver.Plugin(t, module, bin, "1.0.0", nil)
	testserver.Plugin(t, module, dist, "1.1.0", nil)
	server := startOperated(t, bin)
	var printed strings.Builder
	for line := range strings.Lines(blocks["test operate"]) {
		line = strings.TrimSpace(line)
		args, ok := strings.CutPrefix(strings.Replace(line, "./dist", dist, 1), "go run ./cmd/engine ")
		args, reason, _ := strings.Cut(args, " --reason ")
		list := append(strings.Fields(args), "--server", server)
		if reason != "" {
			list = append(list, "--reason", strings.Trim(reason, "'"))
		}
		code, out, errs := command(list...)
		if !ok || code != exitOK {
			t.Fatalf("%s: code %d, %s%s", line, code, out, errs)
		}
		printed.WriteString(out)
	}
	for _, want := range []string{
		"scale   1.0.0", ": done: node \"celsius\" runs scale@1.1.0#", "  node celsius: scale@1.0.0#", "runs scale@1.0.0#", "lanes, each still for ",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the commands do not print %q:\n%s", want, printed.String())
		}
	}
	code, out, errs := command("plugin", "ls", "--json", "--server", server)
	if code != exitOK || !strings.Contains(out, `"reason": "wrong factor for psi"`) || !strings.Contains(out, `"state": "quarantined"`) {
		t.Errorf("ls --json: code %d, %s%s", code, out, errs)
	}
	code, _, errs = command("plugin", "promote", "scale@1.0.0", "--server", server)
	if code != exitFindings || errs == "" {
		t.Errorf("promoting what is quarantined: code %d, %s; want it refused", code, errs)
	}
	code, _, errs = command("plugin", "install", "../scale@1", "--server", server)
	if code == exitOK {
		t.Errorf("installing what is not there: code %d, %s", code, errs)
	}
}

// startOperated runs charts.yaml with programs from bin and short trials, until it is
// ready, and returns its URL.
func startOperated(t *testing.T, bin string) (server string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "pipelines/charts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "charts.yaml")
	settings := fmt.Sprintf("\nplugins: { dir: %q, trial: 300ms }\nnodes:\n", bin)
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "\nnodes:\n", settings, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, addr := startReadme(t, "go run ./cmd/engine run "+file, nil)
	testserver.Eventually(t, 2*time.Minute, "the engine to be ready", func() error {
		_, err := get(addr, "/readyz")
		return err
	})
	return "http://" + addr
}
