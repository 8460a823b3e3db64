package stream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/engine/event"
)

// RegisterReader gives reader a position in every lane of stream: at the start of
// what is there. A reader that has positions keeps them. From then on nothing
// that it has not passed is trimmed, until [Log.ForgetReader]. external says that
// the reader keeps its true position elsewhere (see [Log.Align]).
func (l *Log) RegisterReader(ctx context.Context, reader, stream string, external bool) error {
	return l.register(ctx, reader, stream, external, nil)
}

// RegisterReaderAfter is [Log.RegisterReader] for a reader that begins behind given
// entries, one for each lane; where these are trimmed, at the start of what is there.
func (l *Log) RegisterReaderAfter(ctx context.Context, reader, stream string, external bool, after []event.Position) error {
	if len(after) != l.laneCount {
		return fatalf("reader %q: %d places for %d lanes", reader, len(after), l.laneCount)
	}
	return l.register(ctx, reader, stream, external, after)
}

func (l *Log) register(ctx context.Context, reader, stream string, external bool, after []event.Position) error {
	if !isName(reader) {
		return fatalf("reader %q: not a name", reader)
	}
	keys := []string{l.keys.meta, l.keys.positions, l.keys.readers, l.keys.none}
	args := []any{l.epochText, readerField(reader, stream), kindOf(external)}
	for i := range l.laneCount {
		ln, err := l.lane(stream, i)
		if err != nil {
			return err
		}
		keys = append(keys, ln.info)
		start := ""
		if after != nil {
			start = entryID(after[i])
		}
		args = append(args, positionField(reader, stream, i), start)
	}
	word, _, err := l.call(ctx, registerScript, keys, args)
	if err == nil && word != "ok" {
		err = l.answered(word, "")
	}
	if err != nil {
		return fmt.Errorf("register reader %s of %s: %w", reader, stream, err)
	}
	return nil
}

// ForgetReader removes a reader's positions, so that it pins nothing any more.
// It is for readers that will not come back.
func (l *Log) ForgetReader(ctx context.Context, reader, stream string) error {
	if err := l.usable(); err != nil {
		return err
	}
	fields := make([]string, l.laneCount)
	for i := range fields {
		fields[i] = positionField(reader, stream, i)
	}
	pipe := l.rdb.Pipeline()
	pipe.HDel(ctx, l.keys.readers, readerField(reader, stream))
	pipe.HDel(ctx, l.keys.positions, fields...)
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("forget reader %s of %s: %w", reader, stream, l.awayOrFatal(err))
	}
	return nil
}

// Position returns the last entry that the reader has finished with, the zero
// place of this epoch if none. A reader that is not registered is a Fatal error.
func (l *Log) Position(ctx context.Context, reader, stream string, number int) (event.Position, error) {
	ln, err := l.lane(stream, number)
	if err != nil {
		return event.Position{}, err
	}
	if err := l.usable(); err != nil {
		return event.Position{}, err
	}
	id, err := l.rdb.HGet(ctx, l.keys.positions, positionField(reader, stream, number)).Result()
	if isNil(err) {
		return event.Position{}, ln.wrap("position in", fatalf("reader %s is not registered", reader))
	}
	if err != nil {
		return event.Position{}, ln.wrap("position of "+reader+" in", l.awayOrFatal(err))
	}
	return l.at(id)
}

// Align puts a reader's position to where the reader's own store says that it
// stands, forward or back; the zero Position means the start of what is there.
// A place of another epoch is [ErrWrongEpoch], unless a loss was accepted: the
// reader is then put to the last entry that was there before it lost its own, by
// number and time. One beyond the lane's end, or where the lane has another entry,
// is [ErrBehind]: the log has lost what that store has seen. One below what is still
// there is [ErrBehind] too. All are Fatal and the log tells [Config.OnFatal].
func (l *Log) Align(ctx context.Context, le *Lease, reader, stream string, number int, to event.Position) error {
	ln, err := l.lane(stream, number)
	if err != nil {
		return err
	}
	epoch := strconv.FormatUint(to.Epoch, 10)
	if to.IsZero() {
		epoch = ""
	}
	word, rest, err := l.call(ctx, alignScript,
		[]string{l.keys.meta, l.keys.owners, le.key, l.keys.positions, ln.info, ln.key},
		[]any{
			l.epochText, le.name, le.token, l.cfg.LeaseTTL.Milliseconds(),
			positionField(reader, stream, number), entryID(to), epoch,
		})
	if err == nil {
		err = l.aligned(le, to, word, rest)
	}
	return ln.wrap("align "+reader+" in", err)
}

func (l *Log) aligned(le *Lease, to event.Position, word string, rest []any) error {
	switch word {
	case "ok":
		return nil
	case "foreign":
		return l.fail(fmt.Errorf("%w: the reader stands at %s, the log's epoch is %d; was it flushed or exchanged?", ErrWrongEpoch, to, l.epoch))
	case "trimmed":
		return l.failAsTorn(fmt.Errorf("%w: %s is needed, what is left starts behind %s", ErrBehind, to, replyText(rest, 0)))
	case "other":
		return l.failAsTorn(fmt.Errorf("%w: the reader stands at %s, and other entries have come to that place since", ErrBehind, to))
	case "behind":
		return l.failAsTorn(fmt.Errorf("%w: the reader stands at %s, it ends at %s", ErrBehind, to, replyText(rest, 0)))
	case "lost_lease":
		l.lostTo(le, "")
		return ErrLostLease
	default:
		return l.answered(word, replyText(rest, 0))
	}
}
