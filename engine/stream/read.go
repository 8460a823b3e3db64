package stream

import (
	"context"
	"strconv"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
)

// entry is one stream entry as Redis hands it out.
type entry struct {
	at    event.Position
	frame []byte // shares memory that is not written again
}

// ReadFrames returns up to maxFrames entries of a lane behind after, oldest
// first, for readers without a position such as charts. If there are none it
// waits up to block, then returns none; if it may wait, it need not return all that
// there are. Entries that were trimmed are passed over; numbers of entries are dense
// (Position.Seq), so that a reader can tell. It needs no lease and may be called
// concurrently. Errors are Away or Fatal.
func (l *Log) ReadFrames(ctx context.Context, stream string, number int, after event.Position, maxFrames int, block time.Duration) ([]Entry, error) {
	ln, err := l.lane(stream, number)
	if err != nil {
		return nil, err
	}
	for until := time.Now().Add(block); ; {
		left := min(time.Until(until), time.Second) // so that the end of ctx is noticed
		entries, err := l.read(ctx, l.reads, ln, after, maxFrames, left)
		if err != nil {
			return nil, ln.wrap("read", err)
		}
		if len(entries) > 0 || left <= 0 || !time.Now().Before(until) {
			return exported(entries), nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func exported(entries []entry) []Entry {
	out := make([]Entry, len(entries))
	for i := range entries {
		out[i] = Entry{At: entries[i].at, Frame: entries[i].frame}
	}
	return out
}

// read returns up to count entries behind after; it waits up to block for the
// first, not at all if block is below a millisecond.
func (l *Log) read(ctx context.Context, c *redis.Client, ln *lane, after event.Position, count int, block time.Duration) ([]entry, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	if entries := ln.near(ctx, after.Seq, count, block); len(entries) > 0 {
		return entries, nil
	}
	if l.embedded {
		return l.poll(ctx, c, ln, after, count, block)
	}
	args := []any{"XREAD", "COUNT", count, "STREAMS", ln.key, entryID(after)}
	if ms := block.Milliseconds(); ms > 0 {
		args = []any{"XREAD", "COUNT", count, "BLOCK", ms, "STREAMS", ln.key, entryID(after)}
	}
	return l.xread(ctx, c, args)
}

// poll reads from the embedded Redis, whose blocking reads look at every entry
// again at each command of anyone. Appends of this process wake it at once.
func (l *Log) poll(ctx context.Context, c *redis.Client, ln *lane, after event.Position, count int, block time.Duration) ([]entry, error) {
	args := []any{"XREAD", "COUNT", count, "STREAMS", ln.key, entryID(after)}
	deadline := time.Now().Add(block)
	for {
		woken := ln.wake()
		entries, err := l.xread(ctx, c, args)
		left := time.Until(deadline)
		if err != nil || len(entries) > 0 || left <= 0 {
			return entries, err
		}
		select {
		case <-woken:
		case <-time.After(min(left, pollEvery)):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// pollEvery is how often the embedded log is asked for what others appended.
const pollEvery = 50 * time.Millisecond

func (l *Log) xread(ctx context.Context, c *redis.Client, args []any) ([]entry, error) {
	reply, err := c.Do(ctx, args...).Slice()
	if isNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, l.awayOrFatal(err)
	}
	return l.entries(reply)
}

// entries reads XREAD's reply for one stream: [[key, [[id, [name, value...]]...]]].
func (l *Log) entries(reply []any) ([]entry, error) {
	list := nested(nested(reply, 0), 1)
	entries := make([]entry, len(list))
	for i := range list {
		pair := nested(list, i)
		id, _ := elem(pair, 0).(string)
		place, err := l.at(id)
		if err != nil {
			return nil, l.fail(err)
		}
		entries[i] = entry{at: place, frame: frameField(nested(pair, 1))}
	}
	return entries, nil
}

func frameField(fields []any) []byte {
	for i := 0; i+1 < len(fields); i += 2 {
		if name, _ := fields[i].(string); name == "f" {
			text, _ := fields[i+1].(string)
			return unsafe.Slice(unsafe.StringData(text), len(text)) // frames are never written to
		}
	}
	return nil
}

func elem(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func nested(list []any, i int) []any {
	sub, _ := elem(list, i).([]any)
	return sub
}

// asInt reads a number of a Redis reply, 0 if it is none.
func asInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	default:
		return 0
	}
}
