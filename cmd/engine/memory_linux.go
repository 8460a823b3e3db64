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

// targetEvery is how often the target is looked at.
const targetEvery = 10 * time.Second

// limitMemory keeps the target until ctx ends, unless GOMEMLIMIT says another.
func limitMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for {
		debug.SetMemoryLimit(targetFor(liveHeap()))
		if !lifecycle.Sleep(ctx, targetEvery) {
			return
		}
	}
}

// besideHeap is what a process holds besides its heap, in bytes: stacks, what the
// collector itself needs, and pages that are not given back yet.
const besideHeap = 24 << 20

// targetFor is the target while live bytes of the heap are in use: near to them the
// collector would do nothing else, however little is freed.
func targetFor(live uint64) int64 { return max(memoryTarget, int64(live)*3/2+besideHeap) }

// liveHeap is what the last collection has found in use, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
