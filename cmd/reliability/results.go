package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// results are what a run of tests has shown.
type results struct {
	began   time.Time
	outcome map[testKey]string // passed, failed or skipped
	proofs  map[string]proof   // by the name of their row
	test    map[string]string  // that printed the proof, by the name of its row
}

// testKey names a test: several packages may have one of that name.
type testKey struct{ pkg, test string }

// proof holds the fields of one line, by name.
type proof map[string]string

// proofLine is what a test prints: name=... seed=... events=... faults=... lost=...
// doubled=... disordered=... p50=... p95=...
var proofLine = regexp.MustCompile(`proof: (name=\S+ seed=\d+ events=\d+ faults=\d+ lost=\d+ doubled=\d+ disordered=\d+ p50=\S+ p95=\S+)`)

// read takes the events of go test -json. Lines that are none are left out.
func read(in io.Reader) (*results, error) {
	r := &results{outcome: map[testKey]string{}, proofs: map[string]proof{}, test: map[string]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e struct {
			Time                          time.Time
			Action, Package, Test, Output string
		}
		if json.Unmarshal(line, &e) == nil && e.Test != "" {
			if r.began.IsZero() || e.Time.Before(r.began) {
				r.began = e.Time
			}
			if word := outcomes[e.Action]; word != "" {
				r.outcome[testKey{e.Package, e.Test}] = word
			}
			r.add(e.Test, e.Output)
		}
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
	}
}

const failed = "**failed**"

// outcomes are the words for how go test says that a test has ended.
var outcomes = map[string]string{"pass": "passed", "fail": failed, "skip": "skipped"}

// add keeps the proof in what a test has printed, if there is one.
func (r *results) add(test, output string) {
	m := proofLine.FindStringSubmatch(output)
	if m == nil {
		return
	}
	p := proof{}
	for _, field := range strings.Fields(m[1]) {
		name, value, _ := strings.Cut(field, "=")
		p[name] = value
	}
	r.proofs[p["name"]], r.test[p["name"]] = p, test
}

// of is how the tests of that name have ended: a failure is never hidden by the
// success of another package's.
func (r *results) of(test string) string {
	found := "not run"
	for key, word := range r.outcome {
		if key.test == test && found != failed {
			found = word
		}
	}
	return found
}

// count is how many tests have ended so; a test and its subtests are one.
func (r *results) count(word string) (n int) {
	for key, is := range r.outcome {
		if is == word && !strings.Contains(key.test, "/") {
			n++
		}
	}
	return n
}

// others are the proofs that no row names: none is left out of the document.
func (r *results) others(named []row) (out []row) {
	for _, name := range slices.Sorted(maps.Keys(r.proofs)) {
		if !slices.ContainsFunc(named, func(row row) bool { return slices.Contains(row.names, name) }) {
			out = append(out, row{names: []string{name}, tests: []string{r.test[name]}})
		}
	}
	return out
}

// times is how often the fault was made, and what chance it came from.
func (p proof) times() string {
	if p == nil || p["seed"] == "0" {
		return p["faults"]
	}
	return p["faults"] + ", seed " + p["seed"]
}

// pace is how soon things went on, where that was measured.
func (p proof) pace() string {
	if p == nil || p["p95"] == "0s" {
		return ""
	}
	return p["p50"] + " / " + p["p95"]
}
