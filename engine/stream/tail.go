package stream

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of a lane's tail.
const (
	tailEntries = 64
	tailBytes   = 512 << 10 // of frames
)

// tailWait is how long a reader that has the last entry stored from here waits for the
// next before it asks Redis, if that was not longer ago: what others append right behind
// it is seen that much later at most.
const tailWait = 20 * time.Millisecond

// tail holds the newest entries that this process has stored in a lane, for readers in the
// same process: most are right behind them and need not ask Redis for what was sent there
// a moment ago. An entry is added once Redis has answered that it is stored, so nobody
// reads from here what could not be read there. What others append, and what was stored
// though its answer was lost, is missing here; its number tells, and Redis has it.
type tail struct {
	mu      sync.Mutex
	entries []entry   // guarded by mu; rising, perhaps with holes
	bytes   int       // guarded by mu
	fed     time.Time // guarded by mu; when the last was added
}

func bySeq(e entry, seq uint64) int { return cmp.Compare(e.at.Seq, seq) }

// add keeps e, whose frame must not be written to any more. Answers may come in another
// order than what they answer.
func (t *tail) add(e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fed = time.Now()
	at, known := slices.BinarySearchFunc(t.entries, e.at.Seq, bySeq)
	if known {
		return
	}
	t.entries = slices.Insert(t.entries, at, e)
	t.bytes += len(e.frame)
	drop := 0
	for ; len(t.entries)-drop > tailEntries || t.bytes > tailBytes; drop++ {
		t.bytes -= len(t.entries[drop].frame)
	}
	t.entries = slices.Delete(t.entries, 0, drop)
}

// behind returns up to count entries that follow number seq without a hole, and whether
// more are to be expected soon.
func (t *tail) behind(seq uint64, count int) (list []entry, soon bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, there := slices.BinarySearchFunc(t.entries, seq+1, bySeq)
	if !there {
		atEnd := at > 0 && at == len(t.entries) && t.entries[at-1].at.Seq == seq
		return nil, atEnd && time.Since(t.fed) < tailWait
	}
	end := at
	for end < len(t.entries) && end-at < count && t.entries[end].at.Seq == seq+1+uint64(end-at) {
		end++
	}
	return slices.Clone(t.entries[at:end]), true
}

// near returns up to count entries behind number seq that this process has stored itself;
// it waits for them for up to block, but no longer than tailWait. It has none for who does
// not wait: that one wants all that there is.
func (ln *lane) near(ctx context.Context, seq uint64, count int, block time.Duration) []entry {
	if block <= 0 {
		return nil
	}
	list, soon := ln.tail.behind(seq, count)
	if len(list) > 0 || !soon {
		return list
	}
	woken := ln.wake()
	if list, _ = ln.tail.behind(seq, count); len(list) > 0 {
		return list
	}
	timer := time.NewTimer(min(block, tailWait))
	defer timer.Stop()
	select {
	case <-woken:
	case <-timer.C:
	case <-ctx.Done():
	}
	list, _ = ln.tail.behind(seq, count)
	return list
}
