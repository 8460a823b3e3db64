package simulation

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// settings say what one run is like, beside its seed.
type settings struct {
	messages int
	faults   planner        // what goes wrong at which call; nil: nothing
	script   func(*world)   // what else goes wrong, in a goroutine of its own; nil: nothing
	calm     time.Duration  // when faults end, so that the run can
	patience time.Duration  // beyond it the run is stuck; default 10 min
	poison   map[int]string // by message; nil: the seed draws
	traced   bool
	control  control
	logger   *slog.Logger
}

// control is a mistake built in on purpose; the oracle must see it.
type control string

const (
	correct         control = ""
	ackEarly        control = "ack before append"
	positionApart   control = "position moved in a step after the outputs"
	sinkPositionOff control = "sink without position"
	identityOff     control = "no identity check"
)

// world is one run: the outside that outlives engines, and the engines.
type world struct {
	settings
	seed   uint64
	began  time.Time
	over   chan struct{} // closed when the run has ended: nothing waits any more
	redis  *memoryRedis
	broker *broker
	table  *table
	feed   *feed
	tasks  sync.WaitGroup

	mu       sync.Mutex
	engines  []*engine      // all that ever ran; guarded by mu, as the rest
	calls    map[string]int // by point and actor
	hits     map[point]int
	injected map[string]int // faults by kind
	away     map[string]time.Time
	owner    map[string]string // engine by part, of the last lease taken
	broken   []string          // what must never happen
	trace    []step
}

// step is one call as a trace keeps it.
type step struct {
	at    time.Duration
	point point
	actor string
	call  int
	fault string
}

func (s step) String() string {
	return fmt.Sprintf("%12s %-20s %-28s %3d %s", s.at, s.point, s.actor, s.call, s.fault)
}

// report is what became of one run.
type report struct {
	verdict
	seed     uint64
	broken   []string
	injected map[string]int
	hits     map[point]int
	calls    map[string]int
	rows     []row
	letters  []letter
	took     time.Duration // on the run's own clock
	trace    []step
}

// right reports whether nothing at all went wrong.
func (r *report) right() bool { return len(r.broken) == 0 && r.verdict.clean() }

// simulate runs seed to its end inside a bubble with a clock of its own.
func simulate(t *testing.T, seed uint64, s settings) *report {
	t.Helper()
	var r *report
	synctest.Test(t, func(t *testing.T) { r = newWorld(seed, s).live() })
	return r
}

func newWorld(seed uint64, s settings) *world {
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	w := &world{
		settings: s, seed: seed, began: time.Now(), over: make(chan struct{}),
		calls: map[string]int{}, hits: map[point]int{}, injected: map[string]int{}, away: map[string]time.Time{}, owner: map[string]string{},
	}
	w.redis, w.broker, w.table = newRedis(w), newBroker(w), newTable()
	w.feed = newFeed(w)
	return w
}

// quiet is how long a run goes on, on its own clock, for what ought not to come.
const quiet = time.Second

func (w *world) live() *report {
	w.tasks.Go(w.feed.run)
	w.keepAlive("a")
	if w.script != nil {
		w.tasks.Go(func() { w.script(w) })
	}
	for !w.feed.settled() {
		if time.Since(w.began) > cmp.Or(w.patience, 10*time.Minute) {
			w.wrong("stuck: %s", w.feed.unsettled())
			break
		}
		w.wait(200 * time.Millisecond)
	}
	w.wait(quiet)
	took := time.Since(w.began)
	r := w.report(took)
	close(w.over)
	w.stopAll()
	w.tasks.Wait()
	w.redis.close()
	time.Sleep(2 * time.Second) // go-redis looks once a second whether a pool that found no server is closed
	r.broken = w.broken
	return r
}

func (w *world) report(took time.Duration) *report {
	v := w.judge()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(w.trace, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.point, b.point), cmp.Compare(a.actor, b.actor), a.call-b.call)
	})
	return &report{
		verdict: v, seed: w.seed, injected: maps.Clone(w.injected), hits: maps.Clone(w.hits), calls: maps.Clone(w.calls),
		rows: w.table.all(), letters: w.redis.letters(), took: took, trace: w.trace,
	}
}

// wrong notes what must never happen.
func (w *world) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf("%s: ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *world) count(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.injected[kind]++
}

// wait lets d pass, or the rest of the run.
func (w *world) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.over:
		return false
	}
}

// dice gives random numbers that depend on the seed and on what they are for, and
// on nothing else: not on which goroutine came first.
func (w *world) dice(what string, n int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()+uint64(n)*0x9e3779b97f4a7c15))
}

func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

// outage makes every call to a part of the outside ("redis", "broker", "table")
// fail for d.
func (w *world) outage(part string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away[part] = time.Now().Add(d)
	w.injected[part+" away"]++
}

func (w *world) isAway(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.away[part])
}
