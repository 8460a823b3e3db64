package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/spec"
)

// checked is what `validate` and `lint` say about one file.
type checked struct {
	File        string            `json:"file"`
	OK          bool              `json:"ok"`
	Name        string            `json:"name,omitempty"`
	Nodes       int               `json:"nodes"`
	Diagnostics []spec.Diagnostic `json:"diagnostics"`

	about string // what the file is, in a few words
	code  int
}

// report is the JSON object of `validate` and `lint`.
type report struct {
	OK    bool      `json:"ok"`
	Files []checked `json:"files"`
}

func newValidateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Report everything that is wrong with pipeline and cluster files",
		Long: `Validate reads pipeline files and cluster files and reports every error at once, with its line and
column. It connects to nothing. A FILE of - is standard input.`,
		Example: `  engine validate pipelines/charts.yaml
  engine validate --json pipelines/*.yaml`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd, args, func(d spec.Diagnostic) bool { return d.Severity == spec.Error }, false)
		},
	}
}

func newLintCmd() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Report errors and what may not be meant",
		Long: `Lint reports the errors that validate reports, warnings about what runs but may
not be meant, and notes on what a pipeline needs, such as memory.`,
		Example: `  engine lint pipelines/charts.yaml
  engine lint --strict pipelines/*.yaml`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd, args, func(spec.Diagnostic) bool { return true }, strict)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings fail, with exit code 1")
	return cmd
}

// check reads every file, prints the diagnostics that are shown and returns the
// sternest exit code.
func check(cmd *cobra.Command, files []string, shown func(spec.Diagnostic) bool, strict bool) error {
	r := report{OK: true}
	code := exitOK
	for _, file := range files {
		c := checkFile(file, cmd.InOrStdin(), shown, strict)
		r.Files = append(r.Files, c)
		r.OK = r.OK && c.OK
		code = max(code, c.code)
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd.OutOrStdout(), r); err != nil {
			return err
		}
	} else {
		r.print(cmd.OutOrStdout())
	}
	if code != exitOK {
		return told(code)
	}
	return nil
}

func checkFile(file string, stdin io.Reader, shown func(spec.Diagnostic) bool, strict bool) checked {
	c, diags := readKind(file, stdin)
	for _, d := range diags {
		if shown(d) {
			c.Diagnostics = append(c.Diagnostics, d)
		}
		if strict && d.Severity == spec.Warning {
			c.OK, c.code = false, exitFindings
		}
	}
	if spec.HasErrors(diags) {
		c.code = failure(diags)
	}
	return c
}

// readKind reads a pipeline or a cluster file, as its `kind:` says.
func readKind(file string, stdin io.Reader) (checked, []spec.Diagnostic) {
	c := checked{File: file, Diagnostics: []spec.Diagnostic{}}
	data, err := readAll(file, stdin)
	if err == nil && spec.KindOf(data) == topology.Kind {
		t, diags := topology.Parse(file, data, os.LookupEnv)
		if t != nil {
			c.OK, c.Name, c.Nodes = true, t.Name, len(t.Nodes)
			c.about = fmt.Sprintf("cluster %s, %d nodes, %d queues, profile %s", t.Name, len(t.Nodes), len(t.Queues), t.Profile)
		}
		return c, diags
	}
	p, made, diags := planned(file, bytes.NewReader(data))
	if p != nil {
		c.Name, c.Nodes = p.Name, len(p.Nodes)
	}
	if made != nil {
		c.OK, c.about = true, fmt.Sprintf("pipeline %s, %s", p.Name, census(p))
	}
	return c, diags
}

// readAll reads a file, or standard input if file is "-". A file that cannot be
// read is reported by its reader.
func readAll(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(stdin, maxStdin))
	}
	return os.ReadFile(file)
}

func (r *report) print(w io.Writer) {
	for _, c := range r.Files {
		for _, d := range c.Diagnostics {
			fmt.Fprintln(w, d)
		}
		if c.OK {
			fmt.Fprintf(w, "%s: ok: %s\n", c.File, c.about)
		}
	}
}

// census counts a pipeline's nodes by kind: "4 sources, 1 sink".
func census(p *spec.Pipeline) string {
	var parts []string
	for _, kind := range []spec.Kind{spec.Source, spec.Transform, spec.Plugin, spec.Sink} {
		n := 0
		for i := range p.Nodes {
			if p.Nodes[i].Kind() == kind {
				n++
			}
		}
		switch n {
		case 0:
		case 1:
			parts = append(parts, "1 "+string(kind))
		default:
			parts = append(parts, fmt.Sprintf("%d %ss", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}
