package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestMemoryTargetGrowsWithWhatIsLive(t *testing.T) {
	for live, want := range map[uint64]int64{0: memoryTarget, 48 << 20: memoryTarget, 64 << 20: 120 << 20, 1 << 30: 3<<29 + 24<<20} {
		if got := targetFor(live); got != want {
			t.Errorf("target of %d live bytes is %d, want %d", live, got, want)
		}
	}
	t.Setenv("GOMEMLIMIT", "")
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	held := make([]byte, 200<<20)
	runtime.GC()
	ended, end := context.WithCancel(t.Context())
	end()
	limitMemory(ended)
	if got := debug.SetMemoryLimit(-1); got < 300<<20 || got == math.MaxInt64 {
		t.Errorf("with 200 MiB live the target is %d", got)
	}
	runtime.KeepAlive(held)
}
