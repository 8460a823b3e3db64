package pluginkit_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/pluginkit"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// comments are whole lines, and texts in triple quotes.
var comments = regexp.MustCompile(`(?s)""".*?"""|(?m)^\s*(//|#).*$`)

// codeLines counts the lines of a file that are neither empty nor a comment.
func codeLines(t *testing.T, path string) int {
	t.Helper()
	return len(regexp.MustCompile(`\S.*`).FindAllString(comments.ReplaceAllString(read(t, path), ""), -1))
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
		language, main string
		most           int
	}{{"go", "main.go", 12}, {"python", "main.py", 8}} {
		files, err := pluginkit.Scaffold(source, "new-"+c.language, c.language)
		if err != nil {
			t.Fatal(err)
		}
		main := filepath.Join(source, "new-"+c.language, c.main)
		if n := codeLines(t, main); n > c.most || !slices.Contains(files, main) {
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
func workshop(t *testing.T, language string) (string, *pluginhost.Host) {
	t.Helper()
	if language == "python" {
		testserver.Require(t, "python3")
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	source, err := os.MkdirTemp("testdata", "workshop-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(source) })
	if err := os.CopyFS(filepath.Join(source, "sdk", "python"), os.DirFS("../../plugins/sdk/python")); err != nil {
		t.Fatal(err)
	}
	return source, pluginhost.New(pluginhost.Config{Dir: filepath.Join(t.TempDir(), "bin"), SourceDir: source, StartTimeout: time.Minute})
}

// lines of the examples and of the main file that the test below breaks.
var breaks = map[string]struct{ main, code, broken, want string }{
	"go":     {"main.go", "v+c.Offset", "v+oops", "undefined: oops"},
	"python": {"main.py", "import millrace", "import milrace", "No module named 'milrace'"},
}

// TestPluginFromNewToTested makes a plugin, builds it, and holds it to its
// examples; then it breaks an example, and the plugin.
func TestPluginFromNewToTested(t *testing.T) {
	for _, language := range pluginkit.Languages {
		t.Run(language, func(t *testing.T) {
			source, host := workshop(t, language)
			if _, err := pluginkit.Scaffold(source, "fresh", language); err != nil {
				t.Fatal(err)
			}
			bin, err := host.Build(t.Context(), "fresh")
			if err != nil || bin.Version != "0.1.0" || len(bin.Hash) != 64 {
				t.Fatalf("build: %+v, %v", bin, err)
			}
			if trial := tried(t, host, source); !trial.OK() || trial.Binary != bin {
				t.Errorf("a new plugin fails: %+v", trial)
			}
			edit(t, filepath.Join(source, "fresh", "examples", "examples.yaml"), "value: 20.5", "value: 21.5")
			trial := tried(t, host, source)
			if trial.OK() || len(trial.Cases[0].Broken) != 1 {
				t.Fatalf("a wrong example passes: %+v", trial)
			}
			if text := trial.Cases[0].Broken[0].Error(); !strings.Contains(text, `- output 0 record value: float "21.5"`) ||
				!strings.Contains(text, `+ output 0 record value: float "20.5"`) {
				t.Errorf("it says %s", text)
			}
			b := breaks[language]
			edit(t, filepath.Join(source, "fresh", b.main), b.code, b.broken)
			if _, err := host.Build(t.Context(), "fresh"); err == nil || !strings.Contains(err.Error(), b.want) {
				t.Errorf("building what is broken: %v", err)
			}
		})
	}
}

func tried(t *testing.T, host *pluginhost.Host, source string) *pluginkit.Trial {
	t.Helper()
	trial, err := pluginkit.Try(t.Context(), host, source, "fresh")
	if err != nil || len(trial.Cases) != 2 {
		t.Fatalf("%+v, %v", trial, err)
	}
	return trial
}

// TestPluginOwnTestsInPython runs the test that a new plugin in Python has.
func TestPluginOwnTestsInPython(t *testing.T) {
	source, _ := workshop(t, "python")
	if _, err := pluginkit.Scaffold(source, "fresh", "python"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-B", "-m", "unittest", "discover", filepath.Join(source, "fresh"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Ran 2 tests") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPluginWithWrongConfigurationSaysItOnce(t *testing.T) {
	source, host := workshop(t, "go")
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
	source, host := workshop(t, "go")
	if _, err := pluginkit.Try(t.Context(), host, source, "none"); !errors.Is(err, pluginkit.ErrNoExamples) {
		t.Errorf("%v", err)
	}
	if _, err := pluginkit.Try(t.Context(), host, source, "../x"); err == nil {
		t.Error("a wrong name is accepted")
	}
}
