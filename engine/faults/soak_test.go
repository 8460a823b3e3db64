package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/testserver"
)

const (
	faultEvery = 5 * time.Second
	leaseTTL   = 5 * time.Second
)

// soakFor is how long the soak takes: two minutes, an hour with MILLRACE_SOAK=1, or
// as MILLRACE_SOAK_FOR says.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("MILLRACE_SOAK_FOR")
	switch {
	case text == "" && soaking():
		return time.Hour
	case text == "":
		return 2 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("MILLRACE_SOAK_FOR=%s is no duration", text)
	}
	return d
}

// soak is one engine with all that can be done to it.
type soak struct {
	*rig
	maria   *testserver.MariaDBServer
	line    *testserver.Link
	rng     *rand.Rand
	e       *engine
	made    map[string]int // faults by name
	took    []time.Duration
	samples []sample // of the engine that lives to the end
}

// sample is what one engine process holds.
type sample struct{ memory, goroutines, files float64 }

// fault is one thing that can be done to the engine or its servers, undone when it
// returns.
type fault struct {
	name string
	do   func(s *soak)
}

// faults of a soak. The first one ends an engine: it is left out in the second
// half, so that the one that lives then shows whether it grows.
var soakFaults = []fault{
	{"engine killed", func(s *soak) { s.e.kill(); s.e, s.samples = s.start("soak"), nil }},
	{"plugin killed", (*soak).killPlugins},
	{"redis killed", func(s *soak) { s.redis.Kill(); s.redis.Start() }},
	{"mariadb killed", func(s *soak) { s.maria.Kill(); s.maria.Start() }},
	{"broker line dropped", func(s *soak) { s.line.Drop() }},
	{"engine stopped within its lease", func(s *soak) { s.stopEngine(leaseTTL / 3) }},
	{"engine stopped past its lease", func(s *soak) { s.stopEngine(leaseTTL * 3 / 2) }},
}

func (s *soak) killPlugins() {
	for _, pid := range s.awaitPlugins(s.e, nil) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.t.Fatal(err)
		}
	}
}

// stopEngine stops the engine's clock for d. The time is the fault itself.
func (s *soak) stopEngine(d time.Duration) {
	s.e.signal(s.t, syscall.SIGSTOP)
	lifecycle.Sleep(s.t.Context(), d)
	s.e.signal(s.t, syscall.SIGCONT)
}

// arrivals rises with every row, and costs the same however many there are.
func (s *soak) arrivals() (n int) {
	s.t.Helper()
	if err := s.db.QueryRow("SELECT COALESCE(MAX(arrival), 0) FROM readings").Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// awaitMore waits until rows arrive and the engine is ready.
func (s *soak) awaitMore() time.Duration {
	s.t.Helper()
	began, before := time.Now(), s.arrivals()
	testserver.Eventually(s.t, 2*time.Minute, "more rows", func() error {
		if s.arrivals() == before {
			return fmt.Errorf("none")
		}
		return nil
	})
	took := time.Since(began)
	s.awaitReady(s.e)
	return took
}

// hit makes one fault, waits until the engine goes on, and looks at what it holds.
func (s *soak) hit(choice []fault) {
	f := choice[s.rng.IntN(len(choice))]
	f.do(s)
	s.made[f.name]++
	s.took = append(s.took, s.awaitMore())
	s.samples = append(s.samples, sample{
		s.metric(s.e, "process_resident_memory_bytes"), s.metric(s.e, "go_goroutines"), s.metric(s.e, "process_open_fds"),
	})
}

// TestFaultSoak runs a steady load for two minutes, an hour in a soak, and makes a
// fault every five seconds. In its long form it needs some gigabytes of memory for
// the ledger, and of disk for the rows.
func TestFaultSoak(t *testing.T) {
	seed, length := seedOf(t), soakFor(t)
	t.Logf("MILLRACE_SEED=%d MILLRACE_SOAK_FOR=%s", seed, length)
	maria := testserver.MariaDB(t)
	s := &soak{rig: newRig(t, setup{maria: maria}), maria: maria, rng: rand.New(rand.NewPCG(seed, 1)), made: map[string]int{}}
	s.line = s.throughProxy("AMQP_URLS", testserver.SharedRabbitMQ(t).Addr())
	l := newLedger()
	s.e = s.start("soak")
	begun := time.Now()
	s.under(&producer{url: s.amqp, ledger: l, rate: often(1500, 5000)}, func() {
		s.awaitMore()
		for at := time.Duration(0); at < length; at = time.Since(begun) {
			choice := soakFaults
			if at > length/2 {
				choice = choice[1:]
			}
			s.hit(choice)
			lifecycle.Sleep(t.Context(), faultEvery-(time.Since(begun)-at)) // the pace of the faults
		}
	})
	v := s.settleWithin(length, l)
	var names []string
	for _, f := range soakFaults {
		names = append(names, fmt.Sprintf("%s %d", f.name, s.made[f.name]))
	}
	t.Logf("%s of load: %s", length, strings.Join(names, ", "))
	s.flat()
	prove(t, proof{name: "soak", seed: seed, faults: len(s.took), verdict: v, took: s.took})
}

// settleWithin is settle for as many rows as an hour brings: it waits as long as
// more come.
func (s *soak) settleWithin(limit time.Duration, l *ledger) verdict {
	s.t.Helper()
	last, since := -1, time.Now()
	testserver.Eventually(s.t, limit+time.Minute, "no more rows", func() error {
		if n := s.arrivals(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < 2*time.Second {
			return fmt.Errorf("%d rows", last)
		}
		return nil
	})
	return s.settle(l)
}

// flat compares the engine's first third with its last. A few samples show
// nothing: then it only prints.
func (s *soak) flat() {
	s.t.Helper()
	third := len(s.samples) / 3
	if third == 0 {
		return
	}
	first, last := s.samples[:third], s.samples[len(s.samples)-third:]
	for _, m := range []struct {
		name  string
		of    func(sample) float64
		slack float64
	}{
		{"MB", func(x sample) float64 { return x.memory / (1 << 20) }, 64},
		{"goroutines", func(x sample) float64 { return x.goroutines }, 40},
		{"open files", func(x sample) float64 { return x.files }, 40},
	} {
		before, after := median(first, m.of), median(last, m.of)
		s.t.Logf("%.0f %s in the first third, %.0f in the last, of %d samples", before, m.name, after, len(s.samples))
		if third >= 10 && after > 1.5*before+m.slack {
			s.t.Errorf("the engine grows: %s", m.name)
		}
	}
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, x := range samples {
		values[i] = of(x)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
