package stream

import (
	"context"
	"math"
	"time"
)

// embeddedEntries bounds how many finished entries a lane keeps in the engine's
// own memory, where looking through them costs time at every command.
const embeddedEntries = 4096

// keep says what of a stream outlives its readers.
type keep struct {
	age   time.Duration
	bytes int64 // of the whole stream
}

// keepOf returns what stays of a stream although every reader has passed it.
// A stream that is nearly full keeps little: what is still to be read comes first.
func (l *Log) keepOf(ln *lane, used int64) keep {
	limit := ln.limit.Load()
	k := keep{age: l.cfg.Resume, bytes: limit / 4}
	if ln.stream == Journal {
		k = keep{age: l.cfg.Retention, bytes: min(l.cfg.RetentionBytes, limit/2)}
	}
	switch {
	case time.Now().UnixMilli()-l.starved.Load() < starvedFor.Milliseconds():
		k.bytes = 0
	case used > limit/4*3:
		k.bytes = min(k.bytes, limit/8)
	}
	return k
}

// starvedFor is how long a refusal for want of memory keeps finished frames from
// being kept: whatever fills Redis, what is unread must be able to drain.
const starvedFor = 10 * time.Second

// outOfMemory notes that Redis has refused a write for want of memory.
func (l *Log) outOfMemory() {
	l.starved.Store(time.Now().UnixMilli())
	signal(l.urgent)
}

// Trim removes from every lane what all its readers have passed and the retention
// does not keep. [Log.Run] does it every second. Errors are Away or Fatal.
func (l *Log) Trim(ctx context.Context) error {
	if err := l.usable(); err != nil {
		return err
	}
	used, err := l.rdb.HGetAll(ctx, l.keys.usage).Result()
	if err != nil {
		return l.awayOrFatal(err)
	}
	now := time.Now() // the entries' ms are Redis' own; a clock that differs shifts the age
	for _, ln := range l.allLanes() {
		if err := l.trimLane(ctx, ln, l.keepOf(ln, asInt(used[ln.stream])), now); err != nil {
			return ln.wrap("trim", err)
		}
	}
	return nil
}

func (l *Log) trimLane(ctx context.Context, ln *lane, k keep, now time.Time) error {
	how, entries := "MINID", int64(math.MaxInt32)
	if l.embedded {
		how, entries = "MAXLEN", embeddedEntries
	}
	before := now.Add(-k.age).UnixMilli()
	word, _, err := l.call(ctx, trimScript,
		[]string{l.keys.meta, l.keys.positions, l.keys.usage, ln.key, ln.info},
		[]any{l.epochText, positionField("", ln.stream, ln.number), ln.stream, before, k.bytes / int64(l.laneCount), entries, how})
	if err == nil && word != "ok" {
		err = l.answered(word, "")
	}
	return err
}
