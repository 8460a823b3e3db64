package live_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// step is one thing that happens in a run of the property test.
type step struct {
	do    string // append, cut, restart
	lane  int
	count int
	pause time.Duration
	cut   int // bytes that the viewer did not see any more when it was cut off
}

func drawSteps(t *rapid.T, lanes int) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			do:    rapid.SampledFrom([]string{"append", "append", "append", "append", "cut", "restart"}).Draw(t, "do"),
			lane:  rapid.IntRange(0, lanes-1).Draw(t, "lane"),
			count: rapid.IntRange(1, 40).Draw(t, "count"),
			pause: time.Duration(rapid.IntRange(0, 40).Draw(t, "pause")) * time.Millisecond,
			cut:   rapid.IntRange(0, 3000).Draw(t, "cut"),
		}
	}), 1, 60).Draw(t, "steps")
}

// world is one log, the hub that runs now, and one viewer that comes back
// whenever it is cut off.
type world struct {
	log  *livetest.Log
	cfg  live.Config
	hub  *live.Hub
	stop func()
	v    *viewer
	got  *received
	next []float64

	query string
}

func (w *world) run() {
	hub, err := live.New(w.cfg)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- hub.Run(ctx) }()
	w.hub, w.stop = hub, func() { cancel(); <-done }
}

func (w *world) connect() { w.v = view(w.hub, w.query, "Last-Event-ID", w.got.lastID) }

// disconnect ends the viewer, which has seen all but the last cut bytes.
func (w *world) disconnect(cut int) error {
	w.v.close()
	b := w.v.bytes()
	return w.got.take(parseSSE(b[:max(0, len(b)-cut)]))
}

func (w *world) do(s step) error {
	switch s.do {
	case "append":
		for i := range s.count {
			w.next[s.lane]++
			w.log.Append(readings, s.lane, reading(fmt.Sprintf("d%d-%d", s.lane, i%3), w.next[s.lane]))
		}
	case "cut":
		if err := w.disconnect(s.cut); err != nil {
			return err
		}
		w.connect()
	case "restart":
		w.stop()
		if err := w.disconnect(s.cut); err != nil {
			return err
		}
		w.run()
		w.connect()
	}
	time.Sleep(s.pause)
	return nil
}

// check wants each value of each lane once, and each series in the order of the
// log.
func (w *world) check() error {
	for lane, n := range w.next {
		var all []float64
		for i := range 3 {
			values := w.got.values[fmt.Sprintf("temp|d%d-%d", lane, i)]
			if !slices.IsSorted(values) {
				return fmt.Errorf("lane %d series %d is out of order: %v", lane, i, values)
			}
			all = append(all, values...)
		}
		slices.Sort(all)
		for i, v := range all {
			if v != float64(i+1) {
				return fmt.Errorf("lane %d: value %d is %v: lost or doubled: %v", lane, i+1, v, all)
			}
		}
		if len(all) != int(n) {
			return fmt.Errorf("lane %d: %d values, the log has %v", lane, len(all), n)
		}
	}
	return nil
}

func (w *world) play(steps []step) error {
	w.run()
	w.connect()
	for i, s := range steps {
		if err := w.do(s); err != nil {
			return fmt.Errorf("step %d %+v: %w", i, s, err)
		}
	}
	time.Sleep(2 * time.Second)
	err := w.disconnect(0)
	w.stop()
	if err == nil {
		err = w.check()
	}
	if err == nil && len(w.got.resets)+int(w.got.gaps) > 0 {
		err = fmt.Errorf("resets %v, gaps of %d", w.got.resets, w.got.gaps)
	}
	return err
}

// TestEveryPointOnce cuts a viewer off and restarts the hub at random points:
// what the viewer received is what the log holds, each point once.
func TestEveryPointOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lanes := rapid.IntRange(1, 3).Draw(rt, "lanes")
		recent := rapid.SampledFrom([]int{1, 50, 100_000}).Draw(rt, "recent")
		steps := drawSteps(rt, lanes)
		var err error
		synctest.Test(t, func(t *testing.T) {
			log := livetest.NewLog(3, lanes)
			w := &world{log: log, got: newReceived(), next: make([]float64, lanes)}
			w.cfg = config(t, log, func(c *live.Config) { c.Recent = recent })
			err = w.play(steps)
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// TestEveryPointOnceWouldSeeALoss is the control: a viewer that comes back
// without its cursor's lane order (from=latest) does miss points.
func TestEveryPointOnceWouldSeeALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := livetest.NewLog(3, 1)
		w := &world{log: log, got: newReceived(), next: make([]float64, 1), cfg: config(t, log)}
		w.run()
		w.connect()
		synctest.Wait()
		steps := []step{{do: "append", count: 3, pause: time.Second}, {do: "append", count: 3, pause: time.Second}}
		if err := w.do(steps[0]); err != nil {
			t.Fatal(err)
		}
		if err := w.disconnect(0); err != nil {
			t.Fatal(err)
		}
		if err := w.do(steps[1]); err != nil {
			t.Fatal(err)
		}
		w.v = view(w.hub, "from=latest")
		synctest.Wait()
		w.v.close()
		mustTake(t, w.got, w.v)
		w.stop()
		if err := w.check(); err == nil {
			t.Fatal("a viewer that skipped points passes the check")
		}
	})
}
