package tap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/event/eventjson"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/stream"
)

// Event is one line of a tap: an event and where it rests.
type Event struct {
	Stream   string    `json:"stream"`
	Lane     int       `json:"lane"`
	Position string    `json:"position"` // the entry that holds it: epoch.ms-number
	Index    int       `json:"index"`    // in the entry, from 0
	Appended time.Time `json:"appended"` // when the entry was, by the log's clock
	ID       string    `json:"id"`
	RootID   string    `json:"root_id"` // the source message's identity
	Key      string    `json:"key"`
	eventjson.Event
}

// Notice is a line that is no event and tells something about the tap itself.
type Notice struct {
	Notice string `json:"notice"` // for people
}

// failure is the last line of a tap that ended before its time.
type failure struct {
	Error string `json:"error"`
}

// session is one tap. It is used by the goroutine of its request alone.
type session struct {
	query
	lanes *merge
	rules func() *redact.Rules
	out   *client
	shown int  // events
	told  bool // that the expression failed for an event
}

// errEnough says that as many events were shown as were asked for.
var errEnough = errors.New("enough")

// run writes until everything is written, ctx ends or the client takes nothing.
func (s *session) run(ctx context.Context) error {
	if err := s.out.send(); err != nil {
		return err
	}
	err := s.follow(ctx)
	switch {
	case s.out.broken:
		return err
	case errors.Is(err, errEnough):
		err = nil
	case ctx.Err() != nil:
		err = s.out.line(failure{"the engine is stopping"}) // or the client is gone
	case err != nil:
		err = s.out.line(failure{err.Error()})
	}
	return errors.Join(err, s.out.send())
}

func (s *session) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		t, ok, err := s.lanes.next(ctx)
		switch {
		case err != nil:
			return err
		case ok:
			err = s.show(&t)
		case s.lanes.finished():
			return nil
		default:
			if err = s.out.send(); err == nil {
				lifecycle.Sleep(ctx, askAgain)
			}
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// show writes the events of one entry that are meant.
func (s *session) show(t *taken) error {
	if t.missed > 0 {
		if err := s.notice("%d entries of %s were trimmed before they were read", t.missed, t.name()); err != nil {
			return err
		}
	}
	f, err := event.DecodeFrame(t.entry.Frame)
	if err != nil {
		return s.notice("entry %s of %s cannot be read: %v", t.entry.At, t.name(), err)
	}
	rules := s.rules()
	for i, ev := range f.Events {
		if t.stream == stream.Journal && ev.Root.IsZero() {
			ev.Root = t.entry.At
		}
		if t.sources != nil && !t.sources[ev.Source.Node] {
			continue
		}
		ev, _ = rules.Event(ev) // before the expression, which could ask for what is hidden
		if err := s.event(t, i, ev); err != nil {
			return err
		}
	}
	return s.out.sendIfDue()
}

func (l *lane) name() string { return stream.TopicOf(l.stream, l.number) }

func (s *session) event(t *taken, index int, ev *event.Event) error {
	if ok, err := s.wanted(t, ev); err != nil || !ok {
		return err
	}
	err := s.out.line(shown(t.stream, t.number, t.entry, index, ev))
	if err != nil {
		return err
	}
	if s.shown++; s.shown == s.limit {
		return errEnough
	}
	return nil
}

// wanted evaluates the expression. An event for which that fails is left out, of
// which the first is told.
func (s *session) wanted(t *taken, ev *event.Event) (bool, error) {
	if s.where == nil {
		return true, nil
	}
	ok, err := s.where.EvalBool(ev)
	if err == nil || s.told {
		return ok, nil
	}
	s.told = true
	return false, s.notice("event %s at %s of %s is left out, and others like it: %v", ev.ID, t.entry.At, t.name(), err)
}

func (s *session) notice(format string, args ...any) error {
	return s.out.line(Notice{fmt.Sprintf(format, args...)})
}
