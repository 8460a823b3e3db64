// Reliability writes RELIABILITY.md: what the fault tests have shown when they ran
// last, beside what is promised and what a person has to do. It reads the events of
// `go test -json`, in which the tests print one line of proof for each verdict; it
// runs no test itself and knows nothing of the engine.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "reliability:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("reliability", flag.ContinueOnError)
	events := flags.String("events", "", "file with the events of go test -json")
	out := flags.String("out", "RELIABILITY.md", "file to write")
	form := flags.String("form", "long form", "how the tests were run")
	machine := flags.String("machine", "two cores", "what they ran on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	in, err := os.Open(*events)
	if err != nil {
		return err
	}
	defer in.Close()
	seen, err := read(in)
	if err != nil {
		return fmt.Errorf("%s: %w", *events, err)
	}
	var text bytes.Buffer
	if err := write(&text, seen, *form, *machine); err != nil {
		return err
	}
	return os.WriteFile(*out, text.Bytes(), 0o644)
}

//go:embed reliability.md.tmpl
var document string

var page = template.Must(template.New("document").Parse(document))

// errNothing keeps a run that never came to a test from replacing the figures of
// one that did.
var errNothing = errors.New("no test has ended in these events")

func write(out io.Writer, seen *results, form, machine string) error {
	if len(seen.outcome) == 0 {
		return errNothing
	}
	return page.Execute(out, struct {
		Date, Form, Machine     string
		Passed, Failed, Skipped int
		Table, Others, Refused  string
	}{
		seen.began.Format(time.DateOnly), form, machine, seen.count("passed"), seen.count(failed), seen.count("skipped"),
		seen.table(rows), seen.table(seen.others(rows)), seen.refusals(),
	})
}

// table renders rows as a table of Markdown, none as nothing.
func (r *results) table(rows []row) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| row | what is done | test | outcome | faults | events | lost | doubled | out of order | goes on after, p50 / p95 | control |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range rows {
		for i, name := range row.names {
			p := r.proofs[name]
			what, control := row.what, r.named(row.controls)
			if i > 0 {
				what, control = "", ""
			}
			fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, what, row.tests[i],
				r.of(row.tests[i]), p.times(), p["events"], p["lost"], p["doubled"], p["disordered"], p.pace(), control)
		}
	}
	return b.String()
}

// named lists tests with their outcomes.
func (r *results) named(tests []string) string {
	var out []string
	for _, test := range tests {
		out = append(out, fmt.Sprintf("`%s` %s", test, r.of(test)))
	}
	return strings.Join(out, "<br>")
}

// refusals lists tests without a ledger: what must be refused, and is.
func (r *results) refusals() string {
	var b strings.Builder
	b.WriteString("| what must happen | test | outcome |\n|---|---|---|\n")
	for _, c := range refusals {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", c.what, c.test, r.of(c.test))
	}
	return b.String()
}
