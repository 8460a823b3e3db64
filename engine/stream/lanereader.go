package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
)

// laneReader reads a lane entry by entry and lets no entry be missed: numbers of
// entries are dense, so a hole is seen wherever it is.
type laneReader struct {
	sub      *LaneSubscriber
	client   *redis.Client
	last     event.Position
	count    int   // entries of the next read
	accepted int64 // holes up to this number were accepted by people; -1: not yet read
	asked    bool
}

// maxCount is the most entries of one read.
const maxCount = 1024

func (r *laneReader) next(ctx context.Context) ([]item, error) {
	l, ln := r.sub.cfg.Log, r.sub.ln
	if r.atEnd() {
		<-ctx.Done()
		return nil, nil
	}
	entries, err := l.read(ctx, r.client, ln, r.last, r.count, blockTime)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	if entries = r.upToEnd(entries); len(entries) == 0 { // the end itself is gone
		<-ctx.Done()
		return nil, nil
	}
	items := make([]item, len(entries))
	events, bytes := 0, 0
	for i := range entries {
		if err := r.joins(ctx, entries[i].at); err != nil {
			return nil, err
		}
		r.last = entries[i].at
		items[i] = r.decode(&entries[i])
		events += len(items[i].events)
		bytes += items[i].bytes
	}
	ln.saw(r.last.Seq)
	r.adapt(len(entries), events, bytes)
	return items, nil
}

// atEnd reports whether the last entry that is wanted has been read.
func (r *laneReader) atEnd() bool {
	until := r.sub.cfg.Until
	return !until.IsZero() && r.last.Seq >= until.Seq
}

func (r *laneReader) upToEnd(entries []entry) []entry {
	until := r.sub.cfg.Until
	if until.IsZero() {
		return entries
	}
	n := len(entries)
	for n > 0 && entries[n-1].at.Seq > until.Seq {
		n--
	}
	return entries[:n]
}

// adapt chooses how many entries to read next: about a unit of them.
func (r *laneReader) adapt(entries, events, bytes int) {
	byEvents := r.sub.cfg.MaxEvents * entries / max(events, 1)
	byBytes := r.sub.cfg.MaxBytes / max(bytes/entries, 1)
	r.count = min(max(min(byEvents, byBytes), 1), maxCount)
}

// joins checks that at is the entry just behind the last one.
func (r *laneReader) joins(ctx context.Context, at event.Position) error {
	if at.Seq == r.last.Seq+1 {
		return nil
	}
	l, ln := r.sub.cfg.Log, r.sub.ln
	if !r.asked {
		accepted, err := l.rdb.HGet(ctx, ln.info, "accepted").Int64()
		if err != nil && !isNil(err) {
			return l.awayOrFatal(err)
		}
		r.asked, r.accepted = true, accepted
	}
	if int64(at.Seq) <= r.accepted+1 && at.Seq > r.last.Seq {
		return nil
	}
	return ln.wrap("read", l.fail(fmt.Errorf("%w: entries between %s and %s are gone; `engine log accept-loss` goes on without them",
		ErrGap, r.last, at)))
}

func (r *laneReader) decode(e *entry) item {
	it := item{at: e.at, bytes: len(e.frame)}
	f, err := event.DecodeFrame(e.frame)
	if err != nil {
		letter := undecodable(r.sub.cfg.Reader, r.sub.ln, e.at, e.frame, err, time.Now().UnixMilli())
		it.letter = &letter
		return it
	}
	it.events, it.watermark = f.Events, f.Watermark
	if r.sub.cfg.Stream == Journal {
		for _, ev := range f.Events {
			if ev.Root.IsZero() {
				ev.Root = e.at
			}
		}
	}
	return it
}
