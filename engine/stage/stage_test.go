package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryLane hands out units as a LaneSubscriber does: one in flight, the same
// again after a Nack, the next after an Ack, whose effects it keeps.
type memoryLane struct {
	units   []*node.Unit
	commits []stream.Effects
	nacks   int
	done    func() // called when every unit is committed
	closed  chan struct{}
	once    sync.Once
}

func newMemoryLane(units ...*node.Unit) *memoryLane {
	return &memoryLane{units: units, closed: make(chan struct{}), done: func() {}}
}

func (l *memoryLane) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for _, u := range l.units {
			if !l.deliver(ctx, u, out) {
				return
			}
		}
		l.done()
		select {
		case <-ctx.Done():
		case <-l.closed:
		}
	}()
	return out, nil
}

func (l *memoryLane) deliver(ctx context.Context, u *node.Unit, out chan<- *message.Message) bool {
	for {
		d := &stream.Delivery{Unit: u}
		msg := message.NewMessage("unit", nil)
		msg.SetContext(stream.WithDelivery(context.WithoutCancel(ctx), d))
		select {
		case out <- msg:
		case <-ctx.Done():
			return false
		}
		select {
		case <-msg.Acked():
			l.commits = append(l.commits, d.Effects())
			return true
		case <-msg.Nacked():
			l.nacks++
			if ctx.Err() != nil {
				return false
			}
		}
	}
}

func (l *memoryLane) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// recorder is an Observer that notes what it hears.
type recorder struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) Processed(id string, in, out, rejected int, _ time.Duration) {
	r.note("processed %s %d %d %d", id, in, out, rejected)
}
func (r *recorder) Retried(id string, c node.Class, _ error)    { r.note("retried %s %s", id, c) }
func (r *recorder) DeadLettered(id string, c node.Class, n int) { r.note("dead %s %s %d", id, c, n) }
func (r *recorder) Stored(id string, u *node.Unit, _ time.Time) {
	r.note("stored %s %d", id, len(u.Events))
}
func (r *recorder) Held(id, _ string, lane int, reason error) {
	r.note("held %s %d %v", id, lane, reason)
}
func (r *recorder) count(prefix string) (n int) {
	for _, l := range r.lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// transformFunc is a transform that handles each event alone.
type transformFunc func(ctx context.Context, ev *event.Event, st node.State) (node.Result, error)

func (f transformFunc) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	for i, ev := range in.Events {
		r, err := f(ctx, ev, in.State)
		if err != nil {
			return nil, err
		}
		results[i] = r
	}
	return results, nil
}
func (transformFunc) Close() error { return nil }

// copyEvent derives one output with the input's record.
func copyEvent(id string) transformFunc {
	return func(_ context.Context, ev *event.Event, _ node.State) (node.Result, error) {
		out := ev.Derive(id, 0, 0)
		out.Record = ev.Record
		return node.Result{Outputs: []*event.Event{out}}, nil
	}
}

func root(source, id string) *event.Event {
	return &event.Event{
		ID: event.RootID(event.NewIdentity("p", source, id), 0), RootID: id, Source: event.Source{Node: source},
		Record: &event.Record{Fields: []event.Field{{Name: "device", Value: event.String("d-" + id)}}},
	}
}

// unit returns the n-th unit of a lane of the journal.
func unit(n int, events ...*event.Event) *node.Unit {
	return &node.Unit{
		Stream: stream.Journal, Events: events,
		After: event.Position{Epoch: 1, Ms: 1, Seq: uint64(n)}, Last: event.Position{Epoch: 1, Ms: 1, Seq: uint64(n + 1)},
	}
}

var quick = RetryPolicy{Max: 2, Initial: time.Second, Cap: 4 * time.Second, Multiplier: 2}

// runStage runs the nodes over lane until every unit is committed.
func runStage(t *testing.T, l *memoryLane, nodes ...ChainNode) *recorder {
	t.Helper()
	rec := &recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.done = cancel
	for i := range nodes {
		nodes[i].Retry = quick
	}
	err := RunTransforms(ctx, TransformConfig{
		Config: Config{
			ID: "s", Generation: "live", Observer: rec, Logger: slog.New(slog.DiscardHandler),
			Readers: []Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: l}},
		},
		Nodes: nodes, Lanes: 4, States: noState{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

type noState struct{}

func (noState) LoadState(context.Context, string, []string) (map[string][]byte, error) {
	return nil, nil
}

// outputs decodes the frames of all commits that went to stream name, in order.
func outputs(t *testing.T, commits []stream.Effects, name string) []*event.Event {
	t.Helper()
	var list []*event.Event
	for _, c := range commits {
		for _, o := range c.Outputs {
			if o.Stream != name {
				continue
			}
			f, err := event.DecodeFrame(o.Frame)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range f.Events {
				if got := stream.LaneOf(ev.Key, 4); got != o.Lane {
					t.Errorf("event with key %q is in lane %d; want %d", ev.Key, o.Lane, got)
				}
			}
			list = append(list, f.Events...)
		}
	}
	return list
}

func rootIDs(events []*event.Event) []string {
	ids := make([]string, len(events))
	for i, ev := range events {
		ids[i] = ev.RootID
	}
	slices.Sort(ids)
	return ids
}

func from(source string) []plan.Edge { return []plan.Edge{{Node: source, Stream: stream.Journal}} }

func TestChainJoinsBranchesAndRekeysTheOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := expr.Compile("device")
		if err != nil {
			t.Fatal(err)
		}
		l := newMemoryLane(unit(1, root("a", "1"), root("b", "2"), root("c", "3")))
		runStage(t, l,
			ChainNode{ID: "x", Edges: from("a"), Transform: copyEvent("x")},
			ChainNode{ID: "y", Edges: from("b"), Transform: copyEvent("y")},
			ChainNode{ID: "z", Edges: []plan.Edge{{Node: "x"}, {Node: "y"}}, Transform: copyEvent("z"), Key: key, Stream: "z"},
		)
		got := outputs(t, l.commits, "z")
		if !slices.Equal(rootIDs(got), []string{"1", "2"}) {
			t.Fatalf("outputs = %v; want those of a and b, not c", rootIDs(got))
		}
		for _, ev := range got {
			if ev.Key != "d-"+ev.RootID {
				t.Errorf("key of %s = %q", ev.RootID, ev.Key)
			}
		}
	})
}

func TestOneGuiltyEventIsDeadLetteredAndItsNeighboursGoOn(t *testing.T) {
	for _, class := range []node.Class{node.Unsure, node.Rejected} {
		t.Run(class.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := func(ctx context.Context, ev *event.Event, st node.State) (node.Result, error) {
					if ev.RootID == "5" {
						err := error(&node.MakerError{Maker: "x@1.0.0#0badcafe", Err: errors.New("cannot be")})
						if class == node.Rejected {
							err = node.AsRejected(err)
						}
						return node.Result{}, err
					}
					return copyEvent("x")(ctx, ev, st)
				}
				var events []*event.Event
				for i := range 9 {
					events = append(events, root("a", fmt.Sprint(i)))
				}
				l := newMemoryLane(unit(1, events...))
				runStage(t, l, ChainNode{ID: "x", Edges: from("a"), Transform: transformFunc(bad), Stream: "x"})
				if got := rootIDs(outputs(t, l.commits, "x")); !slices.Equal(got, []string{"0", "1", "2", "3", "4", "6", "7", "8"}) {
					t.Fatalf("outputs = %v; want all but 5, each once", got)
				}
				dead := l.commits[0].DeadLetters
				if len(dead) != 1 || dead[0].Event.RootID != "5" || dead[0].Class != class || dead[0].Node != "x" || dead[0].Plugin != "x@1.0.0#0badcafe" {
					t.Fatalf("dead letters = %+v; want one, of event 5", dead)
				}
			})
		})
	}
}

func TestServerAwayHoldsTheLaneWithoutLimitAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(time.Hour)
		away := func(ctx context.Context, ev *event.Event, st node.State) (node.Result, error) {
			if time.Now().Before(back) {
				return node.Result{}, node.AsAway(errors.New("no answer"))
			}
			return copyEvent("x")(ctx, ev, st)
		}
		l := newMemoryLane(unit(1, root("a", "1")))
		rec := runStage(t, l, ChainNode{ID: "x", Edges: from("a"), Transform: transformFunc(away), Stream: "x"})
		if len(l.commits[0].DeadLetters) != 0 || len(outputs(t, l.commits, "x")) != 1 {
			t.Fatalf("commit = %+v; want the event stored and no dead letter", l.commits[0])
		}
		if n := rec.count("retried x away"); n < 900 {
			t.Fatalf("retried %d times in an hour; want one every 4s at least", n)
		}
		if !slices.Contains(rec.lines, "held s 0 <nil>") {
			t.Fatal("the hold was not ended")
		}
	})
}

// Control of the policy above: an unsure error has a limit.
func TestUnsureErrorIsGivenUpAfterItsTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		fail := func(context.Context, *event.Event, node.State) (node.Result, error) {
			runs++
			return node.Result{}, errors.New("who knows")
		}
		l := newMemoryLane(unit(1, root("a", "1")))
		start := time.Now()
		runStage(t, l, ChainNode{ID: "x", Edges: from("a"), Transform: transformFunc(fail), Stream: "x"})
		if runs != 1+quick.Max || len(l.commits[0].DeadLetters) != 1 {
			t.Fatalf("%d runs, %d dead letters; want %d, 1", runs, len(l.commits[0].DeadLetters), 1+quick.Max)
		}
		if took := time.Since(start).Round(time.Second); took != 3*time.Second {
			t.Fatalf("pauses lasted %s; want 1s + 2s", took)
		}
	})
}

func TestRejectedRecordsKeepTheirNumberAndTheRestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		partly := func(ctx context.Context, ev *event.Event, st node.State) (node.Result, error) {
			r, err := copyEvent("x")(ctx, ev, st)
			r.Rejects = []node.Reject{{Record: 3, Code: "bad_number", Text: "x is no number", Maker: "x@1.0.0#0badcafe"}}
			return r, err
		}
		l := newMemoryLane(unit(1, root("a", "1")))
		rec := runStage(t, l, ChainNode{ID: "x", Edges: from("a"), Transform: transformFunc(partly), Stream: "x"})
		dead := l.commits[0].DeadLetters
		if len(dead) != 1 || dead[0].Record != 3 || dead[0].Code != "bad_number" || dead[0].Plugin != "x@1.0.0#0badcafe" || len(outputs(t, l.commits, "x")) != 1 {
			t.Fatalf("dead letters = %+v", dead)
		}
		if !slices.Contains(rec.lines, "processed x 1 1 1") {
			t.Fatalf("observer heard %q", rec.lines)
		}
	})
}

// counting keeps a count per key.
type counting struct{ fail func(ev *event.Event) error }

func (c counting) StateVersion() string { return "1" }
func (c counting) StateKeys(in *node.Batch) []string {
	var keys []string
	for _, ev := range in.Events {
		keys = append(keys, ev.Key)
	}
	return keys
}
func (c counting) Close() error { return nil }
func (c counting) Process(_ context.Context, in *node.Batch) ([]node.Result, error) {
	for _, ev := range in.Events {
		in.State.Put(ev.Key, append(slices.Clone(in.State.Get(ev.Key)), 'x'))
		if err := c.fail(ev); err != nil {
			return nil, err
		}
	}
	return make([]node.Result, len(in.Events)), nil
}

func TestStateCountsEachEventOnceWhateverIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := 0
		n := counting{fail: func(ev *event.Event) error {
			if ev.RootID == "3" {
				return node.AsRejected(errors.New("guilty"))
			}
			if ev.RootID == "6" && failures < 2 {
				failures++
				return errors.New("once more")
			}
			return nil
		}}
		l := newMemoryLane(
			unit(1, root("a", "1"), root("a", "2"), root("a", "3"), root("a", "4")),
			unit(2, root("a", "5"), root("a", "6")),
		)
		runStage(t, l, ChainNode{ID: "x", Edges: from("a"), Transform: n})
		first, second := l.commits[0].State, l.commits[1].State
		if len(first) != 1 || string(first[0].Value) != "xxx" {
			t.Fatalf("state after unit 1 = %q; want 3 counted: the guilty one's puts are dropped", first)
		}
		if len(second) != 1 || string(second[0].Value) != "xxxxx" {
			t.Fatalf("state after unit 2 = %q; want 5", second)
		}
	})
}

// memorySink stores values unless told otherwise.
type memorySink struct {
	write func(u *node.Unit) error
	got   []*node.Unit
}

func (s *memorySink) Write(_ context.Context, u *node.Unit) error {
	if err := s.write(u); err != nil {
		return err
	}
	copied := *u
	s.got = append(s.got, &copied)
	return nil
}
func (s *memorySink) Status() node.Status { return node.Status{Ready: true} }
func (s *memorySink) Close() error        { return nil }

type letterBox struct{ letters []stream.DeadLetter }

func (b *letterBox) StoreDeadLetters(_ context.Context, l []stream.DeadLetter) error {
	b.letters = append(b.letters, l...)
	return nil
}

func runSink(t *testing.T, l *memoryLane, s *memorySink, box *letterBox) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.done = cancel
	err := RunSink(ctx, SinkConfig{
		Config: Config{
			ID: "rows", Generation: "live", Observer: &recorder{}, Logger: slog.New(slog.DiscardHandler),
			Readers: []Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: l}},
		},
		Sink: s, Edges: from("a"), Letters: box, Retry: quick,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSinkKeepsRejectedRowsBeforeTheirNeighboursAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &letterBox{}
		s := &memorySink{}
		s.write = func(u *node.Unit) error {
			if len(u.Events) == 3 {
				return &node.RejectedError{Rejects: []node.EventReject{{Index: 1, Reject: node.Reject{Record: -1, Code: "out_of_range"}}}}
			}
			if len(box.letters) != 1 {
				t.Error("neighbours are written before the dead letter is kept")
			}
			return nil
		}
		l := newMemoryLane(unit(1, root("a", "1"), root("a", "2"), root("b", "no"), root("a", "3")))
		runSink(t, l, s, box)
		if got := rootIDs(s.got[0].Events); !slices.Equal(got, []string{"1", "3"}) || box.letters[0].Event.RootID != "2" {
			t.Fatalf("stored %v, dead letter of %s", got, box.letters[0].Event.RootID)
		}
		if s.got[0].After != l.units[0].After || s.got[0].Last != l.units[0].Last {
			t.Fatal("the rest must be stored under the unit's own positions")
		}
	})
}

func TestFatalSinkErrorPausesTheLaneUntilItsCauseIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mended := time.Now().Add(time.Minute)
		s := &memorySink{write: func(*node.Unit) error {
			if time.Now().Before(mended) {
				return node.AsFatal(errors.New("column is gone"))
			}
			return nil
		}}
		box := &letterBox{}
		l := newMemoryLane(unit(1, root("a", "1")), unit(2, root("a", "2")))
		runSink(t, l, s, box)
		if len(s.got) != 2 || len(box.letters) != 0 {
			t.Fatalf("stored %d units with %d dead letters; want 2, 0", len(s.got), len(box.letters))
		}
	})
}

// A lane whose place in the outside system another engine has claimed cannot mend
// itself by writing again: its owner has to begin anew.
func TestTakenOverSinkEndsItsStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		writes := 0
		s := &memorySink{write: func(*node.Unit) error {
			writes++
			return node.AsFatal(fmt.Errorf("%w: by another", node.ErrTakenOver))
		}}
		l, rec, start := newMemoryLane(unit(1, root("a", "1"))), &recorder{}, time.Now()
		err := RunSink(ctx, SinkConfig{
			Config: Config{
				ID: "rows", Generation: "live", Observer: rec, Logger: slog.New(slog.DiscardHandler),
				Readers: []Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: l}},
			},
			Sink: s, Edges: from("a"), Letters: &letterBox{}, Retry: quick,
		})
		if !errors.Is(err, node.ErrTakenOver) || node.ClassOf(err) != node.Fatal || len(l.commits) != 0 {
			t.Fatalf("RunSink = %v with %d commits; want ErrTakenOver, 0", err, len(l.commits))
		}
		if n := rec.count("held"); n != 0 || writes != 1 || time.Since(start) >= pausedCheck {
			t.Fatalf("%d holds, %d writes, %s; want the stage to end at once", n, writes, time.Since(start))
		}
	})
}

func TestStopDuringAPauseLeavesTheUnitUncommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l := newMemoryLane(unit(1, root("a", "1"), root("a", "2")))
		fail := func(context.Context, *event.Event, node.State) (node.Result, error) {
			return node.Result{}, node.AsAway(errors.New("away"))
		}
		err := RunTransforms(ctx, TransformConfig{
			Config: Config{
				ID: "s", Observer: &recorder{}, Logger: slog.New(slog.DiscardHandler),
				Readers: []Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: l}},
			},
			Nodes: []ChainNode{{ID: "x", Edges: from("a"), Transform: transformFunc(fail), Retry: quick}}, Lanes: 4, States: noState{},
		})
		if err != nil || len(l.commits) != 0 {
			t.Fatalf("RunTransforms = %v with %d commits; want nil, 0", err, len(l.commits))
		}
	})
}
