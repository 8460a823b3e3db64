package stream

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/event"
)

// Mark is a place in a lane and how many events were appended up to and with it.
type Mark struct {
	At     event.Position `json:"at"`
	Events int64          `json:"events"`
}

// MarkBefore returns the last entry of a lane that was appended before the time, in
// ms since the Unix epoch; the entry just before what is still there if all of it is
// younger. The largest time gives the lane's end.
func (l *Log) MarkBefore(ctx context.Context, stream string, number int, ms int64) (Mark, error) {
	if ms <= 0 {
		return l.markFloor(ctx, stream, number)
	}
	return l.mark(ctx, stream, number, strconv.FormatInt(ms-1, 10))
}

// MarkAt returns the last entry of a lane up to and with at.
func (l *Log) MarkAt(ctx context.Context, stream string, number int, at event.Position) (Mark, error) {
	return l.mark(ctx, stream, number, entryID(at))
}

// LaneEnd is the time of which [Log.MarkBefore] gives a lane's end.
const LaneEnd = math.MaxInt64

func (l *Log) mark(ctx context.Context, stream string, number int, upTo string) (Mark, error) {
	ln, err := l.lane(stream, number)
	if err != nil {
		return Mark{}, err
	}
	entries, err := l.rdb.XRevRangeN(ctx, ln.key, upTo, "-", 1).Result()
	if err != nil {
		return Mark{}, ln.wrap("find a place in", l.awayOrFatal(err))
	}
	if len(entries) == 0 {
		return l.markFloor(ctx, stream, number)
	}
	at, err := l.at(entries[0].ID)
	return Mark{at, asInt(entries[0].Values["e"])}, err
}

// markFloor is the place just before what is still there.
func (l *Log) markFloor(ctx context.Context, stream string, number int) (Mark, error) {
	floor, err := l.Trimmed(ctx, stream, number)
	if err != nil {
		return Mark{}, err
	}
	ln, err := l.lane(stream, number)
	if err != nil {
		return Mark{}, err
	}
	events, err := l.rdb.HGet(ctx, ln.info, "events").Int64()
	if err != nil && !isNil(err) {
		return Mark{}, ln.wrap("find a place in", l.awayOrFatal(err))
	}
	entries, err := l.rdb.XRangeN(ctx, ln.key, "-", "+", 1).Result()
	if err != nil {
		return Mark{}, ln.wrap("find a place in", l.awayOrFatal(err))
	}
	if len(entries) > 0 {
		events = asInt(entries[0].Values["e"]) - asInt(entries[0].Values["n"])
	}
	return Mark{floor, events}, nil
}

// DropStreams forgets streams of generations that ended, with their entries, and the
// states of nodes, named as commits have named them. Their readers must have been
// forgotten and nobody may append to them any more. The live streams are refused.
// It may be repeated.
func (l *Log) DropStreams(ctx context.Context, streams, states []string) error {
	keys := []string{l.keys.meta, l.keys.streams, l.keys.usage, l.keys.none}
	args := []any{l.epochText}
	for _, name := range streams {
		if !ofGeneration(name) {
			return fatalf("stream %q belongs to the live generation", name)
		}
		args = append(args, name)
		for n := range l.laneCount {
			keys = append(keys, l.keys.stream(name, n), l.keys.lane(name, n))
		}
	}
	for _, node := range states {
		if !ofGeneration(node) {
			return fatalf("the state of %q belongs to the live generation", node)
		}
		keys = append(keys, l.keys.state(node), l.keys.stateVersions(node))
	}
	word, _, err := l.call(ctx, dropStreamsScript, keys, args)
	if err == nil && word != "ok" {
		err = l.answered(word, "")
	}
	if err != nil {
		return fmt.Errorf("drop streams: %w", err)
	}
	for _, name := range streams {
		l.forgetLanes(name)
	}
	return nil
}

// ForgetGeneration removes what a generation that ended has in the log: the places of
// its readers, its streams, and the states of the nodes that are named. It may be
// repeated. The live generation is refused.
func (l *Log) ForgetGeneration(ctx context.Context, generation string, nodes []string) error {
	if err := l.usable(); err != nil {
		return err
	}
	suffix := "@" + generation
	fields, err := l.rdb.HKeys(ctx, l.keys.readers).Result()
	if err != nil {
		return fmt.Errorf("forget generation %s: %w", generation, l.awayOrFatal(err))
	}
	for _, field := range fields {
		if reader, stream, _ := strings.Cut(field, "|"); strings.HasSuffix(reader, suffix) && generation != Live {
			if err := l.ForgetReader(ctx, reader, stream); err != nil {
				return err
			}
		}
	}
	streams := slices.DeleteFunc(l.StreamNames(), func(name string) bool { return !strings.HasSuffix(name, suffix) })
	states := make([]string, len(nodes))
	for i, n := range nodes {
		states[i] = StateOf(n, generation)
	}
	return l.DropStreams(ctx, streams, states)
}

// forgetLanes makes a stream unknown to this process.
func (l *Log) forgetLanes(stream string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lanes, stream)
}

// SaveReplay keeps a field of what is known of replays, [Log.Replays] returns all of
// them, and DropReplay forgets some. Errors are Away or Fatal.
func (l *Log) SaveReplay(ctx context.Context, field string, value []byte) error {
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.rdb.HSet(ctx, l.keys.replays, field, value).Err(); err != nil {
		return fmt.Errorf("keep %s of the replays: %w", field, l.awayOrFatal(err))
	}
	return nil
}

// Replays returns every field that [Log.SaveReplay] has kept.
func (l *Log) Replays(ctx context.Context) (map[string]string, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	all, err := l.rdb.HGetAll(ctx, l.keys.replays).Result()
	if err != nil {
		return nil, fmt.Errorf("read the replays: %w", l.awayOrFatal(err))
	}
	return all, nil
}

// DropReplay forgets fields that [Log.SaveReplay] has kept.
func (l *Log) DropReplay(ctx context.Context, fields ...string) error {
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.rdb.HDel(ctx, l.keys.replays, fields...).Err(); err != nil {
		return fmt.Errorf("forget replays: %w", l.awayOrFatal(err))
	}
	return nil
}
