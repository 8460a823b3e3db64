package faults

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/replay"
	"github.com/millrace/millrace/engine/testserver"
)

// chartNode draws the number of each reading.
const chartNode = `  - id: live
    sink: chart
    inputs: [celsius]
    with: { chart: metric, series: device, value: n, time: ts, max_points: 100000 }
`

// viewer follows the charts of whichever engine runs, as the page does: it tries again
// until one answers, and goes on behind the last id that it has taken in.
type viewer struct {
	address atomic.Value // of the engine
	replay  string       // whose charts it looks at; "": the live ones
	lastID  string       // used by run alone
	forgets bool         // it comes back without the id that it has seen last

	mu    sync.Mutex
	times map[int]int // how often each number came; guarded by mu
	told  []string    // resets and gaps; guarded by mu

	hellos int // connections that began; guarded by mu
}

// run follows until ctx ends.
func (v *viewer) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = v.connect(ctx) // what ends is begun anew
		lifecycle.Sleep(ctx, 50*time.Millisecond)
	}
}

func (v *viewer) connect(ctx context.Context) error {
	query := url.Values{"from": {cmp.Or(v.lastID, "earliest")}}
	if v.replay != "" {
		query.Set("replay", v.replay)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/api/v1/live?%s", v.address.Load(), query.Encode()), nil)
	if err != nil {
		return err
	}
	q.Header.Set("Accept", "application/x-ndjson")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // only read from
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() && answer.StatusCode == http.StatusOK {
		if err := v.take(lines.Bytes()); err != nil {
			return err // cut off in the middle
		}
	}
	return lines.Err()
}

func (v *viewer) take(line []byte) error {
	var e struct {
		Event, ID string
		Data      json.RawMessage
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	var frame struct{ Series []struct{ V []float64 } }
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Event {
	case "hello":
		v.hellos++
	case "reset", "gap":
		v.told = append(v.told, string(line))
	case "frame":
		if err := json.Unmarshal(e.Data, &frame); err != nil {
			return err
		}
		for _, s := range frame.Series {
			for _, n := range s.V {
				v.times[int(n)]++
			}
		}
	}
	if e.ID != "" && !v.forgets {
		v.lastID = e.ID
	}
	return nil
}

func (v *viewer) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.times)
}

// await waits until so many numbers have come.
func (v *viewer) await(t *testing.T, n int) {
	t.Helper()
	testserver.Eventually(t, time.Minute, fmt.Sprintf("%d numbers", n), func() error {
		if have := v.count(); have < n {
			return fmt.Errorf("%d", have)
		}
		return nil
	})
}

// TestFaultPageSurvivesKill: a page that looks on while the engine is killed and started
// again gets every reading once, and is told of no reset and no gap.
func TestFaultPageSurvivesKill(t *testing.T) {
	r := newRig(t, setup{nodes: usual(1, 2, 3, 4) + chartNode})
	l := newLedger()
	v := &viewer{times: map[int]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	defer looks.Wait()
	defer cancel()
	p := proof{name: "page_survives_kill", faults: often(3, 30), alive: 20 * time.Second}
	e := r.start("page")
	v.address.Store(e.listen)
	looks.Go(func() { v.run(ctx) })
	r.under(&producer{url: r.amqp, ledger: l, rate: 1000}, func() {
		v.await(t, 500)
		for range p.faults {
			e.kill()
			killed, before := time.Now(), v.count()
			e = r.start("page")
			v.address.Store(e.listen)
			v.await(t, before+1)
			p.took = append(p.took, time.Since(killed))
			v.await(t, before+1000)
		}
	})
	p.verdict = r.settle(l)
	v.await(t, p.verdict.rows)
	v.mu.Lock()
	for n, times := range v.times {
		if times != 1 {
			p.verdict.doubled++
			t.Errorf("number %d came %d times", n, times)
		}
	}
	if len(v.times) != p.verdict.rows || len(v.told) > 0 {
		t.Errorf("%d numbers of %d came; told: %v", len(v.times), p.verdict.rows, v.told)
	}
	v.mu.Unlock()
	prove(t, p)
}

// TestFaultControlViewerWithoutIDDoubles: it is the id that makes it so. A viewer that
// comes back without one gets what it had again.
func TestFaultControlViewerWithoutIDDoubles(t *testing.T) {
	r := newRig(t, setup{nodes: usual(1, 2, 3, 4) + chartNode})
	l := newLedger()
	v := &viewer{times: map[int]int{}, forgets: true}
	ctx, cancel := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	defer looks.Wait()
	defer cancel()
	e := r.start("page")
	v.address.Store(e.listen)
	looks.Go(func() { v.run(ctx) })
	r.burst(l, 0, 500)
	v.await(t, 500)
	e.kill()
	v.address.Store(r.start("page").listen)
	testserver.Eventually(t, time.Minute, "numbers that come again", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, times := range v.times {
			if times > 1 {
				return nil
			}
		}
		return errors.New("none")
	})
}

// TestFaultReplayIsWatchedFromItsFirstEvent: a replay that begins paused, of the plan that
// runs, waits until somebody looks at its charts, who then sees all of it; the
// live run and what it keeps do not change.
func TestFaultReplayIsWatchedFromItsFirstEvent(t *testing.T) {
	r := newRig(t, setup{nodes: usual(1, 2, 3, 4) + chartNode})
	l := newLedger()
	e := r.start("page")
	r.awaitReady(e)
	r.burst(l, 0, 500)
	r.awaitRows(500)
	body, err := json.Marshal(replay.Request{Name: "watched", From: "earliest", To: "now", Mode: replay.Shadow, Paused: true})
	if err != nil {
		t.Fatal(err)
	}
	r.ask(e, http.MethodPost, "", body)
	v := &viewer{times: map[int]int{}, replay: "watched"}
	v.address.Store(e.listen)
	ctx, cancel := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	defer looks.Wait()
	defer cancel()
	looks.Go(func() { v.run(ctx) })
	testserver.Eventually(t, time.Minute, "the replay's charts", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.hellos == 0 {
			return errors.New("nobody looks yet")
		}
		return nil
	})
	if s, err := e.replayed("watched"); err != nil || s.State != replay.Paused || s.Read != 0 || v.count() != 0 {
		t.Fatalf("before it goes on: %+v, %v, %d numbers", s, err, v.count())
	}
	r.ask(e, http.MethodPost, "/watched/resume", nil)
	v.await(t, 500)
	s := r.awaitReplay(e, "watched")
	if s.State != replay.Done || s.Read != 500 || len(s.Results) != 1 || !strings.Contains(string(s.Results[0].Comparison), `"different":0`) {
		t.Errorf("%+v", s)
	}
	r.settle(l).must(t)
}
