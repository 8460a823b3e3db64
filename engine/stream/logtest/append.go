package logtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

func appendsInOrder(t *testing.T, database Database) {
	r := start(t, database(t))
	le := r.lease("source:a")
	var last event.Position
	for i := range 5 {
		at := r.put(le, stream.Journal, 1, fmt.Sprint(i), 1)
		if at.Seq != uint64(i+1) || at.Ms < last.Ms || at.Epoch != r.Epoch() {
			t.Fatalf("append %d at %s after %s; want dense numbers under epoch %d", i, at, last, r.Epoch())
		}
		last = at
	}
	head, err := r.Head(t.Context(), stream.Journal, 1)
	r.must(err)
	if head != last {
		t.Fatalf("head %s; want %s", head, last)
	}
	equal(t, "lane 1", r.all(stream.Journal, 1), []string{"0-0", "1-0", "2-0", "3-0", "4-0"})
	equal(t, "lane 0", r.all(stream.Journal, 0), nil)
	_, err = r.Append(t.Context(), le, stream.AppendRequest{Stream: "unknown", Frame: []byte("x"), Events: 1})
	if node.ClassOf(err) != node.Fatal {
		t.Fatalf("append to an unknown stream: %v; want a fatal error", err)
	}
}

func appendsOnce(t *testing.T, database Database) {
	way := newLossy(t, database(t))
	r := start(t, way.url)
	le := r.lease("source:a")
	r.stop() // whose answers must not be the ones that get lost
	first := r.put(le, stream.Journal, 0, "same", 1)
	lost := func(label string) {
		t.Helper()
		way.lose.Store(true)
		_, err := r.Append(t.Context(), le, stream.AppendRequest{Stream: stream.Journal, Frame: frame(t, label, 1), Events: 1})
		if node.ClassOf(err) != node.Away {
			t.Fatalf("append whose answer is lost: %v; want an away error", err)
		}
	}
	lost("same")
	lost("same")
	second := r.put(le, stream.Journal, 0, "same", 1)
	if second.Seq != first.Seq+1 {
		t.Fatalf("append tried three times is at %s after %s; want the next entry", second, first)
	}
	lost("dropped") // the source was cut off and builds another frame instead
	r.put(le, stream.Journal, 0, "other", 1)
	r.put(le, stream.Journal, 0, "other", 1)
	equal(t, "lane", r.all(stream.Journal, 0), []string{"same-0", "same-0", "dropped-0", "other-0", "other-0"})
}

func request(t testing.TB, source string, lane int, names ...string) stream.AppendRequest {
	f := event.Frame{}
	r := stream.AppendRequest{Stream: stream.Journal, Lane: lane, Events: len(names), Source: source}
	for _, name := range names {
		f.Events = append(f.Events, makeEvent(name))
		r.Identities = append(r.Identities, identity(name))
	}
	var err error
	if r.Frame, err = f.Encode(nil, event.None); err != nil {
		t.Fatal(err)
	}
	return r
}

func refusesKnown(t *testing.T, database Database) {
	r := start(t, database(t))
	le := r.lease("source:a")
	ctx := t.Context()
	many := make([]string, 1200)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	_, err := r.Append(ctx, le, request(t, "a", 0, many...))
	r.must(err)
	_, err = r.Append(ctx, le, request(t, "a", 1, "new", "7", "newer", "1199"))
	known, ok := errors.AsType[*stream.KnownError](err)
	if !ok {
		t.Fatalf("append of known identities to another lane: %v; want KnownError", err)
	}
	equal(t, "known", known.Indexes, []int{1, 3})
	equal(t, "lane 1 after the refusal", r.all(stream.Journal, 1), nil)
	_, err = r.Append(ctx, le, request(t, "a", 1, "new", "newer"))
	r.must(err) // control: the refusal has marked nothing
	_, err = r.Append(ctx, le, request(t, "b", 1, "7"))
	r.must(err) // another source knows nothing of it
	equal(t, "lane 1", r.all(stream.Journal, 1), []string{"new", "newer", "7"})
}

func rotatesIdentities(t *testing.T, database Database) {
	window := 300 * time.Millisecond
	r := start(t, database(t), func(c *stream.Config) { c.IdentityWindow = window })
	le := r.lease("source:a")
	put := func(name string) error {
		_, err := r.Append(t.Context(), le, request(t, "a", 0, name))
		return err
	}
	first := 0
	eventually(t, "the same identity twice within the window", func() bool { // on a busy machine it may be over before
		first++
		begun, name := time.Now(), fmt.Sprint("first", first)
		r.must(put(name))
		err := put(name)
		if time.Since(begun) >= window {
			return false
		}
		if err == nil {
			t.Fatal("a known identity was accepted within the window")
		}
		return true
	})
	n := 0
	eventually(t, "the identity is forgotten after two windows", func() bool {
		n++
		r.must(put(fmt.Sprint("filler", n)))
		return put(fmt.Sprint("first", first)) == nil
	})
}

func refusesWhenFull(t *testing.T, database Database) {
	const most = 64 << 10
	r := start(t, database(t), func(c *stream.Config) { c.MaxBytes = most })
	r.stop() // it would trim, and see that the units below are invented
	ctx := t.Context()
	r.must(r.RegisterReader(ctx, "x@live", stream.Journal, false))
	r.must(r.RegisterReader(ctx, "y@live", "out", false))
	le, st := r.lease("source:a"), r.lease("stage:x")
	var at event.Position
	var err error
	for range 1000 {
		var p event.Position
		if p, err = r.Append(ctx, le, stream.AppendRequest{Stream: stream.Journal, Frame: frame(t, "x", 10), Events: 10}); err != nil {
			break
		}
		at = p
	}
	if !errors.Is(err, stream.ErrFull) || node.ClassOf(err) != node.Away {
		t.Fatalf("append to a full log: %v; want ErrFull, away", err)
	}
	c := stream.Commit{Reader: "x@live", Stream: stream.Journal, Last: at}
	c.Effects.Outputs = []stream.Output{{Stream: "out", Frame: frame(t, "y", 10), Events: 10}}
	if answer, err := r.Commit(ctx, st, c); answer != stream.OK || err != nil {
		t.Fatalf("commit into another stream of a full log: %s, %v; want ok", answer, err)
	}
	c.After, c.Last = at, event.Position{Epoch: at.Epoch, Ms: at.Ms, Seq: at.Seq + 1}
	for range 1000 {
		var answer stream.Answer
		if answer, err = r.Commit(ctx, st, c); answer == stream.Full {
			break
		}
		c.After, c.Last.Seq = c.Last, c.Last.Seq+1
	}
	if !errors.Is(err, stream.ErrFull) {
		t.Fatalf("commits into a full stream: %v; want ErrFull", err)
	}
	c.Effects = stream.Effects{}
	if answer, err := r.Commit(ctx, st, c); answer != stream.OK {
		t.Fatalf("commit that appends nothing: %s, %v; want ok although the log is full", answer, err)
	}
}
