package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// laneFacts is what Redis knows of one lane at one moment.
type laneFacts struct {
	ln          *lane
	known       uint64 // newest frame number that this process had seen before asking
	head, floor int64  // frame numbers
	accepted    int64  // holes up to here were accepted by people
	length      int64  // entries in the stream
	headEvents  int64
}

// checkLanes compares every lane with what it ought to hold. A log that was
// flushed in part, trimmed by others or put back to an older copy is stopped
// loudly: its readers would pass over what is missing without a word.
func (l *Log) checkLanes(ctx context.Context) error {
	facts, err := l.laneFacts(ctx)
	if err != nil {
		return err
	}
	for i := range facts {
		if err := facts[i].check(); err != nil {
			return l.failIfOpen(err)
		}
	}
	return nil
}

func (l *Log) failIfOpen(err error) error {
	return l.fail(fmt.Errorf("%w; `engine log accept-loss` goes on with what is there", err))
}

func (l *Log) laneFacts(ctx context.Context) ([]laneFacts, error) {
	lanes := l.allLanes()
	if len(lanes) == 0 {
		return nil, nil
	}
	facts := make([]laneFacts, len(lanes))
	infos, lengths := make([]*redis.SliceCmd, len(lanes)), make([]*redis.IntCmd, len(lanes))
	pipe := l.rdb.TxPipeline()
	for i, ln := range lanes {
		facts[i] = laneFacts{ln: ln, known: ln.known.Load()}
		infos[i] = pipe.HMGet(ctx, ln.info, "head", "floor", "accepted", "events")
		lengths[i] = pipe.XLen(ctx, ln.key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("look at %d lanes: %w", len(lanes), l.awayOrFatal(err))
	}
	for i := range facts {
		v := infos[i].Val()
		facts[i].head, facts[i].floor = entryNumber(v[0]), entryNumber(v[1])
		facts[i].accepted, facts[i].headEvents = asInt(v[2]), asInt(v[3])
		facts[i].length = lengths[i].Val()
	}
	return facts, nil
}

func (f *laneFacts) check() error {
	if f.head < int64(f.known) {
		return f.ln.wrap("look at", fmt.Errorf("%w: it ends at frame %d, frame %d was stored", ErrBehind, f.head, f.known))
	}
	if f.accepted <= f.floor && f.length != f.head-f.floor {
		return f.ln.wrap("look at", fmt.Errorf("%w: it has %d frames where %d ought to be (trimmed by others?)",
			ErrBehind, f.length, f.head-f.floor))
	}
	return nil
}

// entryNumber returns the frame number of an entry id in a Redis reply, 0 if none.
func entryNumber(v any) int64 {
	text, _ := v.(string)
	_, number, _ := strings.Cut(text, "-")
	n, _ := strconv.ParseInt(number, 10, 64)
	return n
}
