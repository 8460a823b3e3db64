package pluginkit_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/pluginkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// codeLines counts the lines of a file that are neither empty nor a comment.
func codeLines(t *testing.T, path, comment string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(read(t, path)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, comment) {
			n++
		}
	}
	return n
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func edit(t *testing.T, path, old, with string) {
	t.Helper()
	text := read(t, path)
	if !strings.Contains(text, old) {
		t.Fatalf("%s does not hold %q", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(text, old, with, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestANewPluginIsShort(t *testing.T) {
	source := t.TempDir()
	for _, c := range []struct {
		language, main, comment string
		most                    int
	}{{"go", "main.go", "//", 12}} {
		files, err := pluginkit.Scaffold(source, "new-"+c.language, c.language)
		if err != nil {
			t.Fatal(err)
		}
		main := filepath.Join(source, "new-"+c.language, c.main)
		if n := codeLines(t, main, c.comment); n > c.most || !slices.Contains(files, main) {
			t.Errorf("%s: %d lines of code, at most %d; files %v", c.language, n, c.most, files)
		}
	}
}

func TestScaffoldRefuses(t *testing.T) {
	source := t.TempDir()
	if err := os.Mkdir(filepath.Join(source, "there"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ source, name, language, want string }{
		{source, "there", "go", "is there already"},
		{source, "../up", "go", "a name is"},
		{source, "", "go", "a name is"},
		{source, "Upper", "go", "a name is"},
		{source, "bin", "go", "the name is taken"},
		{source, "x", "rust", `language "rust"`},
		{filepath.Join(source, "none"), "x", "go", "there is no folder"},
		{filepath.Join(source, "none"), "X", "rust", "language"}, // all at once
	} {
		_, err := pluginkit.Scaffold(c.source, c.name, c.language)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Scaffold(%q, %q) = %v; want %q in it", c.name, c.language, err, c.want)
		}
	}
	if entries, err := os.ReadDir(source); err != nil || len(entries) != 1 {
		t.Errorf("something was left behind: %v, %v", entries, err)
	}
}

// workshop is a folder of sources inside the module, so that what is made there
// can be built, and a host for it.
func workshop(t *testing.T) (string, *pluginhost.Host) {
	t.Helper()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	source, err := os.MkdirTemp("testdata", "workshop-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(source) })
	return source, pluginhost.New(pluginhost.Config{Dir: filepath.Join(t.TempDir(), "bin"), SourceDir: source, StartTimeout: time.Minute})
}

// TestPluginFromNewToTested makes a plugin, builds it, and holds it to its
// examples; then it breaks an example, and the plugin.
func TestPluginFromNewToTested(t *testing.T) {
	source, host := workshop(t)
	if _, err := pluginkit.Scaffold(source, "fresh", "go"); err != nil {
		t.Fatal(err)
	}
	bin, err := host.Build(t.Context(), "fresh")
	if err != nil || bin.Version != "0.1.0" || len(bin.Hash) != 64 {
		t.Fatalf("build: %+v, %v", bin, err)
	}
	tried := func() *pluginkit.Trial {
		t.Helper()
		trial, err := pluginkit.Try(t.Context(), host, source, "fresh")
		if err != nil || len(trial.Cases) != 2 {
			t.Fatalf("%+v, %v", trial, err)
		}
		return trial
	}
	if trial := tried(); !trial.OK() || trial.Binary != bin {
		t.Errorf("a new plugin fails: %+v", trial)
	}
	edit(t, filepath.Join(source, "fresh", "examples", "examples.yaml"), "value: 20.5", "value: 21.5")
	trial := tried()
	if trial.OK() || len(trial.Cases[0].Broken) != 1 {
		t.Fatalf("a wrong example passes: %+v", trial)
	}
	if text := trial.Cases[0].Broken[0].Error(); !strings.Contains(text, `- output 0 record value: float "21.5"`) ||
		!strings.Contains(text, `+ output 0 record value: float "20.5"`) {
		t.Errorf("it says %s", text)
	}
	edit(t, filepath.Join(source, "fresh", "main.go"), "v+c.Offset", "v+oops")
	if _, err := host.Build(t.Context(), "fresh"); err == nil || !strings.Contains(err.Error(), "undefined: oops") {
		t.Errorf("building what does not compile: %v", err)
	}
}

func TestPluginWithWrongConfigurationSaysItOnce(t *testing.T) {
	source, host := workshop(t)
	if _, err := pluginkit.Scaffold(source, "fresh", "go"); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(source, "fresh", "examples", "examples.yaml"), "offset: 0.5", "offsett: 0.5")
	trial, err := pluginkit.Try(t.Context(), host, source, "fresh")
	if err != nil {
		t.Fatal(err)
	}
	if c := trial.Cases[0]; len(c.Broken) != 1 || !strings.Contains(c.Broken[0].Error(), "offsett") {
		t.Errorf("%v", c.Broken)
	}
}

func TestTryNeedsExamples(t *testing.T) {
	source, host := workshop(t)
	if _, err := pluginkit.Try(t.Context(), host, source, "none"); !errors.Is(err, pluginkit.ErrNoExamples) {
		t.Errorf("%v", err)
	}
	if _, err := pluginkit.Try(t.Context(), host, source, "../x"); err == nil {
		t.Error("a wrong name is accepted")
	}
}
