package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/millrace/millrace/engine/lifecycle"
)

// memoryTarget is the memory, in bytes, at which the collector works harder. It is a
// target, not a bound: bounds are prefetch, units and mailboxes.
const memoryTarget = 96 << 20

// targetEvery is how often the target is looked at: thousands of viewers may come at once.
const targetEvery = time.Second

// limitMemory keeps the target until ctx ends, unless GOMEMLIMIT says another.
func limitMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for {
		debug.SetMemoryLimit(targetFor(inUse()))
		if !lifecycle.Sleep(ctx, targetEvery) {
			return
		}
	}
}

// besideHeap is what a process holds besides its heap and its goroutines' stacks, in
// bytes: what the collector itself needs, and pages that are not given back yet.
const besideHeap = 24 << 20

// targetFor is the target while live bytes of the heap and of stacks are in use: near to
// them the collector would do nothing else, however little is freed.
func targetFor(live, stacks uint64) int64 {
	return max(memoryTarget, int64(live)*3/2+int64(stacks)+besideHeap)
}

// inUse is what the last collection has found in use of the heap, and what stacks take
// now, in bytes.
func inUse() (live, stacks uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64(), sample[1].Value.Uint64()
}
