package dlq

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

// line is a Driver of the pipeline plant1 -> decode -> a and b.
type line struct {
	log   *stream.Log
	drove []string

	followed int
}

func (l *line) Knows(node string) bool { return slices.Contains([]string{"decode", "a", "b"}, node) }
func (l *line) Entries(source, node string) []string {
	if source != "plant1" {
		return nil
	}
	return []string{"decode"}
}
func (l *line) Prepare(ctx context.Context, node string) error {
	name := plan.StreamOf(node, plan.Redriven)
	if err := l.log.EnsureStreams(ctx, []string{name}); err != nil {
		return err
	}
	return l.log.RegisterReader(ctx, name, name, false)
}
func (l *line) Follow()           { l.followed++ }
func (l *line) Drive(node string) { l.drove = append(l.drove, node) }
func (l *line) Lag(ctx context.Context, node string) (int64, error) {
	name := plan.StreamOf(node, plan.Redriven)
	return l.log.Lag(ctx, name, name)
}

// given returns the numbers of the events that wait for node, in order; see [letter].
func (l *line) given(t *testing.T, node string) []int {
	t.Helper()
	entries, err := l.log.ReadFrames(t.Context(), plan.StreamOf(node, plan.Redriven), 0, event.Position{Epoch: l.log.Epoch()}, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, e := range entries {
		f, err := event.DecodeFrame(e.Frame)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range f.Events {
			numbers = append(numbers, int(ev.ID[14])<<8|int(ev.ID[15]))
		}
	}
	return numbers
}

func replayed(t *testing.T, l *line, c Choice, opts ReplayOptions) *Replayed {
	t.Helper()
	out, err := Replay(t.Context(), l.log, l, c, opts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func total(t *testing.T, log Log) int {
	t.Helper()
	l, err := List(t.Context(), log, Filter{}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	return l.Total
}

// TestReplayKeepsTheOrderOfTheMessages: a letter that was refused again is younger
// than letters of later messages, and still goes first.
func TestReplayKeepsTheOrderOfTheMessages(t *testing.T) {
	all := letters(2 * batchLetters)
	var want []int
	for i := range all {
		all[i].Node = "a"
		all[i].Event.Root = event.Position{Epoch: 1, Ms: uint64(len(all) - i), Seq: uint64(len(all) - i)}
		want = append(want, len(all)-1-i)
	}
	l := &line{log: open(t, all...)}
	out := replayed(t, l, Choice{}, ReplayOptions{})
	if out.Letters != len(all) || out.Events != len(all) || !slices.Equal(out.Nodes, []NodeEvents{{"a", len(all)}}) {
		t.Fatalf("replayed %+v", out)
	}
	if got := l.given(t, "a"); !slices.Equal(got, want) {
		t.Fatalf("given %v", got)
	}
	if total(t, l.log) != 0 || !slices.Contains(l.drove, "a") {
		t.Fatalf("%d letters are left, driven: %v", total(t, l.log), l.drove)
	}
}

func TestReplayTwiceAddsNothing(t *testing.T) {
	l := &line{log: open(t, letters(4)...)}
	for i, want := range []int{4, 0} {
		if out := replayed(t, l, Choice{}, ReplayOptions{}); out.Letters != want {
			t.Errorf("replay %d took %d letters, want %d", i+1, out.Letters, want)
		}
	}
	if a, b := l.given(t, "a"), l.given(t, "b"); !slices.Equal(a, []int{0, 2}) || !slices.Equal(b, []int{1, 3}) {
		t.Errorf("given to a %v, to b %v", a, b)
	}
}

func TestDryRunOfAReplayChangesNothing(t *testing.T) {
	l := &line{log: open(t, letters(4)...)}
	out := replayed(t, l, Choice{Filter: Filter{Node: "b"}}, ReplayOptions{DryRun: true})
	if !out.DryRun || out.Letters != 2 || !slices.Equal(out.Nodes, []NodeEvents{{"b", 2}}) {
		t.Errorf("dry run %+v", out)
	}
	if total(t, l.log) != 4 || len(l.drove) != 0 || slices.Contains(l.log.StreamNames(), "b@redrive") {
		t.Errorf("%d letters, driven %v, streams %v: a dry run has done something", total(t, l.log), l.drove, l.log.StreamNames())
	}
}

// TestLettersOfOneEventAreDrivenOnce: two bad records of one message are two
// letters with the same event.
func TestLettersOfOneEventAreDrivenOnce(t *testing.T) {
	first, second := letter(0), letter(0)
	second.Record = 7
	l := &line{log: open(t, first, second)}
	if out := replayed(t, l, Choice{}, ReplayOptions{}); out.Letters != 2 || out.Events != 1 {
		t.Errorf("replayed %+v, want two letters and one event", out)
	}
	if got := l.given(t, "a"); !slices.Equal(got, []int{0}) {
		t.Errorf("given %v", got)
	}
}

func TestLettersThatCannotBeDrivenStayWithTheReason(t *testing.T) {
	raw, cut, shadow, gone, good := letter(0), letter(2), letter(4), letter(6), letter(8)
	raw.Event, raw.Raw = nil, []byte{1}
	cut.Cut = &stream.Cut{Length: 20 << 20, SHA256: "00"}
	shadow.Generation = "trial"
	gone.Node = "removed"
	l := &line{log: open(t, raw, cut, shadow, gone, good)}
	out := replayed(t, l, Choice{}, ReplayOptions{})
	if out.Letters != 1 || total(t, l.log) != 4 {
		t.Errorf("replayed %+v, %d letters stay; want 1 and 4", out, total(t, l.log))
	}
	want := []Skip{
		{"the entry could not be read at all: it is no event", 1},
		{"only the first 64 KiB of its content are left: use --from-source", 1},
		{`it belongs to the replay "trial"`, 1}, {`the pipeline has no node "removed"`, 1},
	}
	if !slices.Equal(out.Skipped, want) {
		t.Errorf("skipped %+v, want %+v", out.Skipped, want)
	}
}

func TestReplayOfNamedLetters(t *testing.T) {
	l := &line{log: open(t, letters(6)...)}
	list, err := List(t.Context(), l.log, Filter{}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{list.Letters[4].ID, list.Letters[2].ID, "1-1"}
	if out := replayed(t, l, Choice{IDs: ids}, ReplayOptions{}); out.Letters != 2 || out.Last != list.Letters[5].ID {
		t.Errorf("replayed %+v, want 2 letters; the newest was %s", out, list.Letters[5].ID)
	}
	if _, err := Replay(t.Context(), l.log, l, Choice{IDs: []string{"odd"}}, ReplayOptions{}); err == nil {
		t.Error("a name that is none is taken")
	}
}

// TestReplayFromTheSource gives the journal's message to the nodes that read the
// source; letters whose message is gone stay.
func TestReplayFromTheSource(t *testing.T) {
	l := &line{log: open(t)}
	ctx := t.Context()
	if err := l.log.EnsureStreams(ctx, []string{stream.Journal}); err != nil {
		t.Fatal(err)
	}
	le, err := l.log.Acquire(ctx, "source:plant1")
	if err != nil {
		t.Fatal(err)
	}
	var dead []stream.DeadLetter
	for i := range 3 {
		d := letter(2 * i)
		d.Event.RootID = fmt.Sprint("message-", i)
		message := *d.Event
		message.ID = event.ID{0: 1, 15: byte(i)}
		f := event.Frame{Events: []*event.Event{&message}}
		frame, err := f.Encode(nil, event.None)
		if err != nil {
			t.Fatal(err)
		}
		if d.Event.Root, err = l.log.Append(ctx, le, stream.AppendRequest{Stream: stream.Journal, Frame: frame, Events: 1}); err != nil {
			t.Fatal(err)
		}
		d.Event.ID = event.ID{15: 100 + byte(i)} // a record of the message
		d.Cut = &stream.Cut{Length: 20 << 20, SHA256: "00"}
		dead = append(dead, d)
	}
	dead[2].Event.Root.Seq++ // not there any more
	elsewhere := letter(8)
	elsewhere.Event.Source.Node = "plant9"
	if err := l.log.StoreDeadLetters(ctx, le, append(dead, elsewhere)); err != nil {
		t.Fatal(err)
	}
	out := replayed(t, l, Choice{}, ReplayOptions{FromSource: true})
	if out.Letters != 2 || !slices.Equal(out.Nodes, []NodeEvents{{"decode", 2}}) || len(out.Skipped) != 2 {
		t.Errorf("replayed %+v", out)
	}
	if got := l.given(t, "decode"); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("given %v, want the two messages", got)
	}
}

// racing lets somebody else take a letter between a look at it and the step.
type racing struct {
	*stream.Log
	id   string
	left int
}

func (r *racing) Redrive(ctx context.Context, letters []stream.StoredDeadLetter, outputs []stream.Output) error {
	if r.left > 0 {
		r.left--
		d, ok, err := r.DeadLetter(ctx, r.id)
		if err != nil || !ok {
			return fmt.Errorf("letter %s: %t, %w", r.id, ok, err)
		}
		if _, err := r.DropDeadLetters(ctx, []stream.StoredDeadLetter{d}); err != nil {
			return err
		}
	}
	return r.Log.Redrive(ctx, letters, outputs)
}

func TestLetterTakenBySomebodyElseIsLeftOut(t *testing.T) {
	l := &line{log: open(t, letters(6)...)}
	list, err := List(t.Context(), l.log, Filter{}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	log := &racing{Log: l.log, id: list.Letters[2].ID, left: 1}
	out, err := Replay(t.Context(), log, l, Choice{}, ReplayOptions{})
	if err != nil || out.Letters != 5 || out.Events != 5 {
		t.Fatalf("replayed %+v, %v; want 5", out, err)
	}
	if got := l.given(t, "a"); !slices.Equal(got, []int{0, 4}) {
		t.Errorf("given %v, want all but the one that was taken", got)
	}
}

// apart takes letters out in a step of its own, and is killed before the next one.
type apart struct{ *stream.Log }

func (a apart) Redrive(ctx context.Context, letters []stream.StoredDeadLetter, _ []stream.Output) error {
	if _, err := a.DropDeadLetters(ctx, letters); err != nil {
		return err
	}
	return context.Canceled
}

// TestControlTwoStepsLose: without the one script a crash leaves an event in neither
// of the two places.
func TestControlTwoStepsLose(t *testing.T) {
	l := &line{log: open(t, letters(4)...)}
	if _, err := Replay(t.Context(), apart{l.log}, l, Choice{}, ReplayOptions{}); err == nil {
		t.Fatal("the crash is not told")
	}
	left := total(t, l.log)
	replayed(t, l, Choice{}, ReplayOptions{})
	if kept := left + len(l.given(t, "a")) + len(l.given(t, "b")); kept != 0 {
		t.Fatalf("%d of 4 events are somewhere although letters and stream are two steps: the control is out of date", kept)
	}
}
