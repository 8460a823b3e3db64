package pluginhost

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func testBudget() *budget {
	return newBudget(Config{
		BackoffFirst: time.Second, BackoffMax: 4 * time.Second,
		RestartBudget: 4, RestartWindow: time.Minute, RestartPause: time.Hour,
	})
}

// crashes charges n restarts, each of a process that ran for so long, and returns
// the pauses and which of them were announced.
func crashes(b *budget, n int, ran time.Duration) (pauses []time.Duration, announced []int) {
	now := time.Unix(0, 0)
	for i := range n {
		now = now.Add(ran)
		b.ended(ran)
		pause, first := b.charge(now)
		if first {
			announced = append(announced, i)
		}
		pauses = append(pauses, pause)
		now = now.Add(pause)
	}
	return pauses, announced
}

func TestBudget(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name      string
		ran       time.Duration
		pauses    []time.Duration
		announced []int
	}{
		{"pauses double, then the long one each time, told once", 0, []time.Duration{s, 2 * s, 4 * s, 4 * s, time.Hour, time.Hour, time.Hour}, []int{4}},
		{"a process that ran a while is started at once, and charged", 9 * s, []time.Duration{s, s, s, s, time.Hour}, []int{4}},
		{"rare ends are within the budget", 20 * s, []time.Duration{s, s, s, s, s, s, s, s}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			pauses, announced := crashes(testBudget(), len(c.pauses), c.ran)
			if !slices.Equal(pauses, c.pauses) || !slices.Equal(announced, c.announced) {
				t.Errorf("pauses %v announced at %v, want %v at %v", pauses, announced, c.pauses, c.announced)
			}
		})
	}
}

// TestSteadyPluginFillsItsBudget: a process that runs for the window is told of once.
func TestSteadyPluginFillsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := testBudget()
		w := &worker{cfg: b.cfg, log: slog.New(slog.NewTextHandler(&log, nil)), closing: make(chan struct{})}
		inst := &instance{gone: make(chan struct{})}
		crashes(b, 5, 0)
		time.AfterFunc(3*time.Minute, func() { close(inst.gone) })
		if !w.outlive(inst, b) || b.spent || strings.Count(log.String(), "steady") != 1 {
			t.Errorf("spent %t, log %q", b.spent, log.String())
		}
		close(w.closing)
		if w.outlive(&instance{gone: make(chan struct{})}, b) {
			t.Error("a process outlived a worker that was closed")
		}
	})
}

func TestBudgetIsFilledByALongRun(t *testing.T) {
	b := testBudget()
	crashes(b, 6, 0)
	trouble := errors.New("it died")
	if err := b.explain(trouble); !errors.Is(err, trouble) || !strings.Contains(err.Error(), "4 restarts within 1m0s") {
		t.Errorf("explanation %q, want the budget in it", err)
	}
	b.refill()
	if pause, first := b.charge(time.Unix(1e6, 0)); pause != time.Second || first || b.explain(trouble) != trouble {
		t.Errorf("pause %s, announced %t, want a fresh budget", pause, first)
	}
}
