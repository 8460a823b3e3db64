package stream

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
)

// Stats is a snapshot of the log, as [Log.Run] saw it last.
type Stats struct {
	At          time.Time // when it was taken; zero: never yet
	Bytes       int64     // taken by frames
	MaxBytes    int64     // that frames may take
	HoursLeft   float64   // until full at the growth of the last ten minutes; +Inf if it does not grow
	Streams     map[string]StreamStats
	Readers     []ReaderStats // by stream, reader and lane
	DeadLetters int64
	DeadBytes   int64
	DeadAlarm   bool  // they take more than [Config.DeadAlarm]
	DeadCut     int64 // letters that this process has stored with a part of their content
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
	Seconds        float64 // since the oldest of them was appended, 0 if there is none
	External       bool    // the reader's true position is kept elsewhere
}

// deadUsage is the field of the usage hash that counts bytes of dead letters.
const deadUsage = "!dead"

// Stats returns the last snapshot without asking Redis. It must not be changed.
func (l *Log) Stats() Stats {
	if s := l.stats.Load(); s != nil {
		return *s
	}
	return Stats{MaxBytes: l.maxBytes, HoursLeft: math.Inf(1)}
}

func (l *Log) refreshStats(ctx context.Context, f *facts) error {
	pipe := l.rdb.Pipeline()
	usage, dead := pipe.HGetAll(ctx, l.keys.usage), pipe.XLen(ctx, l.keys.dead)
	readers := pipe.HGetAll(ctx, l.keys.readers)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read usage and readers: %w", l.awayOrFatal(err))
	}
	s := Stats{At: time.Now(), MaxBytes: l.maxBytes, DeadLetters: dead.Val(), Streams: map[string]StreamStats{}}
	s.DeadBytes, s.DeadCut = asInt(usage.Val()[deadUsage]), l.cuts.Load()
	s.DeadAlarm = s.DeadBytes > l.cfg.DeadAlarm
	if s.DeadAlarm && !l.Stats().DeadAlarm {
		l.logger.Warn("dead letters take more than dead_letter_alarm: see engine dlq ls", "letters", s.DeadLetters, "bytes", s.DeadBytes)
	}
	for i := range f.lanes {
		ln := f.lanes[i].ln
		st := s.Streams[ln.stream]
		st.Bytes, st.Limit = asInt(usage.Val()[ln.stream]), ln.limit.Load()
		st.Frames += f.lanes[i].length
		s.Streams[ln.stream] = st
	}
	for _, st := range s.Streams {
		s.Bytes += st.Bytes
	}
	s.HoursLeft = l.growth.hoursLeft(s.At, s.Bytes, s.MaxBytes)
	var err error
	if s.Readers, err = l.readerStats(ctx, f, readers.Val()); err != nil {
		return err
	}
	l.stats.Store(&s)
	return nil
}

// readerStats finds every reader's place and what is behind it.
func (l *Log) readerStats(ctx context.Context, f *facts, kinds map[string]string) ([]ReaderStats, error) {
	var list []ReaderStats
	var lanes []*laneFacts
	for field, id := range f.positions {
		reader, name, _ := strings.Cut(field, "|")
		lf := f.lane(name)
		if lf == nil {
			continue // of a stream that this engine does not use
		}
		at, err := l.at(id)
		if err != nil {
			return nil, err
		}
		list = append(list, ReaderStats{
			Reader: reader, Stream: lf.ln.stream, Lane: lf.ln.number, Position: at,
			External: kinds[readerField(reader, lf.ln.stream)] == "external",
		})
		lanes = append(lanes, lf)
	}
	if err := l.measureLag(ctx, list, lanes); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b ReaderStats) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Reader, b.Reader), a.Lane-b.Lane)
	})
	return list, nil
}

// measureLag looks at the first entry that each reader has before it.
func (l *Log) measureLag(ctx context.Context, list []ReaderStats, lanes []*laneFacts) error {
	var keys []string
	var args []any
	var at []int
	for i := range list {
		if int64(list[i].Position.Seq) < lanes[i].head {
			keys, args, at = append(keys, lanes[i].ln.key), append(args, entryID(list[i].Position)), append(at, i)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	reply, err := peekScript.Run(ctx, l.rdb, keys, args...).Slice()
	if err != nil {
		return fmt.Errorf("measure lag: %w", l.awayOrFatal(err))
	}
	now := time.Now().UnixMilli()
	for n, i := range at {
		e := nested(reply, n)
		id, _ := elem(e, 0).(string)
		next, err := l.at(id)
		if err != nil {
			continue // trimmed or appended to in between; the next snapshot has it
		}
		list[i].Events = lanes[i].events - asInt(elem(e, 2)) + asInt(elem(e, 1))
		list[i].Seconds = float64(max(now-int64(next.Ms), 0)) / 1000
	}
	return nil
}

// growth remembers how many bytes the log held in the last ten minutes.
type growth struct {
	samples []sample
}

type sample struct {
	at    time.Time
	bytes int64
}

const (
	growthWindow = 10 * time.Minute
	growthStep   = 10 * time.Second
)

// hoursLeft adds a sample and says when most is reached if things go on so.
func (g *growth) hoursLeft(now time.Time, bytes, most int64) float64 {
	if n := len(g.samples); n == 0 || now.Sub(g.samples[n-1].at) >= growthStep {
		g.samples = append(g.samples, sample{now, bytes})
	}
	for now.Sub(g.samples[0].at) > growthWindow {
		g.samples = g.samples[1:]
	}
	first := g.samples[0]
	grown, hours := bytes-first.bytes, now.Sub(first.at).Hours()
	switch {
	case bytes >= most:
		return 0
	case grown <= 0 || hours <= 0:
		return math.Inf(1)
	default:
		return float64(most-bytes) / (float64(grown) / hours)
	}
}
