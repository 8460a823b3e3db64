package catalog

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/spec"
)

func TestEveryPipelineOfTheProjectLoads(t *testing.T) {
	files, err := filepath.Glob("../../pipelines/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pipelines: %v", err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err != nil || spec.KindOf(data) == topology.Kind {
			continue // engine/cluster/topology loads it
		}
		p, diags := spec.Load(file, Builtin(), nil)
		for _, d := range diags {
			if d.Severity != spec.Note {
				t.Errorf("%s", d)
			}
		}
		if p == nil {
			t.Errorf("%s does not load", file)
		}
	}
}

var update = flag.Bool("update", false, "rewrite the golden files")

// TestErrorCorpus loads every broken pipeline and compares what is said about it.
func TestErrorCorpus(t *testing.T) {
	files, err := filepath.Glob("../../testdata/pipelines/errors/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("the corpus has %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, diags := spec.Parse(filepath.Base(file), data, Builtin(), nil)
			if p != nil || !spec.HasErrors(diags) {
				t.Error("the file passes for a good one")
			}
			var out strings.Builder
			for _, d := range diags {
				fmt.Fprintln(&out, d)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", out.String())
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
