package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/event"
)

// Stats is a snapshot of the log, as [Log.Run] saw it last.
type Stats struct {
	At          time.Time // when it was taken; zero: never yet
	Bytes       int64     // taken by frames
	MaxBytes    int64     // that frames may take
	HoursLeft   float64   // until full at the growth of the last minutes; +Inf if it does not grow
	Streams     map[string]StreamStats
	Readers     []ReaderStats // by reader, stream and lane
	DeadLetters int64
	DeadBytes   int64
}

// StreamStats is what one stream holds.
type StreamStats struct {
	Bytes  int64
	Limit  int64 // at which appends are refused
	Frames int64
}

// ReaderStats is where one reader stands in one lane.
type ReaderStats struct {
	Reader, Stream string
	Lane           int
	Position       event.Position
	Events         int64   // not yet finished with
	Seconds        float64 // age of the oldest of them, 0 if there is none
	External       bool    // the reader's true position is kept elsewhere
}

// Stats returns the last snapshot without asking Redis. It must not be changed.
func (l *Log) Stats() Stats {
	if s := l.stats.Load(); s != nil {
		return *s
	}
	return Stats{MaxBytes: l.maxBytes}
}

func (l *Log) refreshStats(ctx context.Context) error {
	s := Stats{At: time.Now(), MaxBytes: l.maxBytes, Streams: map[string]StreamStats{}}
	usage, err := l.rdb.HGetAll(ctx, l.keys.usage).Result()
	if err != nil {
		return fmt.Errorf("usage of the log: %w", l.awayOrFatal(err))
	}
	for name, v := range usage {
		if name == deadUsage {
			s.DeadBytes = asInt(v)
			continue
		}
		s.Streams[name] = StreamStats{Bytes: asInt(v)}
		s.Bytes += asInt(v)
	}
	if s.DeadLetters, err = l.rdb.XLen(ctx, l.keys.dead).Result(); err != nil {
		return fmt.Errorf("count dead letters: %w", l.awayOrFatal(err))
	}
	l.stats.Store(&s)
	return nil
}
