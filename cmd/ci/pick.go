package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// picker narrows package patterns to the packages worth compiling. Its zero
// value keeps the patterns as they are.
type picker struct {
	without string // import path that the tests must not need, however far down
	only    string // import path that the tests must need
	having  string // prefix that the name of some test must have
}

func (p picker) choose(ctx context.Context, patterns []string) ([]string, error) {
	if p == (picker{}) {
		return patterns, nil
	}
	needs, err := goList(ctx, patterns, "-test", "-f", `{{if .ForTest}}{{.ForTest}} {{join .Deps " "}}{{end}}`)
	if err != nil {
		return nil, err
	}
	files, err := goList(ctx, patterns, "-f",
		`{{$d := .Dir}}{{.ImportPath}}{{range .TestGoFiles}} {{$d}}/{{.}}{{end}}{{range .XTestGoFiles}} {{$d}}/{{.}}{{end}}`)
	if err != nil {
		return nil, err
	}
	var chosen []string
	for pkg, deps := range needs {
		if p.fits(deps, files[pkg]) {
			chosen = append(chosen, pkg)
		}
	}
	slices.Sort(chosen)
	return chosen, nil
}

// fits decides about one package by what its tests need and are written in.
func (p picker) fits(deps, testFiles []string) bool {
	switch {
	case p.without != "" && slices.Contains(deps, p.without):
		return false
	case p.only != "" && !slices.Contains(deps, p.only):
		return false
	case p.having != "":
		return slices.ContainsFunc(testFiles, func(file string) bool {
			text, err := os.ReadFile(filepath.Clean(file))
			return err == nil && strings.Contains(string(text), "\nfunc "+p.having)
		})
	}
	return true
}

// goList returns the words of go list's lines by each line's first word; lines
// with the same first word are joined.
func goList(ctx context.Context, patterns []string, args ...string) (map[string][]string, error) {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"list"}, args, patterns)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	words := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if w := strings.Fields(line); len(w) > 0 {
			words[w[0]] = append(words[w[0]], w[1:]...)
		}
	}
	return words, nil
}
