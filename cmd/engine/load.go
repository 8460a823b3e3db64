package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

// maxStdin bounds a pipeline file that is read from standard input; the reader
// itself refuses less.
const maxStdin = 2 << 20

// load reads a pipeline file, or standard input if file is "-".
func load(file string, stdin io.Reader) (*spec.Pipeline, []spec.Diagnostic) {
	if file != "-" {
		return spec.Load(file, catalog.Builtin(), os.LookupEnv)
	}
	data, err := io.ReadAll(io.LimitReader(stdin, maxStdin))
	if err != nil {
		return nil, []spec.Diagnostic{{Severity: spec.Error, File: "-", Code: spec.Unreadable, Message: err.Error()}}
	}
	return spec.Parse("-", data, catalog.Builtin(), os.LookupEnv)
}

// loadPlan reads and plans the pipeline file at path. What is wrong with it is
// printed to out, one line each; the error then only carries the exit code.
func loadPlan(path string, out io.Writer) (*spec.Pipeline, *plan.Plan, error) {
	p, made, diags := planned(path, os.Stdin)
	for _, d := range diags {
		if d.Severity == spec.Error {
			fmt.Fprintln(out, d)
		}
	}
	if made == nil {
		return nil, nil, told(failure(diags))
	}
	return p, made, nil
}

func planned(file string, stdin io.Reader) (*spec.Pipeline, *plan.Plan, []spec.Diagnostic) {
	p, diags := load(file, stdin)
	if p == nil {
		return nil, nil, diags
	}
	made, more := plan.Make(p)
	return p, made, append(diags, more...)
}

// failure is the exit code of a pipeline file with errors.
func failure(diags []spec.Diagnostic) int {
	if slices.ContainsFunc(diags, func(d spec.Diagnostic) bool { return d.Code == spec.Unreadable }) {
		return exitEnvironment
	}
	return exitConfig
}
