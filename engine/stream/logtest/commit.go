package logtest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// stage is a registered reader of the journal's lane 0 with some frames to read.
func stage(t *testing.T, r *rig, frames int) (*stream.Lease, []event.Position) {
	r.must(r.RegisterReader(t.Context(), "x@live", stream.Journal, false))
	src := r.lease("source:stage")
	at := make([]event.Position, frames)
	for i := range at {
		at[i] = r.put(src, stream.Journal, 0, "in", 1)
	}
	return r.lease("stage:x"), at
}

func answersOfCommit(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 3)
	zero := r.position("x@live", stream.Journal, 0)
	c := stream.Commit{Reader: "x@live", Stream: stream.Journal, After: zero, Last: at[0]}
	for _, step := range []struct {
		name        string
		after, last event.Position
		want        stream.Answer
	}{
		{"the first unit", zero, at[0], stream.OK},
		{"the same again", zero, at[0], stream.Already},
		{"two entries", at[0], at[2], stream.OK},
		{"one that is passed in part", at[0], at[1], stream.Already},
	} {
		c.After, c.Last = step.after, step.last
		if answer, err := r.Commit(t.Context(), le, c); answer != step.want || err != nil {
			t.Fatalf("%s: %s, %v; want %s", step.name, answer, err, step.want)
		}
	}
	if got := r.position("x@live", stream.Journal, 0); got != at[2] {
		t.Fatalf("position %s; want %s", got, at[2])
	}
	r.wantNoFatal()
	next := at[2]
	next.Seq++
	c.After, c.Last = next, event.Position{Epoch: next.Epoch, Ms: next.Ms, Seq: next.Seq + 1}
	answer, err := r.Commit(t.Context(), le, c)
	if answer != stream.Gap || !errors.Is(err, stream.ErrGap) || node.ClassOf(err) != node.Fatal {
		t.Fatalf("a unit that does not join: %s, %v; want gap, fatal", answer, err)
	}
	r.wantFatal(stream.ErrGap)
	wantAdvice(t, err)
}

func letter(name string, record int) stream.DeadLetter {
	return stream.DeadLetter{
		Event: makeEvent(name), Node: "celsius", Generation: "live", Record: record, Class: node.Rejected,
		Code: "bad_number", Text: "not a number", Plugin: "scale@1.0.0#0123abcd", Attempt: 1, TimeMs: 1700000000000,
		Stream: stream.Journal, Lane: 1, At: event.Position{Epoch: 3, Ms: 4, Seq: 5},
	}
}

func commitsAtomically(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 2)
	ctx := t.Context()
	c := stream.Commit{Reader: "x@live", Stream: stream.Journal, Last: at[0]}
	c.Effects = stream.Effects{
		Outputs: []stream.Output{
			{Stream: "out", Lane: 1, Frame: frame(t, "b", 2), Events: 2},
			{Stream: "out", Lane: 0, Frame: frame(t, "a", 1), Events: 1},
			{Stream: "out", Lane: 1, Frame: frame(t, "c", 1), Events: 1},
		},
		DeadLetters: []stream.DeadLetter{letter("bad", 2)},
		State: []stream.StateChange{
			{Node: "n", Key: "k", Value: []byte("v")}, {Node: "m", Key: "k", Value: []byte("w")}, {Node: "n", Key: "gone"},
		},
	}
	check := func(when string) {
		t.Helper()
		equal(t, when+": lane 0", r.all("out", 0), []string{"a-0"})
		equal(t, when+": lane 1", r.all("out", 1), []string{"b-0", "b-1", "c-0"})
		letters, err := r.DeadLetters(ctx, "", 10)
		r.must(err)
		if len(letters) != 1 {
			t.Fatalf("%s: %d dead letters; want 1", when, len(letters))
		}
		state, err := r.LoadState(ctx, "n", []string{"k", "gone"})
		r.must(err)
		if len(state) != 1 || string(state["k"]) != "v" {
			t.Fatalf("%s: state %q; want k=v", when, state)
		}
	}
	for _, want := range []stream.Answer{stream.OK, stream.Already} {
		if answer, err := r.Commit(ctx, le, c); answer != want || err != nil {
			t.Fatalf("commit: %s, %v; want %s", answer, err, want)
		}
		check(want.String())
	}
	r.must(le.Release(ctx))
	c.After, c.Last = at[0], at[1]
	if answer, _ := r.Commit(ctx, le, c); answer != stream.LostLease {
		t.Fatalf("commit without lease: %s; want lost_lease", answer)
	}
	check("refused")
}

func storesDeadLettersOnce(t *testing.T, database Database) {
	r := start(t, database(t))
	le := r.lease("sink:rows")
	ctx := t.Context()
	raw := letter("", -1)
	raw.Event, raw.Raw = nil, []byte{0, 1, 2}
	other := letter("bad", 2)
	other.Node = "rows"
	for range 3 {
		r.must(r.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("bad", 2), letter("bad", 3), raw, other}))
	}
	letters, err := r.DeadLetters(ctx, "", 10)
	r.must(err)
	if len(letters) != 4 {
		t.Fatalf("%d dead letters; want 4", len(letters))
	}
	rest, err := r.DeadLetters(ctx, letters[1].ID, 1)
	r.must(err)
	if len(rest) != 1 || string(rest[0].Raw) != "\x00\x01\x02" || rest[0].Event != nil {
		t.Fatalf("third letter: %+v; want the raw one", rest)
	}
	got, want := letters[0].DeadLetter, letter("bad", 2)
	if got.Event == nil || got.Event.RootID != "bad" || got.Event.ID != want.Event.ID {
		t.Fatalf("event %+v; want %+v", got.Event, want.Event)
	}
	got.Event, want.Event, got.Raw = nil, nil, nil
	if got.Node != want.Node || got.Generation != want.Generation || got.Record != want.Record || got.Class != want.Class ||
		got.Code != want.Code || got.Text != want.Text || got.Plugin != want.Plugin || got.Attempt != want.Attempt ||
		got.TimeMs != want.TimeMs || got.Stream != want.Stream || got.Lane != want.Lane || got.At != want.At {
		t.Fatalf("letter %+v; want %+v", got, want)
	}
}

func cutsDeadLetters(t *testing.T, database Database) {
	const most, kept = 16 << 20, 64 << 10
	r := start(t, database(t))
	le := r.lease("sink:rows")
	payload, record, raw := letter("payload", 0), letter("record", 0), letter("", -1)
	whole, key := letter("whole", 0), letter("key", 0)
	big := bytes.Repeat([]byte("0123456789abcdef"), most/16+1)
	payload.Event.Payload, payload.Event.Record = big, &event.Record{Fields: []event.Field{{Name: "x", Value: event.Int(1)}}}
	record.Event.Payload, record.Event.Record = nil, &event.Record{Fields: []event.Field{{Name: "x", Value: event.Bytes(big)}}}
	raw.Event, raw.Raw = nil, big
	whole.Event.Payload, whole.Event.Record = big[:most-1000], nil
	key.Event.Payload, key.Event.Record, key.Event.Key = []byte("small"), nil, string(big)
	r.must(r.StoreDeadLetters(t.Context(), le, []stream.DeadLetter{payload, record, raw, whole, key}))
	letters, err := r.DeadLetters(t.Context(), "", 10)
	r.must(err)
	if len(letters) != 5 {
		t.Fatalf("%d dead letters; want 5", len(letters))
	}
	for i, all := range [][]byte{big, record.Event.Record.AppendJSON(nil), big} {
		got := letters[i].Raw
		if e := letters[i].Event; e != nil {
			got = e.Payload
		}
		want := stream.Cut{Length: int64(len(all)), SHA256: fmt.Sprintf("%x", sha256.Sum256(all))}
		if !bytes.Equal(got, all[:kept]) || letters[i].Cut == nil || *letters[i].Cut != want {
			t.Errorf("letter %d keeps %d bytes, %+v; want the first %d and %+v", i, len(got), letters[i].Cut, kept, want)
		}
	}
	if l := letters[3]; l.Cut != nil || len(l.Event.Payload) != most-1000 {
		t.Errorf("a letter below the limit keeps %d bytes, %+v; want all", len(l.Event.Payload), l.Cut)
	}
	if l := letters[4]; l.Cut != nil || string(l.Event.Payload) != "small" || len(l.Event.Key) != len(big) {
		t.Errorf("a letter with a large key keeps payload %q, %+v; want all of it, unmarked", l.Event.Payload, l.Cut)
	}
}

func dropsDeadLetters(t *testing.T, database Database) {
	r := start(t, database(t))
	le := r.lease("sink:rows")
	ctx := t.Context()
	raw := letter("", -1)
	raw.Event, raw.Raw = nil, []byte{0, 1, 2}
	r.must(r.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("bad", 2), raw, letter("bad", 3)}))
	letters, err := r.DeadLetters(ctx, "", 10)
	r.must(err)
	for _, want := range []int{2, 0} { // a second time nothing is left of them
		if n, err := r.DropDeadLetters(ctx, letters[:2]); n != want || err != nil {
			t.Fatalf("dropped %d, %v; want %d", n, err, want)
		}
	}
	if _, ok, err := r.DeadLetter(ctx, letters[0].ID); ok || err != nil {
		t.Fatalf("the dropped letter is there: %t, %v", ok, err)
	}
	if got, ok, err := r.DeadLetter(ctx, letters[2].ID); !ok || err != nil || got.Record != 3 {
		t.Fatalf("the other letter: record %d, %t, %v; want it as it was", got.Record, ok, err)
	}
	r.must(r.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("bad", 2), letter("bad", 3)}))
	left, err := r.DeadLetters(ctx, "", 10)
	r.must(err)
	if len(left) != 2 || left[0].Record != 3 || left[1].Record != 2 {
		t.Fatalf("letters %+v; want the one that stayed and the one that came again", left)
	}
	_, err = r.DropDeadLetters(ctx, left)
	r.must(err)
	if used := r.raw.HGet(ctx, "mr:{suite}:usage", "!dead").Val(); used != "0" {
		t.Fatalf("no letters take %s bytes; want 0", used)
	}
}

// expiresDeadLetters: what is older than the retention goes, nothing else does, and
// too many of them are told of.
func expiresDeadLetters(t *testing.T, database Database) {
	ctx := t.Context()
	keeps := start(t, database(t), func(c *stream.Config) { c.Retention, c.RetentionBytes, c.Resume = time.Nanosecond, 1, time.Nanosecond })
	le := keeps.lease("sink:rows")
	big := letter("big", 1)
	big.Event.Payload = make([]byte, 65<<20) // more than a frame takes
	keeps.must(keeps.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("old", 1), big}))
	wait(t, "a count of what was cut", func() bool { s := keeps.Stats(); return s.DeadLetters == 2 && s.DeadCut == 1 })
	if keeps.Stats().DeadAlarm {
		t.Error("two small letters are an alarm")
	}
	drops := start(t, database(t), func(c *stream.Config) { c.DeadRetention, c.DeadAlarm = 2*time.Second, 100 })
	le = drops.lease("sink:rows")
	drops.must(drops.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("old", 1), letter("old", 2)}))
	wait(t, "the alarm", func() bool { return drops.Stats().DeadAlarm })
	wait(t, "the end of old letters", func() bool { s := drops.Stats(); return s.DeadLetters == 0 && s.DeadBytes == 0 && !s.DeadAlarm })
	if left, err := keeps.DeadLetters(ctx, "", 10); len(left) != 2 || err != nil {
		t.Errorf("%d letters, %v; want both: their retention is not the journal's", len(left), err)
	}
	drops.stop() // it would take this one, too
	drops.must(drops.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("old", 1)}))
	if again, err := drops.DeadLetters(ctx, "", 10); len(again) != 1 || err != nil {
		t.Errorf("%d letters, %v; one that expired may come again", len(again), err)
	}
}

// redrivesDeadLetters: an event is a dead letter or in the stream, never both or
// neither, whoever tries to drive it again.
func redrivesDeadLetters(t *testing.T, database Database) {
	r := start(t, database(t))
	ctx := t.Context()
	r.must(r.EnsureStreams(ctx, []string{stream.Journal, "x", "rows@redrive"}))
	r.must(r.RegisterReader(ctx, "rows@redrive", "rows@redrive", false))
	le := r.lease("sink:rows")
	r.must(r.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("a", -1), letter("b", -1), letter("c", -1)}))
	letters, err := r.DeadLetters(ctx, "", 10)
	r.must(err)
	outputs := []stream.Output{
		{Stream: "rows@redrive", Lane: 1, Frame: frame(t, "a", 2), Events: 2}, {Stream: "rows@redrive", Lane: 0, Frame: frame(t, "c", 1), Events: 1},
	}
	r.must(r.Redrive(ctx, letters[:2], outputs[:1]))
	if err := r.Redrive(ctx, letters, outputs); !errors.Is(err, stream.ErrLetterGone) {
		t.Fatalf("again, with letters that are gone: %v; want ErrLetterGone", err)
	}
	left, err := r.DeadLetters(ctx, "", 10)
	r.must(err)
	if len(left) != 1 || left[0].ID != letters[2].ID {
		t.Fatalf("letters %+v; want the third alone", left)
	}
	if n, err := r.Lag(ctx, "rows@redrive", "rows@redrive"); n != 2 || err != nil {
		t.Fatalf("%d events wait, %v; want 2", n, err)
	}
	r.must(r.Redrive(ctx, left, outputs[1:]))
	if n, err := r.Lag(ctx, "rows@redrive", "rows@redrive"); n != 3 || err != nil {
		t.Fatalf("%d events wait, %v; want 3", n, err)
	}
	if used := r.raw.HGet(ctx, "mr:{suite}:usage", "!dead").Val(); used != "0" {
		t.Fatalf("no letters take %s bytes; want 0", used)
	}
	r.must(r.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("a", -1)}))
	if left, err = r.DeadLetters(ctx, "", 10); len(left) != 1 || err != nil {
		t.Fatalf("letters %+v, %v; want the one that was refused again", left, err)
	}
	r.wantNoFatal()
}

func aligns(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 4)
	ctx := t.Context()
	for _, to := range []event.Position{at[2], at[0], at[3], {}} {
		r.must(r.Align(ctx, le, "x@live", stream.Journal, 0, to))
		if got := r.position("x@live", stream.Journal, 0); got.Seq != to.Seq || got.Ms != to.Ms {
			t.Fatalf("position %s; want %s", got, to)
		}
	}
	r.wantNoFatal()
	beyond := at[3]
	beyond.Seq++
	if err := r.Align(ctx, le, "x@live", stream.Journal, 0, beyond); !errors.Is(err, stream.ErrBehind) {
		t.Fatalf("align beyond the end: %v; want ErrBehind", err)
	}
	r.wantFatal(stream.ErrBehind)

	other := start(t, database(t))
	le, at = stage(t, other, 1)
	at[0].Epoch--
	if err := other.Align(ctx, le, "x@live", stream.Journal, 0, at[0]); !errors.Is(err, stream.ErrWrongEpoch) {
		t.Fatalf("align to another epoch: %v; want ErrWrongEpoch", err)
	}
	other.wantFatal(stream.ErrWrongEpoch)
}
