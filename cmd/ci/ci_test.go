package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLaneReportsEndAndFailure(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"lane", "quick", "1m", "--", "sh", "-c", "echo hello"}, &out); err != nil {
		t.Fatalf("a lane within its share: %v", err)
	}
	if got := out.String(); !strings.HasPrefix(got, "hello\nlane quick") || !strings.Contains(got, " ok ") {
		t.Errorf("output = %q", got)
	}
	out.Reset()
	err := run(t.Context(), []string{"lane", "bad", "1m", "--", "sh", "-c", "exit 3"}, &out)
	if !errors.Is(err, errQuiet) || !strings.Contains(out.String(), "exit status 3") {
		t.Errorf("a failing lane = %v, %q", err, out.String())
	}
}

func TestLaneEndsAWholeFamilyAboveItsShare(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	// The grandchild would run for ten minutes.
	script := "sleep 600 & echo $! > " + pidFile + "; wait"
	var out bytes.Buffer
	err := run(t.Context(), []string{"lane", "slow", "500ms", "--", "sh", "-c", script}, &out)
	if err == nil || !strings.Contains(out.String(), errShare.Error()) {
		t.Fatalf("a lane above its share = %v, %q", err, out.String())
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	// A signal takes its time on a busy machine.
	for limit := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the grandchild lives: %s", stat)
		}
	}
}

func TestLaneRejectsBadArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"lane"}, {"lane", "a", "b", "--", "true"}, {"lane", "a", "1m", "true", "x"}, {"unchanged"}, {"nope"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
}

// stream is what go test -json prints for one package that passes with a skip
// and one whose test panics.
const stream = `{"Action":"run","Package":"m/a","Test":"TestOne"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"pass","Package":"m/a","Test":"TestOne"}
{"Action":"output","Package":"m/a","Test":"TestTwo","Output":"    a_test.go:9: redis-server is not installed\n"}
{"Action":"skip","Package":"m/a","Test":"TestTwo"}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a"}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"panic: boom\n"}
{"Action":"output","Package":"m/b","Output":"FAIL\tm/b\t0.2s\n"}
{"Action":"fail","Package":"m/b"}
not json
`

func TestReportShowsWhatAReaderNeeds(t *testing.T) {
	var out, kept bytes.Buffer
	r := &report{out: &out, kept: &kept, allowed: regexp.MustCompile("^$"), strict: true}
	r.read(strings.NewReader(stream))
	for _, want := range []string{"ok  \tm/a\t0.1s", "redis-server is not installed", "panic: boom", "FAIL\tm/b", "not json"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	for _, not := range []string{"=== RUN", "PASS"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("output has %q:\n%s", not, out.String())
		}
	}
	if kept.String() != stream {
		t.Errorf("kept %q", kept.String())
	}
	if r.passed != 1 || r.skipped != 1 || len(r.refused) != 1 {
		t.Errorf("passed %d, skipped %d, refused %v; want 1, 1, one", r.passed, r.skipped, r.refused)
	}
}

func TestReasonsOfFailuresComeLastWithoutServerLogs(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out, kept: io.Discard, allowed: regexp.MustCompile("^$")}
	lines := []string{"    a_test.go:7: 3 rows, want 4\n", "        redis: ready\n"}
	var events []string
	for _, line := range lines {
		events = append(events, fmt.Sprintf(`'{"Action":"output","Package":"m/a","Test":"TestX","Output":%q}'`, line))
	}
	events = append(events, `'{"Action":"fail","Package":"m/a","Test":"TestX"}'`)
	if err := r.run(t.Context(), []string{"sh", "-c", `printf '%s\n' ` + strings.Join(events, " ")}); !errors.Is(err, errQuiet) {
		t.Fatalf("err = %v", err)
	}
	_, end, _ := strings.Cut(out.String(), "tests: 0 passed, 1 failed, 0 skipped\n")
	if want := "FAIL  m/a.TestX\n" + lines[0]; end != want {
		t.Errorf("the end is %q, want %q", end, want)
	}
}

func TestSkipsAreAllowedByNameOrOutsideCI(t *testing.T) {
	named := &report{out: &bytes.Buffer{}, kept: io.Discard, allowed: regexp.MustCompile("^TestTwo$"), strict: true}
	loose := &report{out: &bytes.Buffer{}, kept: io.Discard, allowed: regexp.MustCompile("^$")}
	for _, r := range []*report{named, loose} {
		r.read(strings.NewReader(stream))
		if len(r.refused) != 0 || r.skipped != 1 {
			t.Errorf("refused %v of %d skips, want none of 1", r.refused, r.skipped)
		}
	}
}

func TestWhatDidNotEndIsNamed(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out, kept: io.Discard, allowed: regexp.MustCompile("^$")}
	err := r.run(t.Context(), []string{"echo", `{"Action":"output","Package":"m/a","Test":"TestHangs","Output":"so far\n"}`})
	if err != nil && !errors.Is(err, errQuiet) {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "FAIL  m/a.TestHangs did not come to its end\nso far") {
		t.Errorf("output = %q", got)
	}
}

func TestSplitPartsFlagsFromPackages(t *testing.T) {
	flags, patterns := split([]string{"-race", "-p", "2", "./engine/...", "./cmd/..."})
	if strings.Join(flags, " ") != "-race -p 2" || strings.Join(patterns, " ") != "./engine/... ./cmd/..." {
		t.Errorf("split = %q, %q", flags, patterns)
	}
}

func TestPickerNarrowsPackages(t *testing.T) {
	for name, c := range map[string]struct {
		picker
		kept int
	}{
		"no wish":                         {picker{}, 1},
		"only those that need a package":  {picker{only: "encoding/json"}, 1},
		"only, but not needed":            {picker{only: "net/rpc"}, 0},
		"without those that need one":     {picker{without: "encoding/json"}, 0},
		"without, but not needed":         {picker{without: "net/rpc"}, 1},
		"having a test of that prefix":    {picker{having: "TestPickerNarrows"}, 1},
		"having none of that prefix":      {picker{having: "TestNo" + "SuchThing"}, 0},
		"all wishes at once, one not met": {picker{only: "encoding/json", having: "TestNo" + "SuchThing"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.choose(t.Context(), []string{"."})
			if err != nil || len(got) != c.kept {
				t.Errorf("choose = %q, %v; want %d packages", got, err, c.kept)
			}
		})
	}
}

func TestUnchangedNamesWhatACommandChanged(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, script := range []string{"git init -q", "echo a > kept", "echo b > other"} {
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	if err := run(t.Context(), []string{"unchanged", "--", "sh", "-c", "echo a > kept"}, &bytes.Buffer{}); err != nil {
		t.Errorf("the same bytes again: %v", err)
	}
	err := run(t.Context(), []string{"unchanged", "--", "sh", "-c", "echo x > other; echo y > new"}, &bytes.Buffer{})
	if err == nil || !strings.HasSuffix(err.Error(), "has changed: new, other") {
		t.Errorf("two changes = %v, want both named", err)
	}
}

func TestMissingNamesWhatIsNotInstalled(t *testing.T) {
	bin := t.TempDir()
	// A stand-in for dpkg-query that knows one package.
	script := "#!/bin/sh\ncase \"$4\" in have) printf installed;; half) printf half-installed;; *) exit 1;; esac\n"
	if err := os.WriteFile(filepath.Join(bin, "dpkg-query"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	if got := missing(t.Context(), []string{"have", "half", "lack"}); strings.Join(got, " ") != "half lack" {
		t.Errorf("missing = %q, want half and lack", got)
	}
}

func TestParseStatWithSpacesInTheName(t *testing.T) {
	pid, name, parent, ok := parseStat("42 (a) b c) S 1 42 42 0")
	if pid != 42 || name != "a) b c" || parent != 1 || !ok {
		t.Errorf("parseStat = %d, %q, %d, %v", pid, name, parent, ok)
	}
	if _, _, _, ok := parseStat("42 no name"); ok {
		t.Error("a line without a name was accepted")
	}
}

func TestDaemonsLeavesAChildOfOursAlone(t *testing.T) {
	if name, found := daemons()[syscall.Getpid()]; found {
		t.Errorf("this test is taken for the daemon %q", name)
	}
}
