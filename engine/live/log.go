// Package live follows the streams that chart sinks name and serves their points
// to any number of viewers over server-sent events: history first, then live,
// each point once, with ids from which a viewer resumes, also after a restart of
// the engine. It stands at the end of an event's way and only reads: it moves no
// reader's position, and no viewer, however slow, holds anything up.
package live

import (
	"context"
	"time"

	"github.com/millrace/millrace/engine/event"
)

// journal is the stream that mixes the events of all sources.
const journal = "journal"

// Entry is one frame of a lane with its place in the log.
type Entry struct {
	At    event.Position
	Frame []byte // encoded by event.Frame; never changes
}

// Log is what the hub needs of the log. Its methods are called concurrently.
type Log interface {
	// Epoch names this log for ever; another one means that its entries are others.
	Epoch() uint64

	// Lanes is the number of lanes of every stream.
	Lanes() int

	// Head returns the place of the lane's newest entry, the zero Position (but for
	// its epoch) if it never had one.
	Head(ctx context.Context, stream string, lane int) (event.Position, error)

	// ReadFrames returns up to maxFrames entries behind after, oldest first. If there
	// is none it waits up to block and then returns none.
	ReadFrames(ctx context.Context, stream string, lane int, after event.Position, maxFrames int, block time.Duration) ([]Entry, error)
}

// Trimmer is implemented by logs that can tell whether entries have been removed.
// Without it a viewer that resumes from before the oldest entry is not told so.
type Trimmer interface {
	// Trimmed returns a place such that every entry behind it is still there; the
	// zero Position if nothing was ever removed from the lane.
	Trimmed(ctx context.Context, stream string, lane int) (event.Position, error)
}
