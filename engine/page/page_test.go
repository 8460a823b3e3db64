package page

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const maxFirstLoad = 55_000 // bytes, gzip

func gzipped(t *testing.T, b []byte) int {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]+)"`)

func TestFirstLoadIsSmall(t *testing.T) {
	index := read(t, "index.html")
	total := gzipped(t, index)
	for _, m := range reference.FindAllSubmatch(index, -1) {
		name := strings.TrimPrefix(string(m[1]), "./")
		if strings.Contains(name, ":") || strings.HasPrefix(name, "/") {
			t.Errorf("index.html refers to %q, which is not a file beside it", name)
			continue
		}
		total += gzipped(t, read(t, name))
	}
	t.Logf("first load: %d bytes gzip", total)
	if total > maxFirstLoad {
		t.Errorf("first load is %d bytes gzip, more than %d", total, maxFirstLoad)
	}
}

const maxGraph = 25_000 // bytes, gzip, of what the graph view fetches

func TestGraphIsSmall(t *testing.T) {
	names, err := fs.Glob(Files(), "assets/graph-*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files of the graph view: %v", err)
	}
	total := 0
	for _, name := range names {
		total += gzipped(t, read(t, name))
	}
	t.Logf("graph view: %d bytes gzip", total)
	if total > maxGraph {
		t.Errorf("the graph view is %d bytes gzip, more than %d", total, maxGraph)
	}
}

// absolute finds addresses that a browser would fetch from; namespaces are names.
var absolute = regexp.MustCompile(`https?://[a-zA-Z0-9.-]+`)

func TestPageUsesNothingFromTheNetwork(t *testing.T) {
	namespaces := []string{"http://www.w3.org"}
	err := fs.WalkDir(Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		for _, address := range absolute.FindAllString(string(read(t, path)), -1) {
			if !slices.Contains(namespaces, address) {
				t.Errorf("%s names %s", path, address)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources are the files of the page's TypeScript.
func sources(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir("src", func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(filepath.Ext(path), ".ts") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("%d source files: %v", len(files), err)
	}
	return files
}

func TestSourceNeverBuildsMarkupFromData(t *testing.T) {
	files := sources(t)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s uses %s", f, word)
			}
		}
	}
}

func TestLockFileNamesNoRegistry(t *testing.T) {
	b, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(`"resolved"`)) || bytes.Contains(b, []byte("://registry")) {
		t.Error(`package-lock.json has "resolved" lines; .npmrc leaves them out`)
	}
}

// node returns the Node program, or skips with the reason.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		skip(t, "node is not installed")
	}
	out, err := exec.Command(path, "-p", "const [a, b] = process.versions.node.split('.').map(Number); a > 20 || a === 20 && b >= 19").Output()
	if err != nil || strings.TrimSpace(string(out)) != "true" {
		skip(t, "node is older than 20.19")
	}
	if _, err := os.Stat("node_modules/vite"); err != nil {
		skip(t, "the page's packages are not installed: run `go tool task ui`")
	}
	return path
}

// skip skips with a printed reason.
func skip(t *testing.T, reason string) {
	t.Helper()
	t.Skipf("not checked: %s", reason)
}

// TestPageRebuildLeavesTheTreeClean builds the page anew beside the committed one.
func TestPageRebuildLeavesTheTreeClean(t *testing.T) {
	program, out := node(t), t.TempDir()
	build := exec.CommandContext(t.Context(), program, "node_modules/vite/bin/vite.js", "build", "--outDir", out, "--logLevel", "error")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("vite build: %v\n%s", err, text)
	}
	got, want := tree(t, os.DirFS(out)), tree(t, Files())
	for name, content := range want {
		if got[name] != content {
			t.Errorf("dist/%s differs from what its source builds: run `go tool task ui` and commit dist", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("a build makes %d files, dist has %d", len(got), len(want))
	}
}

func tree(t *testing.T, files fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPageUnitTests runs the page's own unit tests.
func TestPageUnitTests(t *testing.T) {
	run := exec.CommandContext(t.Context(), node(t), "node_modules/vitest/vitest.mjs", "run")
	if text, err := run.CombinedOutput(); err != nil {
		t.Fatalf("vitest: %v\n%s", err, text)
	}
}
