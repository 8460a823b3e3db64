package lifecycle

import (
	"context"
	"time"
)

const (
	restTo   = 128 // events of a portion that is large enough as it is
	restMost = 20 * time.Millisecond
)

// Rest spaces out work that comes in portions: behind a small portion the next one is
// waited for in proportion to how long that took, which is long where others want the
// processor, too. What comes meanwhile goes with it. Behind a few events and behind a
// large portion there is no waiting, and none lasts longer than 20 ms. It is for one
// goroutine.
type Rest struct {
	Share float64 // how often the time of a portion is waited; 0: never
	From  int     // events of a portion from which on it is followed by a rest
	until time.Time
}

// Over notes that a portion of so many events, begun at that time, is done with.
func (r *Rest) Over(events int, began time.Time) {
	r.until = time.Time{}
	if r.Share > 0 && events >= r.From && events < restTo {
		now := time.Now()
		r.until = now.Add(min(time.Duration(r.Share*float64(now.Sub(began))), restMost))
	}
}

// Wait waits until the next portion may be taken, or ctx ends.
func (r *Rest) Wait(ctx context.Context) {
	if d := time.Until(r.until); !r.until.IsZero() && d > 0 {
		Sleep(ctx, d)
	}
}
