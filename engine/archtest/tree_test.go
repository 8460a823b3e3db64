package archtest

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/millrace/millrace"

// root is the repository's folder, seen from this one.
const root = "../.."

// source is one parsed Go file of the tree.
type source struct {
	path      string // from the root, with slashes
	pkg       string // import path of its folder
	text      string
	file      *ast.File
	test      bool
	generated bool
}

// line is the line number of p.
func (s *source) line(p token.Pos) int { return fset.Position(p).Line }

var fset = token.NewFileSet()

// sources parses the Go files of the tree once.
var sources = sync.OnceValues(func() ([]*source, error) {
	files, err := tracked()
	if err != nil {
		return nil, err
	}
	var all []*source
	var errs []error
	for _, path := range files {
		if !strings.HasSuffix(path, ".go") || strings.Contains(path, "testdata/") {
			continue
		}
		s, err := parse(path)
		if errors.Is(err, fs.ErrNotExist) { // deleted, not committed yet
			continue
		}
		errs = append(errs, err)
		all = append(all, s)
	}
	return all, errors.Join(errs...)
})

func parse(path string) (*source, error) {
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{
		path: path, text: string(text), file: file,
		pkg:       module + "/" + filepath.ToSlash(filepath.Dir(path)),
		test:      strings.HasSuffix(path, "_test.go"),
		generated: ast.IsGenerated(file),
	}, nil
}

// tracked lists the files that git tracks; without git, all files but those of
// folders that git would not track.
var tracked = sync.OnceValues(func() ([]string, error) {
	out, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err == nil && len(out) > 0 {
		return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00"), nil
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "node_modules", "bin", ".task"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			rel, err := filepath.Rel(root, path)
			files = append(files, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	return files, err
})

// tree is the parsed tree, or the end of the test.
func tree(t *testing.T) []*source {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files found from %s", len(all), root)
	}
	return all
}
