package stream

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// facts is what Redis knows of all lanes and readers at one moment.
type facts struct {
	lanes     []laneFacts
	positions map[string]string
}

// laneFacts is what Redis knows of one lane at one moment.
type laneFacts struct {
	ln          *lane
	name        string // "stream|lane"
	known       uint64 // newest frame number that this process had seen before asking
	head, floor int64  // frame numbers
	accepted    int64  // holes up to here were accepted by people
	length      int64  // entries in the stream
	dropped     bool   // of another generation, whose end another engine has seen
	events      int64  // ever appended
}

// checkLanes compares every lane with what it ought to hold. A log that was
// flushed in part, trimmed by others or put back to an older copy is stopped
// loudly: its readers would pass over what is missing without a word.
func (l *Log) checkLanes(ctx context.Context) (*facts, error) {
	f, err := l.facts(ctx)
	if err != nil {
		return nil, err
	}
	for i := range f.lanes {
		if f.lanes[i].dropped {
			l.forgetLanes(f.lanes[i].ln.stream)
		} else if err := f.lanes[i].check(); err != nil {
			return nil, l.failAsTorn(err)
		}
	}
	f.lanes = slices.DeleteFunc(f.lanes, func(lf laneFacts) bool { return lf.dropped })
	return f, f.checkPositions(l)
}

// checkPositions finds a reader that stands behind its lane's end.
func (f *facts) checkPositions(l *Log) error {
	for field, id := range f.positions {
		reader, name, _ := strings.Cut(field, "|")
		ln := f.lane(name)
		if ln == nil || entryNumber(id) <= ln.head {
			continue
		}
		return l.failAsTorn(ln.ln.wrap("look at", fmt.Errorf("%w: %s stands at %s, it ends at frame %d", ErrBehind, reader, id, ln.head)))
	}
	return nil
}

// lane finds "stream|lane".
func (f *facts) lane(name string) *laneFacts {
	for i := range f.lanes {
		if f.lanes[i].name == name {
			return &f.lanes[i]
		}
	}
	return nil
}

func (l *Log) failAsTorn(err error) error {
	return l.fail(fmt.Errorf("%w; `engine log accept-loss` goes on with what is there", err))
}

// facts asks for everything at one moment: a reader's place is never newer than
// the lane's end beside it.
func (l *Log) facts(ctx context.Context) (*facts, error) {
	lanes := l.allLanes()
	f := &facts{lanes: make([]laneFacts, len(lanes)), positions: map[string]string{}}
	keys := append(make([]string, 0, 2+2*len(lanes)), l.keys.positions, l.keys.streams)
	names := make([]any, len(lanes))
	for i, ln := range lanes {
		name := strings.TrimPrefix(positionField("", ln.stream, ln.number), "|")
		f.lanes[i] = laneFacts{ln: ln, name: name, known: ln.known.Load()}
		keys, names[i] = append(keys, ln.key, ln.info), ln.stream
	}
	reply, err := factsScript.Run(ctx, l.rdb, keys, names...).Slice()
	if err != nil {
		return nil, fmt.Errorf("look at %d lanes: %w", len(lanes), l.awayOrFatal(err))
	}
	positions := nested(reply, 0)
	for i := 0; i+1 < len(positions); i += 2 {
		field, _ := positions[i].(string)
		f.positions[field], _ = positions[i+1].(string)
	}
	for i := range f.lanes {
		v, lf := nested(reply, 1+i), &f.lanes[i]
		lf.head, lf.floor = entryNumber(elem(v, 0)), entryNumber(elem(v, 1))
		lf.accepted, lf.events, lf.length = asInt(elem(v, 2)), asInt(elem(v, 3)), asInt(elem(v, 4))
		lf.dropped = asInt(elem(v, 5)) == 0 && ofGeneration(lf.ln.stream)
	}
	return f, nil
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
