package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

// blocked answers from what the log would have.
type blocked map[string]stream.Blocked

func (b blocked) Blocked(_ context.Context, _, _ string, keys []string) (map[string]stream.Blocked, error) {
	found := map[string]stream.Blocked{}
	for _, k := range keys {
		if v, ok := b[k]; ok {
			found[k] = v
		}
	}
	return found, nil
}

func keyed(key, id string) *event.Event {
	ev := pathRoot(id)
	ev.Key = key
	return ev
}

// strictStage runs units through one node with strict order that refuses some.
func strictStage(t *testing.T, generation string, b blocked, refuse func(path string) error, units ...*node.Unit) (*memoryLane, *recorder) {
	t.Helper()
	l, rec := newMemoryLane(units...), &recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.done = cancel
	err := RunTransforms(ctx, TransformConfig{
		Config: Config{
			ID: "n", Generation: generation, Observer: rec, Logger: slog.New(slog.DiscardHandler),
			Readers: []Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: l}},
		},
		Nodes: []ChainNode{{
			ID: "n", Edges: []plan.Edge{{Node: "a", Stream: stream.Journal}}, Transform: failing(split("n", 1), refuse), Stream: "n", Retry: quick,
			Order: Order{Strict: true, ParkedMax: 5},
		}},
		Lanes: 4, States: noState{}, Blockers: b,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, rec
}

// TestLaterEventsOfAKeyWaitBehindTheDeadOne, whichever way it dies, in its own unit
// and in later ones; other keys go on.
func TestLaterEventsOfAKeyWaitBehindTheDeadOne(t *testing.T) {
	for _, class := range []node.Class{node.Unsure, node.Rejected} {
		t.Run(class.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refuse := func(path string) error {
					switch {
					case path != "2":
						return nil
					case class == node.Rejected:
						return node.AsRejected(errors.New("no"))
					}
					return errors.New("crash")
				}
				l, _ := strictStage(t, "live", blocked{}, refuse,
					unit(1, keyed("k", "1"), keyed("k", "2"), keyed("other", "3"), keyed("k", "4"), keyed("k", "5")))
				if got := paths(outputs(t, l.commits, "n")); !slices.Equal(got, []string{"1.n0", "3.n0"}) {
					t.Errorf("went on: %v; want 1 and 3", got)
				}
				wantLetters(t, l.commits[0].DeadLetters, "2", "4 waits", "5 waits")
			})
		})
	}
}

func wantLetters(t *testing.T, letters []stream.DeadLetter, want ...string) {
	t.Helper()
	var got []string
	for _, d := range letters {
		name := pathOf(d.Event)
		if d.Waits {
			name += " waits"
		}
		if !d.Strict {
			name += " (not strict)"
		}
		got = append(got, name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("letters %v, want %v", got, want)
	}
}

func fine(string) error { return nil }

func TestEventsWaitWhileTheLogHoldsTheirKeyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blocked{"k": {First: "earlier", Events: 1}}
		l, _ := strictStage(t, "live", b, fine, unit(1, keyed("k", "1"), keyed("free", "2")))
		if got := paths(outputs(t, l.commits, "n")); !slices.Equal(got, []string{"2.n0"}) {
			t.Errorf("went on: %v", got)
		}
		wantLetters(t, l.commits[0].DeadLetters, "1 waits")
		if l.commits[0].Released != nil {
			t.Errorf("the live run has released %v", l.commits[0].Released)
		}
		other, _ := strictStage(t, "trial", b, fine, unit(1, keyed("k", "1")))
		if got := paths(outputs(t, other.commits, "n")); len(got) != 1 {
			t.Errorf("a replay waits behind a live dead letter: %v", got)
		}
	})
}

// TestRedriveReleasesWhatItDrives: what was driven again holds its key up no more,
// whether it went through or not.
func TestRedriveReleasesWhatItDrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(path string) error {
			if path == "2" {
				return node.AsRejected(errors.New("no"))
			}
			return nil
		}
		l, _ := strictStage(t, "redrive", blocked{}, refuse, unit(1, keyed("k", "1"), keyed("k", "2"), keyed("k", "3"), keyed("j", "4")))
		if got := paths(outputs(t, l.commits, "n")); !slices.Equal(got, []string{"1.n0", "4.n0"}) {
			t.Errorf("went on: %v", got)
		}
		wantLetters(t, l.commits[0].DeadLetters, "2", "3 waits")
		if got := fmt.Sprint(l.commits[0].Released); got != "[{n k 3} {n j 1}]" {
			t.Errorf("released %s", got)
		}
	})
}

// TestParkedMaxPausesTheLane until there is room.
func TestParkedMaxPausesTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blocked{"k": {First: "earlier", Events: 5}}
		asked := 0
		open := opening{b, func() {
			if asked++; asked == 4 {
				b["k"] = stream.Blocked{First: "earlier", Events: 4}
			}
		}}
		l, rec := newMemoryLane(unit(1, keyed("k", "1"))), &recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l.done = cancel
		err := RunTransforms(ctx, TransformConfig{
			Config: Config{ID: "n", Generation: "live", Observer: rec, Logger: slog.New(slog.DiscardHandler),
				Readers: []Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: l}}},
			Nodes: []ChainNode{{ID: "n", Edges: from("a"), Transform: split("n", 1), Stream: "n", Retry: quick, Order: Order{Strict: true, ParkedMax: 5}}},
			Lanes: 4, States: noState{}, Blockers: open,
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := rec.count("retried n away"); n != 3 {
			t.Errorf("the lane was held %d times, want 3", n)
		}
		wantLetters(t, l.commits[0].DeadLetters, "1 waits")
	})
}

// opening lets something happen at each question.
type opening struct {
	blocked
	each func()
}

func (o opening) Blocked(ctx context.Context, id, generation string, keys []string) (map[string]stream.Blocked, error) {
	o.each()
	return o.blocked.Blocked(ctx, id, generation, keys)
}

// pickySink refuses some events, and keeps the others.
type pickySink struct {
	refuse func(path string) bool
	stored []string
}

func (s *pickySink) Write(_ context.Context, u *node.Unit) error {
	var rejects []node.EventReject
	for i, ev := range u.Events {
		if s.refuse(pathOf(ev)) {
			rejects = append(rejects, node.EventReject{Index: i, Reject: node.Reject{Record: -1, Code: "no", Text: "no"}})
		}
	}
	if len(rejects) > 0 {
		return &node.RejectedError{Rejects: rejects}
	}
	for _, ev := range u.Events {
		s.stored = append(s.stored, pathOf(ev))
	}
	return nil
}
func (*pickySink) Status() node.Status { return node.Status{Ready: true} }
func (*pickySink) Close() error        { return nil }

// strictBox is a DeadLetterStore.
type strictBox struct{ letters []stream.DeadLetter }

func (b *strictBox) StoreDeadLetters(_ context.Context, letters []stream.DeadLetter) error {
	b.letters = append(b.letters, letters...)
	return nil
}

// TestSinkWithStrictOrder: also a unit that comes again after a crash, when its own
// dead letter holds the key up, is handled as it was: what came before it goes on.
func TestSinkWithStrictOrder(t *testing.T) {
	guilty := keyed("k", "2")
	for name, b := range map[string]blocked{"first time": {}, "again": {"k": {First: guilty.ID.String(), Events: 2}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink, box := &pickySink{refuse: func(p string) bool { return p == "2" }}, &strictBox{}
				l := newMemoryLane(unit(1, keyed("k", "1"), guilty, keyed("k", "3"), keyed("j", "4")))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				l.done = cancel
				err := RunSink(ctx, SinkConfig{
					Config: Config{ID: "rows", Generation: "live", Observer: &recorder{}, Logger: slog.New(slog.DiscardHandler),
						Readers: []Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: l}}},
					Sink: sink, Edges: from("a"), Letters: box, Retry: quick, Order: Order{Strict: true}, Blockers: b,
				})
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(sink.stored, " "); got != "1 4" {
					t.Errorf("stored %s; want 1 and 4", got)
				}
				wantLetters(t, box.letters, "2", "3 waits")
			})
		})
	}
}
