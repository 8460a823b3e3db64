package stream

import (
	"context"
	"time"
)

// backoff waits longer and longer, with jitter, from first up to most.
type backoff struct {
	first, most time.Duration
	next        time.Duration
	jitter      func() float64
}

func (l *Log) newBackoff() *backoff {
	return &backoff{first: 10 * time.Millisecond, most: 2 * time.Second, jitter: l.cfg.Jitter}
}

// wait sleeps and reports whether ctx still lives.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, b.first), b.most)
	return sleep(ctx, b.next/2+time.Duration(b.jitter()*float64(b.next/2+1)))
}

func (b *backoff) reset() { b.next = 0 }

func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
