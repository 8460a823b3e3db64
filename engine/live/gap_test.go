package live_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// behind lets the viewer take nothing while more frames come than its class keeps.
func (w *world) behind(s step) error {
	release := w.v.stall()
	for range 1100 + s.count {
		if err := w.do(step{do: "append", lane: s.lane, count: 1, pause: 11 * time.Millisecond}); err != nil {
			return err
		}
	}
	release()
	time.Sleep(s.pause)
	return nil
}

// ranges wants every value of the log to be received once, or to be counted in a gap,
// and each series in the order of the log.
func (w *world) ranges() error {
	received, total := 0, 0
	for lane, n := range w.next {
		total += int(n)
		seen := map[float64]bool{}
		for i := range 3 {
			values := w.got.values[fmt.Sprintf("temp|d%d-%d", lane, i)]
			if !slices.IsSorted(values) {
				return fmt.Errorf("lane %d series %d is out of order", lane, i)
			}
			for _, v := range values {
				if seen[v] || v < 1 || v > n {
					return fmt.Errorf("lane %d: value %v came twice, or was never sent", lane, v)
				}
				seen[v] = true
			}
		}
		received += len(seen)
	}
	if received+int(w.got.gaps) != total {
		return fmt.Errorf("%d received and %d told in gaps of %d in the log", received, w.got.gaps, total)
	}
	return nil
}

// TestRangesOrGaps cuts a viewer off, restarts the hub and lets the viewer stand
// still, at random points and for longer than the hub remembers: the ranges received
// are the log's, each once or covered by a gap.
func TestRangesOrGaps(t *testing.T) {
	gaps, merges := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		lanes := rapid.IntRange(1, 2).Draw(rt, "lanes")
		recent := rapid.SampledFrom([]int{20, 100_000}).Draw(rt, "recent")
		before, after := drawSteps(rt, lanes), drawSteps(rt, lanes)
		stuck := step{lane: rapid.IntRange(0, lanes-1).Draw(rt, "stuck lane"), count: rapid.IntRange(0, 50).Draw(rt, "stuck for")}
		if rapid.IntRange(0, 2).Draw(rt, "stuck") > 0 {
			stuck.count = -1100 // it is not
		}
		var err error
		synctest.Test(t, func(t *testing.T) {
			w := &world{log: livetest.NewLog(3, lanes), got: newReceived(), next: make([]float64, lanes), query: "sub=chart:*"}
			w.cfg = config(t, w.log, func(c *live.Config) { c.Recent, c.WriteTimeout, c.Ping = recent, time.Hour, time.Hour })
			err = w.playBehind(before, stuck, after)
			if w.got.gaps > 0 {
				gaps++
			}
			if w.got.merged > 0 {
				merges++
			}
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
	if gaps == 0 || merges == 0 {
		t.Errorf("%d runs had gaps and %d merged frames: the test does not reach what it is for", gaps, merges)
	}
}

func (w *world) playBehind(before []step, stuck step, after []step) error {
	w.run()
	w.connect()
	defer func() { w.stop() }()
	for _, s := range before {
		if err := w.do(s); err != nil {
			return err
		}
	}
	time.Sleep(time.Second)
	if err := w.behind(stuck); err != nil {
		return err
	}
	for _, s := range after {
		if err := w.do(s); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second)
	if err := w.disconnect(0); err != nil {
		return err
	}
	return w.ranges()
}

// TestRangesWouldSeeASilentLoss is the control: a viewer that does not count gaps
// fails the check.
func TestRangesWouldSeeASilentLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{log: livetest.NewLog(3, 1), got: newReceived(), next: make([]float64, 1), query: "sub=chart:*"}
		w.cfg = config(t, w.log, func(c *live.Config) { c.Recent, c.WriteTimeout, c.Ping = 20, time.Hour, time.Hour })
		if err := w.playBehind(nil, step{}, nil); err != nil || w.got.gaps == 0 {
			t.Fatalf("%v, gaps of %d", err, w.got.gaps)
		}
		w.got.gaps = 0
		if err := w.ranges(); err == nil {
			t.Fatal("points that are lost in silence pass the check")
		}
	})
}
