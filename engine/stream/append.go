package stream

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// entryOverhead is what an entry is taken to need beside its frame, in bytes.
const entryOverhead = 96

// maxFrame is the largest frame that the log takes, in bytes.
const maxFrame = 64 << 20

// appending is what one lease's owner knows of its appends to one lane. Its
// number goes up only when an answer has arrived: an append that is tried again
// carries the number of the lost one, by which the script tells that it was done.
type appending struct {
	mu     sync.Mutex
	number uint64
}

func (le *Lease) appending(ln *lane) *appending {
	le.mu.Lock()
	defer le.mu.Unlock()
	a := le.lanes[ln]
	if a == nil {
		a = &appending{}
		le.lanes[ln] = a
	}
	return a
}

// Append stores one frame at the end of its lane, and with it the identities of
// its messages, or nothing at all. It returns once the frame is as durable as
// Redis makes its writes (a strict log has proved that this means: on disk).
//
// Errors: [*KnownError] if messages are stored already, [ErrFull] (Away) if the
// stream has no room, [ErrLostLease] (the owner must stop), [ErrWrongEpoch] and
// [ErrBehind] (Fatal, the pipeline must stop), or Away if Redis did not answer.
// Nobody knows then whether the frame was stored; calling Append again with the
// same frame, before any other of that lane, stores it once. Calls for one lease
// and lane wait for one another.
func (l *Log) Append(ctx context.Context, le *Lease, r AppendRequest) (event.Position, error) {
	ln, err := l.lane(r.Stream, r.Lane)
	if err != nil {
		return event.Position{}, err
	}
	if len(r.Frame) > maxFrame || r.Events < 1 {
		return event.Position{}, ln.wrap("append to", node.AsFatal(errors.New("frame is empty or above 64 MiB")))
	}
	a := le.appending(ln)
	a.mu.Lock()
	defer a.mu.Unlock()
	at, err := l.append(ctx, le, ln, a, &r)
	if err != nil {
		return event.Position{}, ln.wrap("append to", err)
	}
	ln.tail.add(entry{at, r.Frame})
	ln.saw(at.Seq)
	return at, nil
}

func (l *Log) append(ctx context.Context, le *Lease, ln *lane, a *appending, r *AppendRequest) (event.Position, error) {
	source := r.Source
	if source == "" {
		source = "-"
	}
	word, rest, err := l.call(ctx, appendScript,
		[]string{
			l.keys.meta, l.keys.owners, l.keys.usage, ln.key, ln.info,
			l.keys.buckets, l.keys.bucket(source, 0), l.keys.bucket(source, 1),
		},
		[]any{
			l.epochText, le.name, le.token, ln.stream, ln.limit.Load(), ln.known.Load(), r.Frame, r.Events,
			len(r.Frame) + entryOverhead, appendMark(a.number, r.Frame), source,
			l.cfg.IdentityWindow.Milliseconds(), identityBlob(r.Identities),
		})
	if err != nil {
		if errors.Is(err, errOutOfMemory) {
			l.outOfMemory()
			return event.Position{}, node.AsAway(errors.Join(ErrFull, err))
		}
		return event.Position{}, err
	}
	switch word {
	case "ok":
		a.number++
		return l.at(replyText(rest, 0))
	case "known":
		return event.Position{}, knownError(rest)
	case "lost_lease":
		l.lostTo(le, "")
	}
	return event.Position{}, l.answered(word, replyText(rest, 0))
}

// appendMark names one append of one owner to one lane. The digest tells a repeat
// from another frame that took the place of one whose answer was lost.
func appendMark(number uint64, frame []byte) string {
	b := make([]byte, 0, 40)
	b = strconv.AppendUint(b, number, 10)
	b = append(b, ' ')
	return string(strconv.AppendUint(b, xxhash.Sum64(frame), 16))
}

func identityBlob(ids []event.Identity) []byte {
	b := make([]byte, 0, len(ids)*len(event.Identity{}))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

func knownError(indexes []any) error {
	e := &KnownError{Indexes: make([]int, len(indexes))}
	for i := range indexes {
		e.Indexes[i] = int(replyInt(indexes, i))
	}
	return e
}

// waitFull is how long a commit waits before it tries a full stream again.
const waitFull = 50 * time.Millisecond
