package simulation

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// exactly puts one fault at the n-th call (from 0) of a point, whoever makes it. One
// crash of its own, between a transaction and its position in the log, is part of
// every such run: without it nobody would have to be aligned.
type exactly struct {
	point point
	n     int
	kind  string
	hit   bool // written under the world's lock
}

func (x *exactly) fault(w *world, p point, _ string, _ int) fault {
	n := w.hits[p] - 1
	switch {
	case p == x.point && n == x.n && !x.hit:
		x.hit = true
		return fault{kind: x.kind, hold: patienceOf(p) + time.Second}
	case p == "table.commit" && n == 1:
		return fault{kind: crashAfter}
	}
	return fault{}
}

// thorough is the run in which every point is reached: all kinds of poison, one
// crash, one orderly restart.
func thorough(x *exactly) settings {
	return settings{
		messages: 12, faults: x, calm: time.Hour,
		poison: map[int]string{2: malformed, 4: undecodable, 6: crashing, 8: unstorable},
		script: func(w *world) {
			if w.wait(180 * time.Millisecond) {
				w.youngest("a").stop(nil)
			}
		},
	}
}

// theFour are what is done at each point: the process ends just before the call or
// just behind it, the call is refused, or it is done and its answer never comes.
var theFour = []struct{ name, kind string }{{"before", crashBefore}, {"after", crashAfter}, {"error", failed}, {"timeout", timeout}}

// moments chooses which of a point's calls are struck.
func moments(count int) []int {
	if os.Getenv("MILLRACE_SOAK") != "" {
		all := make([]int, count)
		for i := range all {
			all[i] = i
		}
		return all
	}
	return slices.Compact([]int{0, count / 2, count - 1})
}

// TestFaultCrashPointExhaustive strikes every boundary in every way and wants the
// results of a run in which nothing was struck.
func TestFaultCrashPointExhaustive(t *testing.T) {
	const seed = 7
	start := time.Now()
	calm := simulate(t, seed, thorough(&exactly{}))
	if !calm.right() || calm.rows == nil || len(calm.letters) < 4 {
		t.Fatalf("without a fault: %s %q", calm.verdict.String(), calm.broken)
	}
	var strikes []*exactly
	for _, p := range points {
		if calm.hits[p] == 0 {
			t.Errorf("%s is listed and never reached", p)
			continue
		}
		for _, n := range moments(calm.hits[p]) {
			for _, f := range theFour {
				strikes = append(strikes, &exactly{point: p, n: n, kind: f.kind})
			}
		}
	}
	struck := &struckPoints{ways: map[string]bool{}}
	t.Run("strikes", func(t *testing.T) {
		workers := max(runtime.GOMAXPROCS(0), 1)
		for worker := range workers {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for i := worker; i < len(strikes); i += workers {
					struck.strike(t, seed, strikes[i], calm)
				}
			})
		}
	})
	for _, p := range points {
		for _, f := range theFour {
			if !struck.ways[string(p)+" "+f.kind] {
				t.Errorf("%s was never struck with %q", p, f.name)
			}
		}
	}
	t.Logf("%d points in %d ways, %d runs with the results of the calm one: %s\nin %s",
		len(points), len(theFour), len(strikes), calm.verdict.String(), time.Since(start).Round(time.Millisecond))
}

type struckPoints struct {
	mu   sync.Mutex
	ways map[string]bool // guarded by mu
}

func (s *struckPoints) strike(t *testing.T, seed uint64, x *exactly, calm *report) {
	t.Helper()
	r := simulate(t, seed, thorough(x))
	name := fmt.Sprintf("%s, call %d, %s", x.point, x.n, x.kind)
	if !x.hit {
		t.Errorf("%s: the call was not made", name)
		return
	}
	s.mu.Lock()
	s.ways[string(x.point)+" "+x.kind] = true
	s.mu.Unlock()
	if !r.right() {
		t.Errorf("%s: %s %q", name, r.verdict.String(), r.broken)
	} else if got, want := r.results(), calm.results(); got != want {
		t.Errorf("%s: results\n%s\nwant\n%s", name, got, want)
	}
}
