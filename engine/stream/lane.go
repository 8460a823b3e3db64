package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// lane is what this process knows of one lane.
type lane struct {
	stream string
	number int
	key    string // Redis stream of frames
	info   string // Redis hash with head, floor and sums

	known  atomic.Uint64 // newest frame number seen; a log that ends before it is behind
	limit  atomic.Int64  // bytes that the whole stream may take
	tail   tail          // what was stored from here
	waking chan struct{} // closed by the next append here; guarded by mu
	mu     sync.Mutex
}

// saw remembers that frame number seq exists and wakes local readers.
func (ln *lane) saw(seq uint64) {
	for {
		old := ln.known.Load()
		if seq <= old {
			return
		}
		if ln.known.CompareAndSwap(old, seq) {
			break
		}
	}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.waking != nil {
		close(ln.waking)
		ln.waking = nil
	}
}

// wake returns a channel that is closed by the next append of this process.
func (ln *lane) wake() <-chan struct{} {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.waking == nil {
		ln.waking = make(chan struct{})
	}
	return ln.waking
}

func (ln *lane) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s/%d: %w", what, ln.stream, ln.number, err)
}

// EnsureStreams makes the streams known to the log and gives each its share of
// the log's bytes: half is the journal's, the rest is shared evenly; streams of
// other generations get half of such a share on top. Streams that exist stay. It may be called again with more names.
func (l *Log) EnsureStreams(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	args := append(make([]any, 0, 2+len(names)), l.epochText, formatVersion)
	for _, name := range names {
		if !isName(name) {
			return fatalf("stream %q: not a name", name)
		}
		args = append(args, name)
	}
	word, _, err := l.call(ctx, ensureScript, []string{l.keys.meta, l.keys.streams, l.keys.none}, args)
	if err == nil && word != "ok" {
		err = l.answered(word, "")
	}
	if err != nil {
		return fmt.Errorf("name streams: %w", err)
	}
	l.addStreams(names)
	return l.learnHeads(ctx, names)
}

func (l *Log) addStreams(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if l.lanes[name] != nil {
			continue
		}
		list := make([]*lane, l.laneCount)
		for i := range list {
			list[i] = &lane{stream: name, number: i, key: l.keys.stream(name, i), info: l.keys.lane(name, i)}
		}
		l.lanes[name] = list
	}
	for name, list := range l.lanes {
		for _, ln := range list {
			ln.limit.Store(l.share(name))
		}
	}
}

// share is the number of bytes that a stream may take. Giving half to the journal
// and none of it to the others keeps what drains it from being starved by it.
// Streams of other generations come on top and take nothing from the live ones.
func (l *Log) share(name string) int64 {
	others := int64(0)
	for other := range l.lanes {
		if other != Journal && !ofGeneration(other) {
			others++
		}
	}
	switch {
	case ofGeneration(name):
		return l.maxBytes / 4 / max(others, 1)
	case name != Journal:
		return l.maxBytes / 2 / others
	case others == 0:
		return l.maxBytes
	default:
		return l.maxBytes / 2
	}
}

// learnHeads reads how far the lanes reach, so that a log that loses its tail
// while this process runs is noticed.
func (l *Log) learnHeads(ctx context.Context, names []string) error {
	for _, name := range names {
		for i := range l.laneCount {
			head, err := l.Head(ctx, name, i)
			if err != nil {
				return err
			}
			if ln, err := l.lane(name, i); err == nil {
				ln.saw(head.Seq)
			}
		}
	}
	return nil
}

// lane finds a lane; a stream that nobody ensured or a number out of range is a
// mistake of the caller.
func (l *Log) lane(stream string, number int) (*lane, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	list := l.lanes[stream]
	if number < 0 || number >= len(list) {
		return nil, fatalf("stream %s has no lane %d", stream, number)
	}
	return list[number], nil
}

// allLanes returns every lane that this process knows, in no special order.
func (l *Log) allLanes() []*lane {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var all []*lane
	for _, list := range l.lanes {
		all = append(all, list...)
	}
	return all
}

// Head returns the place of the lane's newest entry, also if it was trimmed
// since; the zero place of this epoch if there never was one.
func (l *Log) Head(ctx context.Context, stream string, number int) (event.Position, error) {
	return l.laneField(ctx, stream, number, "head")
}

// Trimmed returns the place of the newest entry that was removed from the lane's
// start: every entry behind it is still there. The zero place of this epoch if
// nothing was removed.
func (l *Log) Trimmed(ctx context.Context, stream string, number int) (event.Position, error) {
	return l.laneField(ctx, stream, number, "floor")
}

func (l *Log) laneField(ctx context.Context, stream string, number int, field string) (event.Position, error) {
	ln, err := l.lane(stream, number)
	if err != nil {
		return event.Position{}, err
	}
	id, err := l.rdb.HGet(ctx, ln.info, field).Result()
	if isNil(err) {
		return event.Position{Epoch: l.epoch}, nil
	}
	if err != nil {
		return event.Position{}, ln.wrap("read "+field+" of", l.awayOrFatal(err))
	}
	return l.at(id)
}

var errClosed = node.AsFatal(fmt.Errorf("log is closed"))

// StreamNames lists the streams of the log in no special order, those of earlier
// runs included.
func (l *Log) StreamNames() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Collect(maps.Keys(l.lanes))
}
