package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/node"
)

// ErrLetterGone says that a dead letter was dropped or driven again by somebody else.
var ErrLetterGone = errors.New("dead letter is not there any more")

// Redrive takes letters out and appends outputs, which carry their events, in one
// atomic step: an event is always in exactly one of the two places. It needs no
// lease. Where an answer was lost, calling it again gives [ErrLetterGone].
//
// Errors: [ErrLetterGone], [ErrFull] (Away) if a stream has no room, and those of
// [Log.Append] that are Away or Fatal.
func (l *Log) Redrive(ctx context.Context, letters []StoredDeadLetter, outputs []Output) error {
	b := commitArgs{keys: []string{l.keys.meta, l.keys.usage, l.keys.dead, l.keys.deadIndex, l.keys.blocked, l.keys.blockedBy}}
	b.args = append(b.args, l.epochText, 0, len(outputs), len(letters))
	if err := b.outputs(l, outputs); err != nil {
		return err
	}
	b.args[1] = len(b.lanes)
	for i := range letters {
		total, again := letters[i].blocks()
		fewer := 0
		if letters[i].Released {
			fewer = 1
		}
		b.args = append(b.args, letters[i].ID, letters[i].index(), letters[i].cost, again, total, fewer)
	}
	if err := l.redrive(ctx, &b); err != nil {
		return fmt.Errorf("drive %d dead letters again: %w", len(letters), err)
	}
	return nil
}

func (l *Log) redrive(ctx context.Context, b *commitArgs) error {
	word, rest, err := l.call(ctx, redriveScript, b.keys, b.args)
	if errors.Is(err, errOutOfMemory) {
		l.outOfMemory()
		return node.AsAway(errors.Join(ErrFull, err))
	}
	if err != nil {
		return err
	}
	switch word {
	case "ok":
		return l.sawHeads(b, rest)
	case "gone":
		return fmt.Errorf("%w: %s", ErrLetterGone, replyText(rest, 0))
	default:
		return l.answered(word, replyText(rest, 0))
	}
}

// Blocked is what holds a key up at a node.
type Blocked struct {
	First  string // id of the first event that does, 32 hex digits
	Events int64  // letters, and events that are being driven again
}

// Blocked returns those of keys that dead letters of a node with strict order hold
// up: in the live run, or with generation "redrive" among what is driven again.
func (l *Log) Blocked(ctx context.Context, node, generation string, keys []string) (map[string]Blocked, error) {
	if err := l.usable(); err != nil || len(keys) == 0 {
		return nil, err
	}
	fields := make([]string, len(keys))
	for i, key := range keys {
		fields[i] = blockedField(node, key, generation)
	}
	pipe := l.rdb.Pipeline()
	counts, firsts := pipe.HMGet(ctx, l.keys.blocked, fields...), pipe.HMGet(ctx, l.keys.blockedBy, fields...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("look what is held up at %s: %w", node, l.awayOrFatal(err))
	}
	var found map[string]Blocked
	for i, key := range keys {
		n := asInt(counts.Val()[i])
		if n == 0 {
			continue
		}
		if found == nil {
			found = map[string]Blocked{}
		}
		first, _ := firsts.Val()[i].(string)
		found[key] = Blocked{first, n}
	}
	return found, nil
}

// Lag returns how many events of stream the reader has not finished with.
func (l *Log) Lag(ctx context.Context, reader, stream string) (int64, error) {
	total := int64(0)
	for number := range l.laneCount {
		ln, err := l.lane(stream, number)
		if err != nil {
			return 0, err
		}
		n, err := l.lagOf(ctx, reader, ln)
		if err != nil {
			return 0, ln.wrap("lag of "+reader+" in", err)
		}
		total += n
	}
	return total, nil
}

func (l *Log) lagOf(ctx context.Context, reader string, ln *lane) (int64, error) {
	at, err := l.Position(ctx, reader, ln.stream, ln.number)
	if err != nil {
		return 0, err
	}
	events, err := l.rdb.HGet(ctx, ln.info, "events").Int64()
	if isNil(err) {
		return 0, nil
	}
	if err != nil {
		return 0, l.awayOrFatal(err)
	}
	reply, err := peekScript.Run(ctx, l.rdb, []string{ln.key}, entryID(at)).Slice()
	if err != nil {
		return 0, l.awayOrFatal(err)
	}
	next := nested(reply, 0)
	if id, _ := elem(next, 0).(string); id == "" {
		return 0, nil
	}
	return events - asInt(elem(next, 2)) + asInt(elem(next, 1)), nil
}
