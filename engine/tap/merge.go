package tap

import (
	"context"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

const (
	heldFrames = 64                     // that are read ahead, over all lanes
	askAgain   = 200 * time.Millisecond // before a lane that had nothing is asked again
)

// lane is how far one lane has been read.
type lane struct {
	stream  string
	number  int
	sources map[string]bool // whose events are meant; nil: all
	read    event.Position  // the newest entry that was read
	known   bool            // read is an entry: the next one's number follows it
	held    []stream.Entry  // read and not yet handed out
	asked   time.Time       // when there was nothing; zero: there may be something
	over    bool            // the end that was asked for is passed
}

// merge hands out the entries of several lanes by the time at which they were
// appended, each once. Of entries that were there when it was opened the order is
// that of time; later ones come at most askAgain out of it.
type merge struct {
	log   Log
	lanes []*lane
	to    time.Time // entries from then on are left out; zero: none
}

// open finds where every lane begins: behind its newest entry, or in the past.
func open(ctx context.Context, log Log, view View, q query) (*merge, error) {
	m := &merge{log: log, to: q.to}
	for _, name := range view.streams() {
		for number := range log.Lanes() {
			l := &lane{stream: name, number: number, sources: view.sources(name), read: event.Position{Epoch: log.Epoch()}}
			m.lanes = append(m.lanes, l)
			if q.past {
				l.read.Ms = uint64(max(q.from.UnixMilli(), 0))
				continue
			}
			var err error
			if l.read, err = log.Head(ctx, name, number); err != nil {
				return nil, err
			}
			l.known = true
		}
	}
	return m, nil
}

// taken is one entry with its lane, and how many before it are there no more.
type taken struct {
	*lane
	entry  stream.Entry
	missed uint64
}

// next returns the oldest entry that was not handed out yet; ok is false if there
// is none now.
func (m *merge) next(ctx context.Context) (t taken, ok bool, err error) {
	var first *lane
	now := time.Now()
	for _, l := range m.lanes {
		if err := m.fill(ctx, l, now); err != nil {
			return taken{}, false, err
		}
		if len(l.held) > 0 && (first == nil || l.held[0].At.Ms < first.held[0].At.Ms) {
			first = l
		}
	}
	if first == nil {
		return taken{}, false, nil
	}
	return first.take(), true, nil
}

func (l *lane) take() taken {
	t := taken{lane: l, entry: l.held[0]}
	l.held = l.held[1:]
	if l.known {
		t.missed = t.entry.At.Seq - l.read.Seq - 1
	}
	l.read, l.known = t.entry.At, true
	return t
}

// fill reads ahead in a lane of which nothing is held.
func (m *merge) fill(ctx context.Context, l *lane, now time.Time) error {
	if len(l.held) > 0 || l.over || now.Sub(l.asked) < askAgain {
		return nil
	}
	entries, err := m.log.ReadFrames(ctx, l.stream, l.number, l.read, max(heldFrames/len(m.lanes), 1), 0)
	if err != nil {
		return err
	}
	l.held, l.asked = entries, time.Time{}
	if len(entries) == 0 {
		l.asked = now
	}
	for i, e := range entries {
		if m.ends(e) {
			l.held, l.over = entries[:i], true
			break
		}
	}
	return nil
}

func (m *merge) ends(e stream.Entry) bool {
	return !m.to.IsZero() && e.At.Ms >= uint64(max(m.to.UnixMilli(), 0))
}

// finished reports whether the end that was asked for is reached: every lane has
// passed it, or had nothing more when it was asked after it.
func (m *merge) finished() bool {
	if m.to.IsZero() {
		return false
	}
	for _, l := range m.lanes {
		if len(l.held) > 0 || !l.over && l.asked.Before(m.to) {
			return false
		}
	}
	return true
}
