package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// test runs go test -json and prints what a reader needs: a line a package, the
// whole output of what failed, every skip with its reason, and the totals.
// Where MILLRACE_NO_SKIP=1, a skip fails unless -may-skip matches the test.
func test(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ci test", flag.ContinueOnError)
	maySkip := flags.String("may-skip", "^$", "tests that may be skipped")
	var pick picker
	flags.StringVar(&pick.without, "without", "", "leave out packages whose tests need this one")
	flags.StringVar(&pick.only, "only", "", "leave out packages whose tests do not need this one")
	flags.StringVar(&pick.having, "having", "", "leave out packages without a test of this prefix")
	keep := flags.String("keep", "", "file that keeps the events of go test -json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	allowed, err := regexp.Compile(*maySkip)
	if err != nil {
		return fmt.Errorf("-may-skip: %w", err)
	}
	goFlags, patterns := split(flags.Args())
	pkgs, err := pick.choose(ctx, patterns)
	if err != nil {
		return err
	}
	if len(pkgs) == 0 {
		fmt.Fprintln(out, "ci test: no package to test")
		return nil
	}
	r := &report{out: out, kept: io.Discard, allowed: allowed, strict: os.Getenv("MILLRACE_NO_SKIP") == "1"}
	args = slices.Concat([]string{"go", "test", "-json"}, goFlags, pkgs)
	if *keep == "" {
		return r.run(ctx, args)
	}
	kept, err := os.Create(*keep)
	if err != nil {
		return err
	}
	r.kept = kept
	return errors.Join(r.run(ctx, args), kept.Close())
}

// split parts go test's own flags from the package patterns at the end.
func split(args []string) (flags, patterns []string) {
	i := len(args)
	for i > 0 && (strings.HasPrefix(args[i-1], "./") || args[i-1] == ".") {
		i--
	}
	return args[:i], args[i:]
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// report turns events into text. It is used from one goroutine.
type report struct {
	out     io.Writer
	kept    io.Writer // gets every line as it is
	allowed *regexp.Regexp
	strict  bool

	said                    map[string][]string // output so far, by package and test
	passed, failed, skipped int
	refused                 []string // skips that may not be
	reasons                 []string // what failed tests said, in short
}

func (r *report) run(ctx context.Context, args []string) error {
	cmd := command(ctx, args...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.read(pipe)
	err = cmd.Wait()
	for _, test := range slices.Sorted(maps.Keys(r.said)) { // ended in the middle
		fmt.Fprintf(r.out, "FAIL  %s did not come to its end\n", test)
		r.print(test)
	}
	fmt.Fprintf(r.out, "tests: %d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	fmt.Fprint(r.out, strings.Join(r.reasons, ""))
	for _, test := range r.refused {
		fmt.Fprintf(r.out, "FAIL  %s was skipped, and MILLRACE_NO_SKIP=1 forbids that\n", test)
	}
	if err != nil || r.failed > 0 || len(r.refused) > 0 {
		return errors.Join(errQuiet, context.Cause(ctx))
	}
	return nil
}

// read consumes events until the stream ends; lines that are none are printed.
func (r *report) read(stream io.Reader) {
	r.said = map[string][]string{}
	in := bufio.NewReader(stream)
	for {
		line, err := in.ReadBytes('\n')
		r.kept.Write(line)
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil:
			r.out.Write(line)
		case e.Test != "":
			r.testEvent(e)
		default:
			r.packageEvent(e)
		}
		if err != nil {
			return
		}
	}
}

func (r *report) testEvent(e event) {
	key := e.Package + "." + e.Test
	switch e.Action {
	case "output":
		r.said[key] = append(r.said[key], e.Output)
	case "pass":
		r.passed++
		delete(r.said, key)
	case "fail":
		r.failed++
		r.reasons = append(r.reasons, fmt.Sprintf("FAIL  %s\n", key))
		r.reasons = append(r.reasons, reasonsIn(r.said[key])...)
		r.print(key)
	case "skip":
		r.skipped++
		r.print(key)
		if r.strict && !r.allowed.MatchString(e.Test) {
			r.refused = append(r.refused, key)
		}
	}
}

// reasonsIn picks the lines in which a test itself speaks, such as
// "    order_test.go:12: 3 rows, want 4", and leaves out the logs of its servers.
func reasonsIn(lines []string) (own []string) {
	for _, line := range lines {
		if len(own) < maxReasons && speaks.MatchString(line) {
			own = append(own, line)
		}
	}
	return own
}

const maxReasons = 20

var speaks = regexp.MustCompile(`^\s+\w+\.go:\d+: `)

// packageEvent prints a package's own lines once it is through. What tests
// printed that never ended (a panic, go test's own timeout) belongs to its
// failure.
func (r *report) packageEvent(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		r.said[e.Package] = append(r.said[e.Package], e.Output)
	case "fail":
		for _, key := range slices.Sorted(maps.Keys(r.said)) {
			if strings.HasPrefix(key, e.Package+".Test") {
				r.print(key)
			}
		}
		r.print(e.Package)
	case "pass", "skip":
		lines := r.said[e.Package]
		if len(lines) > 0 {
			fmt.Fprint(r.out, lines[len(lines)-1])
		}
		delete(r.said, e.Package)
	}
}

func (r *report) print(key string) {
	fmt.Fprint(r.out, strings.Join(r.said[key], ""))
	delete(r.said, key)
}
