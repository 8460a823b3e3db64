package simulation

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// random is the run that a seed stands for.
func random() settings {
	return settings{messages: 12, faults: chaos{}, script: accidents, calm: 8 * time.Second}
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// total adds up runs.
type total struct {
	mu       sync.Mutex
	seeds    int // guarded by mu, as the rest
	verdict  verdict
	injected map[string]int
	failures []string
}

func (s *total) add(r *report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds++
	v := &s.verdict
	v.events, v.stored, v.dead = v.events+r.events, v.stored+r.stored, v.dead+r.dead
	v.lost, v.doubled, v.foreign = v.lost+r.lost, v.doubled+r.doubled, v.foreign+r.foreign
	v.disordered, v.misnumbered = v.disordered+r.disordered, v.misnumbered+r.misnumbered
	for k, n := range r.injected {
		s.injected[k] += n
	}
	if !r.right() {
		s.failures = append(s.failures, fmt.Sprintf("seed %d: %s %s; again with MILLRACE_SEED=%d",
			r.seed, r.verdict.String(), strings.Join(r.broken, "; "), r.seed))
	}
}

func (s *total) faults() (n int) {
	for _, of := range s.injected {
		n += of
	}
	return n
}

func (s *total) String() string {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(s.injected)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, s.injected[k]))
	}
	return fmt.Sprintf("%d seeds: %s\nfaults: %s", s.seeds, s.verdict.String(), strings.Join(kinds, ", "))
}

// TestFaultSimulation runs thousands of seeds, each a life of its own with random
// faults at every boundary. MILLRACE_SEEDS says how many, MILLRACE_SEED runs one
// alone and shows all that it does.
func TestFaultSimulation(t *testing.T) {
	if os.Getenv("MILLRACE_SEED") != "" {
		oneSeed(t, number(t, "MILLRACE_SEED", 0))
		return
	}
	count := uint64(2000)
	if os.Getenv("MILLRACE_SOAK") != "" {
		count = 20000
	}
	count = number(t, "MILLRACE_SEEDS", count)
	start, sum := time.Now(), &total{injected: map[string]int{}}
	workers := uint64(max(runtime.GOMAXPROCS(0), 1))
	t.Run("seeds", func(t *testing.T) {
		for worker := range workers {
			t.Run(strconv.FormatUint(worker, 10), func(t *testing.T) {
				t.Parallel()
				for seed := worker; seed < count; seed += workers {
					sum.add(simulate(t, seed, random()))
				}
			})
		}
	})
	t.Logf("%s\nin %s", sum, time.Since(start).Round(time.Millisecond))
	t.Logf("proof: name=simulation seed=0 events=%d faults=%d lost=%d doubled=%d disordered=%d p50=0s p95=0s",
		sum.verdict.events, sum.faults(), sum.verdict.lost, sum.verdict.doubled, sum.verdict.disordered)
	for i, f := range sum.failures {
		if i == 10 {
			t.Errorf("and %d more", len(sum.failures)-i)
			break
		}
		t.Error(f)
	}
	if count >= 100 {
		everyKind(t, sum.injected)
	}
}

// everyKind wants each kind of fault to have happened.
func everyKind(t *testing.T, injected map[string]int) {
	t.Helper()
	for _, kind := range []string{
		crashBefore, crashAfter, failed, cut, answerLost, timeout, swallowed, late, "table away", "redis away", "broker away",
		"redelivery", "frozen", "second process", "kill", "lease taken over", "duplicate publish", "poisonous event",
	} {
		if injected[kind] == 0 {
			t.Errorf("no %q in any run", kind)
		}
	}
}

func oneSeed(t *testing.T, seed uint64) {
	t.Helper()
	s := random()
	s.traced, s.logger = true, slog.New(slog.NewTextHandler(t.Output(), nil))
	r := simulate(t, seed, s)
	for _, step := range r.trace {
		t.Log(step)
	}
	t.Logf("seed %d: %s, faults %v, %s", seed, r.verdict.String(), r.injected, r.took)
	if !r.right() {
		t.Errorf("seed %d: %s %s", seed, r.verdict.String(), strings.Join(r.broken, "; "))
	}
}

// TestFaultSimulationReplays: a seed is worth printing only if it does the same
// again, call by call and at the same times. What goes wrong is a function of the
// seed alone. What the engine does is one but for goroutines that become ready at
// the very same moment, which the Go runtime orders as it likes: none to four of these
// seeds have such a moment that shows. Where the simulation draws on something else
// nearly all differ: 36 did when a connection began with two commands in one write.
func TestFaultSimulationReplays(t *testing.T) {
	const seeds, mayDiffer = 40, 8
	s := random()
	s.traced = true
	steps, differ := 0, 0
	for seed := range uint64(seeds) {
		first, second := simulate(t, seed, s), simulate(t, seed, s)
		steps += len(first.trace)
		if !slices.Equal(first.trace, second.trace) || !slices.Equal(first.rows, second.rows) {
			differ++
			t.Logf("seed %d: %d steps, then %d others", seed, len(first.trace), len(second.trace))
		}
	}
	t.Logf("%d seeds with %d steps run twice, %d seeds differ", seeds, steps, differ)
	if differ > mayDiffer {
		t.Errorf("%d of %d seeds differ, at most %d may", differ, seeds, mayDiffer)
	}
}

// TestFaultSimulationControls builds in one mistake at a time; the oracle must see
// each within a few seeds, and see what the mistake does.
func TestFaultSimulationControls(t *testing.T) {
	const most = 60
	for _, c := range []struct {
		control control
		sees    func(v *verdict) int
		what    string
	}{
		{ackEarly, func(v *verdict) int { return v.lost }, "lost"},
		{positionApart, func(v *verdict) int { return v.doubled }, "doubled"},
		{sinkPositionOff, func(v *verdict) int { return v.doubled }, "doubled"},
		{identityOff, func(v *verdict) int { return v.doubled }, "doubled"},
	} {
		t.Run(string(c.control), func(t *testing.T) {
			t.Parallel()
			s := random()
			s.control, s.patience = c.control, 90*time.Second
			for seed := range uint64(most) {
				if r := simulate(t, seed, s); c.sees(&r.verdict) > 0 {
					t.Logf("seed %d: %s", seed, r.verdict.String())
					return
				}
			}
			t.Errorf("nothing is %s in %d seeds: the simulation proves nothing", c.what, most)
		})
	}
}
