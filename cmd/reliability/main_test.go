package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const stream = `{"Time":"2026-03-01T10:00:00Z","Action":"run","Package":"m/a","Test":"TestFaultCrashLoop"}
{"Time":"2026-03-01T10:00:01Z","Action":"output","Package":"m/a","Test":"TestFaultCrashLoop","Output":"    proof_test.go:9: proof: name=crash_loop seed=7 events=4110 faults=6 lost=1 doubled=2 disordered=3 p50=167ms p95=447ms\n"}
{"Time":"2026-03-01T10:00:02Z","Action":"fail","Package":"m/a","Test":"TestFaultCrashLoop"}
{"Time":"2026-03-01T10:00:03Z","Action":"output","Package":"m/a","Test":"TestFaultNew","Output":"    a_test.go:9: proof: name=new seed=0 events=5 faults=1 lost=0 doubled=0 disordered=0 p50=0s p95=0s\n"}
{"Time":"2026-03-01T10:00:03Z","Action":"pass","Package":"m/a","Test":"TestFaultNew"}
{"Time":"2026-03-01T10:00:03Z","Action":"pass","Package":"m/b","Test":"TestFaultCrashLoop"}
{"Time":"2026-03-01T10:00:03Z","Action":"pass","Package":"m/b","Test":"TestFaultNew/of.it"}
{"Time":"2026-03-01T10:00:04Z","Action":"skip","Package":"m/a","Test":"TestFaultDiskFullUnderMariaDB"}
not json
`

func TestDocumentShowsWhatWasSeen(t *testing.T) {
	seen, err := read(strings.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := write(&out, seen, "short form", "one core"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Run of 2026-03-01, short form, on one core", "2 tests passed, 1 failed",
		"| `TestFaultCrashLoop` | **failed** | 6, seed 7 | 4110 | 1 | 2 | 3 | 167ms / 447ms |",
		"| `TestFaultDiskFullUnderMariaDB` | skipped |", "| `TestFaultDiskFullUnderRedis` | not run |",
		"| `new` |  | `TestFaultNew` | passed | 1 | 5 | 0 | 0 | 0 |  |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the document lacks %q", want)
		}
	}
}

func TestARunWithoutTestsIsRefused(t *testing.T) {
	seen, err := read(strings.NewReader("not json\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := write(&bytes.Buffer{}, seen, "", ""); !errors.Is(err, errNothing) {
		t.Errorf("write = %v, want %v", err, errNothing)
	}
}

// TestRowsAreWhole: a name for each test, and each name printed by a test of a
// package that has an oracle.
func TestRowsAreWhole(t *testing.T) {
	files, err := filepath.Glob("../../engine/[fs][ai][um]*/*_test.go") // faults, simulation
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(text)
	}
	for _, row := range rows {
		if len(row.names) != len(row.tests) || len(row.controls) == 0 {
			t.Errorf("row %q: %d names, %d tests, %d controls", row.what, len(row.names), len(row.tests), len(row.controls))
		}
		for _, name := range row.names {
			if !regexp.MustCompile(`["=]` + name + `[" ]`).MatchString(sources.String()) {
				t.Errorf("no test prints %s", name)
			}
		}
	}
}
