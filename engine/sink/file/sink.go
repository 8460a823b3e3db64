// Package filesink writes records as lines of CSV or JSON lines files, at the end of
// an event's way. The lines of a unit and the sink's position are durable one after
// the other, lines first, and what no position speaks of is cut off before anything
// is written: so a crash at any point neither loses nor repeats a line. It does not
// read streams, keep dead letters or retry: it says by the class of an error what
// should be done.
package filesink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/sink/health"
)

// live is the generation that is no replay.
const live = "live"

const (
	lockWithin = 2 * time.Second      // another sink holds the lock for the length of one unit
	lockPause  = 2 * time.Millisecond // between two tries
	onceMore   = 10 * time.Second     // until a file that could not be finished in time is tried again
)

// Errors that stop a lane; each comes with class Fatal.
var (
	// ErrGap: the position beside the files is neither just before the unit nor at or
	// past its end.
	ErrGap = errors.New("position beside the files does not join the unit")
	// ErrForeign: the files in the folder are not those that the position speaks of.
	ErrForeign = errors.New("files and position do not belong together")

	errClosed = errors.New("sink is closed")
)

// Config is all that one sink needs.
type Config struct {
	Options
	// Pipeline, Generation and Node (the sink's id) say whose files these are.
	// Generation is "live" if empty; a replay's files are in a folder of their own
	// below Path, which has the generation's name.
	Pipeline, Generation, Node string
	// Passing says that the log does not outlive the process: a position in another
	// epoch is then none.
	Passing bool
	// Log may be nil.
	Log *slog.Logger
}

// Sink is an open file sink. Methods may be called from any goroutine; units are
// written one after another.
type Sink struct {
	cfg    Config
	enc    *encoder
	head   []byte
	dir    string
	owner  string // token of this incarnation in the position file
	health health.Lanes
	hook   func(step) error // of tests: called between two effects

	mu     sync.Mutex // guards what follows, and is held with the folder's lock
	lock   *os.File
	book   book
	unsure bool        // an effect has failed: look at the files before the next
	timer  *time.Timer // until the part is due; nil: none
	closed bool
}

var (
	_ node.Sink       = (*Sink)(nil)
	_ node.Positioned = (*Sink)(nil)
	_ node.Placer     = (*Sink)(nil)
	_ node.Rejoiner   = (*Sink)(nil)
)

// Open makes the folder and the position file if they are not there, and finishes
// what a crash has left half done. An error of class Away means that the disk does
// not let it and Open may be called again; a Fatal one, that the folder holds files of
// another sink or files that do not fit the position.
func Open(ctx context.Context, cfg Config) (*Sink, error) {
	s, err := newSink(cfg)
	if err != nil {
		return nil, node.AsFatal(fmt.Errorf("sink %q: %w", cfg.Node, err))
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("sink %q: %w", cfg.Node, err), s.Close())
	}
	return s, nil
}

func newSink(cfg Config) (*Sink, error) {
	if cfg.Name == "" {
		cfg.Name = cfg.Node
	}
	if cfg.Generation == "" {
		cfg.Generation = live
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, e := range cfg.Check() {
		return nil, e
	}
	enc, err := newEncoder(&cfg.Options)
	if err != nil {
		return nil, err
	}
	dir := cfg.Path
	if cfg.Generation != live {
		dir = filepath.Join(dir, cfg.Generation)
	}
	s := &Sink{cfg: cfg, enc: enc, head: enc.header(), dir: dir, owner: strings.ToLower(rand.Text())[:24]}
	s.book.path = filepath.Join(dir, "."+cfg.Name+".position")
	return s, nil
}

func (s *Sink) start(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return node.AsAway(err)
	}
	if s.lock, err = os.OpenFile(filepath.Join(s.dir, "."+s.cfg.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return node.AsAway(err)
	}
	return s.locked(ctx, func() error { return nil })
}

// locked looks at the position file under the folder's lock, makes the files what it
// says, and calls do. An error without a class becomes Away.
func (s *Sink) locked(ctx context.Context, do func() error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return node.AsFatal(errClosed)
	}
	if err := s.takeLock(ctx); err != nil {
		return err
	}
	defer func() {
		err = classify(errors.Join(err, unlock(s.lock)))
		s.unsure = err != nil
		s.arm()
	}()
	if err := s.open(); err != nil {
		return err
	}
	return do()
}

func classify(err error) error {
	if node.ClassOf(err) == node.Unsure {
		return node.AsAway(err)
	}
	return err
}

// takeLock waits for other sinks of the same folder: those of an engine that is being
// replaced, or the new ones of a reload.
func (s *Sink) takeLock(ctx context.Context) error {
	for begun := time.Now(); ; {
		ok, err := tryLock(s.lock)
		if err != nil || ok {
			return classify(err)
		}
		if time.Since(begun) > lockWithin {
			return node.AsAway(fmt.Errorf("another process holds %s", s.lock.Name()))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPause):
		}
	}
}

// Write implements [node.Sink]: the unit's lines, on disk, and only then the position
// that speaks of them.
func (s *Sink) Write(ctx context.Context, u *node.Unit) error {
	lines, err := s.enc.lines(u.Events)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.locked(ctx, func() error { return s.store(u, lines) })
	}
	if err != nil && node.ClassOf(err) != node.Rejected {
		err = fmt.Errorf("sink %q: unit %s..%s of %s: %w", s.cfg.Node, u.After, u.Last, keyOf(u.Stream, u.Lane), err)
	}
	s.health.Note(u.Stream, u.Lane, err)
	return err
}

func (s *Sink) store(u *node.Unit, lines []byte) error {
	key := keyOf(u.Stream, u.Lane)
	repeat, err := s.joins(key, u)
	if err != nil || repeat {
		return err
	}
	next := s.book.last
	if len(lines) > 0 {
		if err := s.rotate(int64(len(lines))); err != nil {
			return err
		}
		if next, err = s.append(lines); err != nil {
			return err
		}
	}
	return s.commit(next.with(key, u.Last, s.owner))
}

// joins tells a unit that comes next from a repeat and from everything that must stop
// the lane.
func (s *Sink) joins(key string, u *node.Unit) (repeat bool, err error) {
	l, found := s.book.last.Lanes[key]
	if !found {
		return false, node.AsFatal(fmt.Errorf("%w: there is none for %s: Position was not called", ErrGap, key))
	}
	at, err := l.position()
	switch {
	case err != nil:
		return false, node.AsFatal(err)
	case at.Compare(u.Last) >= 0:
		return true, nil
	case l.Owner != s.owner:
		return false, node.AsFatal(fmt.Errorf("%w: %s stands at %s", node.ErrTakenOver, key, at))
	case at != u.After:
		return false, node.AsFatal(fmt.Errorf("%w: %s stands at %s", ErrGap, key, at))
	}
	return false, nil
}

// Position implements [node.Positioned]. It also makes this sink the lane's owner:
// once it has returned, another sink of the folder that still holds a unit of the
// lane cannot write it.
func (s *Sink) Position(ctx context.Context, stream string, number int, start event.Position) (event.Position, error) {
	key, at := keyOf(stream, number), start
	err := s.locked(ctx, func() (err error) {
		if l, known := s.book.last.Lanes[key]; known {
			if at, err = l.position(); err != nil {
				return node.AsFatal(err)
			}
		}
		if s.cfg.Passing && at.Epoch != start.Epoch {
			at = start
		}
		return s.commit(s.book.last.with(key, at, s.owner))
	})
	if err != nil {
		err = fmt.Errorf("sink %q: position of %s: %w", s.cfg.Node, key, err)
	}
	s.health.Note(stream, number, err)
	return at, err
}

// Place implements [node.Placer].
func (s *Sink) Place(ctx context.Context, stream string, number int, at event.Position) error {
	key := keyOf(stream, number)
	err := s.locked(ctx, func() error {
		if at.IsZero() {
			return s.commit(s.book.last.without(key))
		}
		return s.commit(s.book.last.with(key, at, s.owner))
	})
	if err != nil {
		err = fmt.Errorf("sink %q: place %s at %s: %w", s.cfg.Node, key, at, err)
	}
	return err
}

// Rejoin implements [node.Rejoiner].
func (s *Sink) Rejoin(ctx context.Context, stream string, number int, from, to event.Position) error {
	key := keyOf(stream, number)
	err := s.locked(ctx, func() error {
		switch l := s.book.last.Lanes[key]; {
		case l.Owner == s.owner && l.At == to.String():
			return nil
		case l.Owner != s.owner || l.At != from.String():
			return node.AsFatal(fmt.Errorf("%w: it stands at %s, not at %s", ErrGap, l.At, from))
		}
		return s.commit(s.book.last.with(key, to, s.owner))
	})
	if err != nil {
		err = fmt.Errorf("sink %q: rejoin the log at %s in %s: %w", s.cfg.Node, to, key, err)
	}
	return err
}

// Status implements [node.Sink].
func (s *Sink) Status() node.Status { return s.health.Status() }

// Close implements [node.Sink]. The part stays as it is, the next run goes on with it.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.book.close()
	if s.lock == nil {
		return nil
	}
	lock := s.lock
	s.lock = nil
	return lock.Close()
}

func keyOf(stream string, number int) string { return stream + "/" + strconv.Itoa(number) }

func (s *Sink) headSum() uint32 { return crc32.Checksum(s.head, table) }
