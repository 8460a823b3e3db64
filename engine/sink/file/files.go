package filesink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// step is a moment between two effects.
type step string

// The steps, in order.
const (
	stepLines  step = "lines written, not synced"
	stepSynced step = "lines synced, no position"
	stepCommit step = "position written"
	stepRename step = "file renamed, no position"
)

func (s *Sink) passed(at step) error {
	if s.hook == nil {
		return nil
	}
	return s.hook(at)
}

func (s *Sink) commit(next state) error {
	if err := s.book.commit(next); err != nil {
		return fmt.Errorf("%s: %w", s.book.path, err)
	}
	return s.passed(stepCommit)
}

// part is the file that grows.
func (s *Sink) part(format string) string {
	return filepath.Join(s.dir, s.cfg.Name+"."+format+".part")
}

// finished is what the part of st is called when it grows no more: when it was begun,
// in UTC, and which of the sink's files it is.
func (s *Sink) finished(st *state) string {
	begun := time.UnixMilli(st.Begun).UTC().Format("20060102T150405Z")
	return filepath.Join(s.dir, fmt.Sprintf("%s-%s-%06d.%s", s.cfg.Name, begun, st.Serial+1, st.Format))
}

// open brings the book up to date and makes the files what it says.
func (s *Sink) open() error {
	size, err := sizeOf(s.book.path)
	if err != nil {
		return err
	}
	if size < 0 {
		if err := s.found(); err != nil {
			return err
		}
	}
	changed, err := s.book.current()
	if err != nil || !changed && !s.unsure {
		return err
	}
	if st := &s.book.last; st.Pipeline != s.cfg.Pipeline || st.Generation != s.cfg.Generation || st.Sink != s.cfg.Node {
		return node.AsFatal(fmt.Errorf("%w: %s is that of sink %q of pipeline %q: give this sink another path or name", ErrForeign, s.book.path, st.Sink, st.Pipeline))
	}
	return s.reconcile()
}

// found makes the first position file. Files that were there before it would be
// overwritten or repeated, so they must go.
func (s *Sink) found() error {
	mine := regexp.MustCompile(`^` + regexp.QuoteMeta(s.cfg.Name) + `(-\d{8}T\d{6}Z-\d{6,}\.(jsonl|csv)|\.(jsonl|csv)\.part)$`)
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if mine.MatchString(e.Name()) {
			return node.AsFatal(fmt.Errorf("%w: %s is there but %s is not: put that back, or move the files of this name away",
				ErrForeign, filepath.Join(s.dir, e.Name()), s.book.path))
		}
	}
	return s.book.renew(state{Version: bookVersion, Pipeline: s.cfg.Pipeline, Generation: s.cfg.Generation, Sink: s.cfg.Node})
}

// reconcile cuts off what the part has beyond the position, and takes a rename to its
// end that a crash has cut short.
func (s *Sink) reconcile() error {
	st := s.book.last
	if st.Offset == 0 {
		return nil // whatever there is of a part is overwritten
	}
	size, err := sizeOf(s.part(st.Format))
	if err != nil {
		return err
	}
	if size >= st.Offset {
		return s.cut(s.part(st.Format), st.Offset, size)
	}
	done, err := sizeOf(s.finished(&st))
	if err != nil {
		return err
	}
	if size >= 0 || done != st.Offset {
		return node.AsFatal(fmt.Errorf("%w: %s has %d bytes, %d are delivered: put the file back from a copy, or move it and %s away",
			ErrForeign, s.part(st.Format), max(size, 0), st.Offset, s.book.path))
	}
	return s.turn()
}

func (s *Sink) cut(path string, to, size int64) error {
	if size == to {
		return nil
	}
	s.cfg.Log.Info("cutting off what was not delivered", "file", path, "bytes", size-to)
	return os.Truncate(path, to)
}

// turn notes that the part is finished.
func (s *Sink) turn() error {
	next := s.book.last
	next.Serial, next.Offset, next.Begun = next.Serial+1, 0, 0
	return s.commit(next)
}

// rotate finishes the part if it is due, has another form, or would grow too large by
// more bytes.
func (s *Sink) rotate(more int64) error {
	st := &s.book.last
	if st.Offset == 0 {
		return nil
	}
	same := st.Format == s.cfg.Format && st.Header == s.headSum()
	if same && st.Offset+more <= int64(s.cfg.RotateBytes) && time.Now().Before(s.due(st)) {
		return nil
	}
	return s.finish()
}

// finish gives the part its name, which appears in the folder in one step.
func (s *Sink) finish() error {
	st := s.book.last
	name := s.finished(&st)
	size, err := sizeOf(name)
	if err != nil {
		return err
	}
	if size >= 0 {
		return node.AsFatal(fmt.Errorf("%w: %s is there already: move it away", ErrForeign, name))
	}
	if err := os.Rename(s.part(st.Format), name); err != nil {
		return err
	}
	if err := errors.Join(syncFolder(s.dir), s.passed(stepRename)); err != nil {
		return err
	}
	return s.turn()
}

// append writes lines behind what is delivered, on disk when it returns, and returns
// the state that speaks of them.
func (s *Sink) append(lines []byte) (state, error) {
	next := s.book.last
	if next.Offset == 0 {
		next.Begun, next.Format, next.Header = time.Now().UnixMilli(), s.cfg.Format, s.headSum()
		lines = append(s.head[:len(s.head):len(s.head)], lines...)
	}
	path := s.part(next.Format)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return next, err
	}
	err = s.write(f, lines, next.Offset)
	if err = errors.Join(err, f.Close()); err == nil && next.Offset == 0 {
		err = syncFolder(s.dir)
	}
	next.Offset += int64(len(lines))
	return next, errors.Join(err, s.passed(stepSynced))
}

// write puts lines at offset; nothing of an earlier try is left behind them.
func (s *Sink) write(f *os.File, lines []byte, offset int64) error {
	if err := f.Truncate(offset); err != nil {
		return err
	}
	if _, err := f.WriteAt(lines, offset); err != nil {
		return err
	}
	if err := s.passed(stepLines); err != nil {
		return err
	}
	return f.Sync()
}

// due is when the part is to be finished.
func (s *Sink) due(st *state) time.Time {
	every := s.cfg.RotateEvery.Milliseconds()
	return time.UnixMilli(st.Begun - st.Begun%every + every)
}

// arm sees to it that a part is finished in time when no unit comes.
func (s *Sink) arm() {
	if st := &s.book.last; s.timer == nil && st.Offset > 0 && !s.unsure && s.owns() {
		s.timer = time.AfterFunc(time.Until(s.due(st)), s.onTime)
	}
}

// onTime finishes a part that is due, unless other sinks have all lanes by now.
func (s *Sink) onTime() {
	err := s.locked(context.Background(), func() error {
		s.timer = nil
		if st := &s.book.last; st.Offset == 0 || !s.owns() || time.Now().Before(s.due(st)) {
			return nil
		}
		return s.finish()
	})
	if err == nil || errors.Is(err, errClosed) {
		return
	}
	s.cfg.Log.Warn("cannot finish a file in time, trying again", "sink", s.cfg.Node, "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.timer = time.AfterFunc(onceMore, s.onTime)
	}
}

func (s *Sink) owns() bool {
	for _, l := range s.book.last.Lanes {
		if l.Owner == s.owner {
			return true
		}
	}
	return false
}
