package faults

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// soaking reports whether the tests run in their long form.
func soaking() bool { return os.Getenv("MILLRACE_SOAK") == "1" }

// often is how many times a fault is made: short, or long in a soak.
func often(short, long int) int {
	if soaking() {
		return long
	}
	return short
}

// seedOf is what this run's chances come from: MILLRACE_SEED, to see one again, or
// the time.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("MILLRACE_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("MILLRACE_SEED=%s is no seed", text)
	}
	return seed
}

// proof is what a test has shown, in the words of RELIABILITY.md.
type proof struct {
	name    string // of the row, such as "mariadb_chaos/commit"
	seed    uint64 // 0: nothing was left to chance
	faults  int
	verdict verdict
	took    []time.Duration // from the end of each fault until things went on
	alive   time.Duration   // ten times what is claimed of took: what takes longer hangs; 0: no claim
}

// prove prints p in the one form that cmd/reliability reads, and fails the test
// unless the verdict is clean.
func prove(t *testing.T, p proof) {
	t.Helper()
	v := p.verdict
	t.Logf("proof: name=%s seed=%d events=%d faults=%d lost=%d doubled=%d disordered=%d p50=%s p95=%s",
		p.name, p.seed, v.rows, p.faults, v.lost, v.doubled, v.disordered, quantile(p.took, 50), quantile(p.took, 95))
	v.must(t)
	if slowest := quantile(p.took, 100); p.alive > 0 && slowest > p.alive {
		t.Errorf("it went on after %s only: it hung", slowest)
	}
	if p.faults == 0 {
		t.Error("no fault was made: the test proves nothing")
	}
}

// quantile is the smallest of took that percent of all are not above, 0 of none.
func quantile(took []time.Duration, percent int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	at := max(0, (len(sorted)*percent+99)/100-1)
	return sorted[at].Round(time.Millisecond)
}

func TestQuantile(t *testing.T) {
	took := []time.Duration{4 * time.Second, time.Second, 3 * time.Second, 2 * time.Second}
	for percent, want := range map[int]time.Duration{1: time.Second, 50: 2 * time.Second, 75: 3 * time.Second, 95: 4 * time.Second, 100: 4 * time.Second} {
		if got := quantile(took, percent); got != want {
			t.Errorf("quantile %d = %s; want %s", percent, got, want)
		}
	}
	if got := quantile(nil, 50); got != 0 {
		t.Errorf("quantile of nothing = %s", got)
	}
}
