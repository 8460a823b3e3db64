package logtest

import (
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

func beginsWhereTold(t *testing.T, database Database) {
	r := start(t, database(t))
	ctx := t.Context()
	le := r.lease("source:x")
	var at []event.Position
	for range 4 {
		at = append(at, r.put(le, stream.Journal, 0, "e", 3))
	}
	r.must(r.RegisterReaderAfter(ctx, "late@again", stream.Journal, false, []event.Position{at[1], {}}))
	if got := r.position("late@again", stream.Journal, 0); got.Seq != 2 {
		t.Fatalf("position %s; want just behind the second entry", got)
	}
	r.must(r.RegisterReaderAfter(ctx, "late@again", stream.Journal, false, []event.Position{at[2], {}}))
	if got := r.position("late@again", stream.Journal, 0); got.Seq != 2 {
		t.Fatalf("position %s; a reader that has one keeps it", got)
	}
	if err := r.RegisterReaderAfter(ctx, "few@again", stream.Journal, false, at[:1]); err == nil {
		t.Fatal("fewer places than lanes are taken")
	}

	for name, c := range map[string]struct {
		mark func() (stream.Mark, error)
		want stream.Mark
	}{
		"the end":                {func() (stream.Mark, error) { return r.MarkBefore(ctx, stream.Journal, 0, stream.LaneEnd) }, stream.Mark{At: at[3], Events: 12}},
		"before everything":      {func() (stream.Mark, error) { return r.MarkBefore(ctx, stream.Journal, 0, 1) }, stream.Mark{At: event.Position{Epoch: r.Epoch()}}},
		"at the start of time":   {func() (stream.Mark, error) { return r.MarkBefore(ctx, stream.Journal, 0, 0) }, stream.Mark{At: event.Position{Epoch: r.Epoch()}}},
		"an entry":               {func() (stream.Mark, error) { return r.MarkAt(ctx, stream.Journal, 0, at[1]) }, stream.Mark{At: at[1], Events: 6}},
		"a lane that holds none": {func() (stream.Mark, error) { return r.MarkBefore(ctx, stream.Journal, 1, stream.LaneEnd) }, stream.Mark{At: event.Position{Epoch: r.Epoch()}}},
	} {
		if got, err := c.mark(); got.At.Seq != c.want.At.Seq || got.Events != c.want.Events || got.At.Epoch != r.Epoch() || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	trimmed := start(t, database(t), func(c *stream.Config) { c.Retention, c.RetentionBytes = time.Millisecond, 1 })
	le = trimmed.lease("source:x")
	for range 3 {
		trimmed.put(le, stream.Journal, 0, "e", 3)
	}
	wait(t, "a trimmed journal", func() bool {
		trimmed.must(trimmed.Trim(ctx))
		floor, err := trimmed.Trimmed(ctx, stream.Journal, 0)
		return err == nil && floor.Seq > 0
	})
	trimmed.stop() // it would trim more
	floor, err := trimmed.Trimmed(ctx, stream.Journal, 0)
	trimmed.must(err)
	if m, err := trimmed.MarkBefore(ctx, stream.Journal, 0, 1); m.At.Seq != floor.Seq || m.Events != 3*int64(floor.Seq) || err != nil {
		t.Errorf("before everything: %+v, %v; want what was trimmed last, %s", m, err, floor)
	}
	trimmed.must(trimmed.RegisterReaderAfter(ctx, "early@again", stream.Journal, false, make([]event.Position, 2)))
	if got := trimmed.position("early@again", stream.Journal, 0); got.Seq != floor.Seq {
		t.Errorf("position %s; want the start of what is there, %s", got, floor)
	}
}

func endsAtUntil(t *testing.T, database Database) {
	r := start(t, database(t))
	le := r.lease("stage:x")
	r.must(r.RegisterReader(t.Context(), "x@live", stream.Journal, false))
	var at []event.Position
	source := r.lease("source:x")
	for range 5 {
		at = append(at, r.put(source, stream.Journal, 0, "e", 1))
	}
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal, Until: at[2], MaxEvents: 1})
	if got := u.names(3); len(got) != 3 {
		t.Fatalf("events %v; want three", got)
	}
	select {
	case msg, ok := <-u.ch:
		t.Fatalf("after the last entry came %v, %t", msg, ok)
	case <-time.After(300 * time.Millisecond):
	}
	if got := r.position("x@live", stream.Journal, 0); got != at[2] {
		t.Fatalf("position %s; want %s", got, at[2])
	}
}

func dropsStreams(t *testing.T, database Database) {
	url := database(t)
	one := start(t, url)
	ctx := t.Context()
	one.must(one.EnsureStreams(ctx, []string{"out@trial"}))
	one.must(one.RegisterReader(ctx, "rows@trial", "out@trial", false))
	one.put(one.lease("stage:x"), "out@trial", 0, "e", 3)
	one.must(one.StateVersions("trial").Record(ctx, "celsius", "1"))
	two := start(t, url, func(c *stream.Config) { c.EngineID = "two" }) // knows the stream, too
	for _, name := range []string{"out", stream.Journal} {
		if err := one.DropStreams(ctx, []string{name}, nil); node.ClassOf(err) != node.Fatal {
			t.Errorf("drop of %s: %v; want it refused", name, err)
		}
	}
	if err := one.DropStreams(ctx, nil, []string{"celsius"}); node.ClassOf(err) != node.Fatal {
		t.Errorf("drop of a live state: %v; want it refused", err)
	}
	one.must(one.ForgetReader(ctx, "rows@trial", "out@trial"))
	for range 2 { // again: it is gone already
		one.must(one.DropStreams(ctx, []string{"out@trial"}, []string{"celsius@trial"}))
	}
	if keys := one.raw.Keys(ctx, "*trial*").Val(); len(keys) != 0 {
		t.Errorf("keys %v are left", keys)
	}
	if used, err := one.raw.HGet(ctx, "mr:{suite}:usage", "out@trial").Result(); err == nil {
		t.Errorf("the stream still takes %s bytes", used)
	}
	wait(t, "the other engine's look", func() bool {
		for _, name := range two.StreamNames() {
			if name == "out@trial" {
				return false
			}
		}
		return true
	})
	two.wantNoFatal()
	one.wantNoFatal()
	if _, err := one.Head(ctx, "out@trial", 0); err == nil {
		t.Error("the dropped stream is still known")
	}
	// Control: the same of a live stream is a loss.
	one.put(one.lease("stage:y"), "out", 0, "e", 1)
	wait(t, "the other engine knows of it", func() bool { h, err := two.Head(ctx, "out", 0); return err == nil && h.Seq == 1 })
	if err := one.raw.Del(ctx, "mr:{suite}:stream:out:0", "mr:{suite}:lane:out:0").Err(); err != nil {
		t.Fatal(err)
	}
	one.raw.HDel(ctx, "mr:{suite}:streams", "out")
	select {
	case err := <-one.fatal:
		if !errors.Is(err, stream.ErrBehind) {
			t.Errorf("OnFatal heard %v; want ErrBehind", err)
		}
	case <-time.After(limit):
		t.Error("a live stream vanished and nobody noticed")
	}
	select { // the other one may notice or not: it has stored nothing there
	case <-two.fatal:
	default:
	}
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

func recordsStateVersions(t *testing.T, database Database) {
	url := database(t)
	r := start(t, url)
	ctx := t.Context()
	for _, version := range []string{"2", "1", "2"} {
		r.must(r.StateVersions(stream.Live).Record(ctx, "n", version))
	}
	r.must(r.StateVersions("again").Record(ctx, "n", "3"))
	check := func(when, generation, node string, want []string) {
		t.Helper()
		for _, log := range []*rig{r, start(t, url, func(c *stream.Config) { c.EngineID = "another" })} {
			got, err := log.StateVersions(generation).Recorded(ctx, node)
			r.must(err)
			equal(t, when, got, want)
		}
	}
	check("live", stream.Live, "n", []string{"1", "2"})
	check("a replay", "again", "n", []string{"3"})
	check("another node", stream.Live, "m", []string{})
	r.must(r.ForgetGeneration(ctx, "again", []string{"n"}))
	check("a replay that is forgotten", "again", "n", []string{})
	check("live, after it", stream.Live, "n", []string{"1", "2"})
}
