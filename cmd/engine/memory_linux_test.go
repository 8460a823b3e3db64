package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

func TestMemoryTargetGrowsWithWhatIsLive(t *testing.T) {
	for used, want := range map[[2]uint64]int64{
		{}: memoryTarget, {48 << 20}: memoryTarget, {64 << 20}: 120 << 20, {1 << 30}: 3<<29 + 24<<20, {64 << 20, 80 << 20}: 200 << 20,
	} {
		if got := targetFor(used[0], used[1]); got != want {
			t.Errorf("target of %d bytes of heap and stacks is %d, want %d", used, got, want)
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

func TestMemoryTargetKnowsOfStacks(t *testing.T) {
	_, before := inUse()
	var standing sync.WaitGroup
	leave := make(chan struct{})
	for range 2000 {
		standing.Go(func() { <-leave })
	}
	_, with := inUse()
	close(leave)
	standing.Wait()
	if with < before+1500<<11 { // stacks of goroutines that have ended are used again
		t.Errorf("stacks of 2,000 goroutines more: %d bytes, %d before", with, before)
	}
}
