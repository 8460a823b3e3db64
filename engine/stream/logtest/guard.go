package logtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

func stopsWhenFlushed(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 1)
	src := r.lease("source:b")
	r.wantNoFatal()
	r.must(r.raw.FlushDB(t.Context()).Err())
	_, err := r.Append(t.Context(), src, stream.AppendRequest{Stream: stream.Journal, Frame: frame(t, "x", 1), Events: 1})
	if !errors.Is(err, stream.ErrWrongEpoch) || node.ClassOf(err) != node.Fatal {
		t.Fatalf("append to a flushed log: %v; want ErrWrongEpoch, fatal", err)
	}
	r.wantFatal(stream.ErrWrongEpoch)
	_, err = r.Commit(t.Context(), le, stream.Commit{Reader: "x@live", Stream: stream.Journal, Last: at[0]})
	if node.ClassOf(err) != node.Fatal {
		t.Fatalf("commit to a flushed log: %v; want a fatal error", err)
	}
	next := start(t, r.url)
	if next.Epoch() <= r.Epoch() {
		t.Fatalf("epoch %d after %d; want a later one", next.Epoch(), r.Epoch())
	}
	idle := start(t, database(t)) // one that neither appends nor commits notices too
	r.must(idle.raw.FlushDB(t.Context()).Err())
	idle.wantFatal(stream.ErrWrongEpoch)
}

const laneKey = "mr:{suite}:stream:journal:0"

func stopsWhenTrimmedByOthers(t *testing.T, database Database) {
	url := database(t)
	writer := start(t, url)
	_, at := stage(t, writer, 5)
	writer.stop()
	r := start(t, url) // who has stored the entries need not ask for them
	r.stop()           // the background work would notice as well
	le := r.lease("stage:x")
	r.must(r.raw.XDel(t.Context(), laneKey, at[2].EntryID()).Err())
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal})
	r.wantFatal(stream.ErrGap)
	if err := u.stopped(); !errors.Is(err, stream.ErrGap) {
		t.Fatalf("lane stopped with %v; want ErrGap", err)
	}

	idle := start(t, database(t))
	_, at = stage(t, idle, 3)
	idle.must(idle.raw.XTrimMinID(t.Context(), laneKey, at[2].EntryID()).Err())
	idle.wantFatal(stream.ErrBehind)
}

func stopsWhenBehind(t *testing.T, database Database) {
	r := start(t, database(t))
	_, at := stage(t, r, 3)
	src := r.lease("source:b")
	r.stop()
	// as if an older copy of the lane had been put back
	r.must(r.raw.HSet(t.Context(), "mr:{suite}:lane:journal:0", "head", at[1].EntryID()).Err())
	_, err := r.Append(t.Context(), src, stream.AppendRequest{Stream: stream.Journal, Frame: frame(t, "x", 1), Events: 1})
	if !errors.Is(err, stream.ErrBehind) {
		t.Fatalf("append to a lane that ends too early: %v; want ErrBehind", err)
	}
	r.wantFatal(stream.ErrBehind)
	wantAdvice(t, err)
}

// wantAdvice: who reads why the log stopped reads what to do about it.
func wantAdvice(t testing.TB, err error) {
	t.Helper()
	if !strings.Contains(err.Error(), "engine log accept-loss") {
		t.Errorf("%q does not say how to go on", err)
	}
}

func open(t testing.TB, url string, change config) error {
	t.Helper()
	cfg := stream.Config{URL: url, Pipeline: "suite", EngineID: "one", Lanes: 2}
	change(&cfg)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	l, err := stream.Open(ctx, cfg)
	if err == nil {
		err = l.Close()
	}
	return err
}

func refusesOtherLanes(t *testing.T, database Database) {
	r := start(t, database(t))
	same := func(*stream.Config) {}
	if err := open(t, r.url, same); err != nil { // control
		t.Fatal(err)
	}
	err := open(t, r.url, func(c *stream.Config) { c.Lanes = 3 })
	if !errors.Is(err, stream.ErrLanes) || node.ClassOf(err) != node.Fatal {
		t.Fatalf("open with 3 lanes: %v; want ErrLanes, fatal", err)
	}
	r.must(r.raw.HSet(t.Context(), "mr:{suite}:meta", "format", "999").Err())
	if err := open(t, r.url, same); node.ClassOf(err) != node.Fatal {
		t.Fatalf("open another format: %v; want a fatal error", err)
	}
	if err := open(t, "redis://user:secret@[bad", same); err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatalf("open a bad URL: %v; want an error without its password", err)
	}
}

func acceptsLoss(t *testing.T, database Database) {
	url := database(t)
	r := start(t, url)
	_, at := stage(t, r, 5)
	r.must(r.RegisterReader(t.Context(), "y@live", stream.Journal, true))
	r.stop()
	ctx := t.Context()
	r.must(r.raw.XDel(ctx, laneKey, at[0].EntryID(), at[2].EntryID()).Err())
	r.must(r.raw.HDel(ctx, "mr:{suite}:meta", "epoch").Err())
	if err := open(t, url, func(*stream.Config) {}); !errors.Is(err, stream.ErrBehind) {
		t.Fatalf("open a torn log: %v; want ErrBehind", err)
	}
	epoch, err := stream.AcceptLoss(ctx, stream.Config{URL: url, Pipeline: "suite", EngineID: "one", Lanes: 2})
	r.must(err)
	next := start(t, url)
	if next.Epoch() != epoch || epoch <= r.Epoch() {
		t.Fatalf("epoch %d, accepted %d, before %d; want the accepted one, later than before", next.Epoch(), epoch, r.Epoch())
	}
	le := next.lease("stage:x")
	u := subscribe(next, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal})
	next.put(next.lease("source:a"), stream.Journal, 0, "new", 1)
	if got := strings.Join(u.names(4), " "); got != "in-0 in-0 in-0 new-0" {
		t.Fatalf("read %s; want the three that are left and the new one", got)
	}
	sink := next.lease("sink:y")
	next.must(next.Align(ctx, sink, "y@live", stream.Journal, 0, at[3])) // of the old epoch
	if got := next.position("y@live", stream.Journal, 0); got.Seq != at[3].Seq {
		t.Fatalf("old position became %s; want frame %d", got, at[3].Seq)
	}
	far := event.Position{Epoch: at[0].Epoch, Ms: at[4].Ms, Seq: 1000}
	next.must(next.Align(ctx, sink, "y@live", stream.Journal, 0, far))
	if got := next.position("y@live", stream.Journal, 0); got.Seq != 5 {
		t.Fatalf("old position beyond the end became %s; want the end when the loss was accepted, frame 5", got)
	}
	next.wantNoFatal()
}

// findsReusedPlaces puts a lane back to an older state while nobody looks, and lets
// new entries take the numbers of lost ones: a reader that has finished those does not
// pass over the new ones, neither before the loss is accepted nor afterwards.
func findsReusedPlaces(t *testing.T, database Database) {
	url, ctx := database(t), t.Context()
	r := start(t, url)
	_, at := stage(t, r, 4)
	r.stop()
	r.must(r.raw.XDel(ctx, laneKey, at[2].EntryID(), at[3].EntryID()).Err())
	r.must(r.raw.HSet(ctx, "mr:{suite}:lane:journal:0", "head", at[1].EntryID()).Err())
	eventually(t, "the next millisecond", func() bool { return uint64(time.Now().UnixMilli()) > at[3].Ms })
	late := start(t, url) // knows nothing of what was lost
	src := late.lease("source:late")
	for range 3 {
		late.put(src, stream.Journal, 0, "new", 1)
	}
	err := late.Align(ctx, late.lease("stage:x"), "x@live", stream.Journal, 0, at[3])
	if !errors.Is(err, stream.ErrBehind) {
		t.Fatalf("align to a place that another entry has: %v; want ErrBehind", err)
	}
	late.wantFatal(stream.ErrBehind)
	wantAdvice(t, err)
	late.stop()
	_, err = stream.AcceptLoss(ctx, stream.Config{URL: url, Pipeline: "suite", EngineID: "one", Lanes: 2})
	late.must(err)
	next := start(t, url)
	next.must(next.Align(ctx, next.lease("stage:x"), "x@live", stream.Journal, 0, at[3]))
	if got := next.position("x@live", stream.Journal, 0); got.EntryID() != at[1].EntryID() {
		t.Fatalf("the reader goes on behind %s; want %s, the last entry before the loss", got, at[1])
	}
	next.wantNoFatal()
}
