package pluginhost_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/pluginhost"
)

// TestExamine: it finds what Resolve finds, lists what does not fit, and refuses a
// reference that is none.
func TestExamine(t *testing.T) {
	host := fakeBinaries(t, "scale@1.0.0", "scale@1.10.0", "scale@2.0.0-rc.1")
	for ref, want := range map[string]string{"scale": "1.10.0", "scale@~1.0": "1.0.0", "scale@^2": "", "other@^1": ""} {
		p, err := host.Examine(ref)
		if err != nil || p.Version != want || (p.Path != "") != (want != "") || p.Builds || p.Source != "" {
			t.Errorf("%s: %+v, %v; want version %q", ref, p, err, want)
		}
	}
	p, err := host.Examine("scale@^9")
	if err != nil || !slices.Equal(p.Versions, []string{"2.0.0-rc.1", "1.10.0", "1.0.0"}) {
		t.Errorf("versions %+v, %v", p, err)
	}
	if _, err := host.Examine("../scale@^1"); err == nil || !strings.Contains(err.Error(), "a name is") {
		t.Errorf("error %v", err)
	}
}

// TestExamineSource: a source that no binary is younger than would be built, where
// Go is; nothing is built by looking.
func TestExamineSource(t *testing.T) {
	root := t.TempDir()
	source, bin, tools := filepath.Join(root, "plugins"), filepath.Join(root, "bin"), filepath.Join(root, "tools")
	for _, dir := range []string{filepath.Join(source, "scale"), tools} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program(t, filepath.Join(source, "scale", "main.go"))
	host := pluginhost.New(pluginhost.Config{Dir: bin, SourceDir: source})
	t.Setenv("PATH", tools)
	if p, err := host.Examine("scale@^1"); err != nil || p.Builds || p.Lacks != "golang" || p.Source != filepath.Join(source, "scale") {
		t.Errorf("without Go: %+v, %v", p, err)
	}
	program(t, filepath.Join(tools, "go"))
	if p, err := host.Examine("scale@^1"); err != nil || !p.Builds || p.Lacks != "" {
		t.Errorf("with Go: %+v, %v", p, err)
	}
	if _, err := os.Stat(bin); err == nil {
		t.Error("the folder of binaries was made")
	}
}

func program(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("package main\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
