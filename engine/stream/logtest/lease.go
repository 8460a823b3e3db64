package logtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

func engine(id string) config { return func(c *stream.Config) { c.EngineID = id } }

func fencesStaleOwners(t *testing.T, database Database) {
	url := database(t)
	old := start(t, url)
	ctx := t.Context()
	src := old.lease("source:a")
	le, at := stage(t, old, 2)
	c := stream.Commit{Reader: "x@live", Stream: stream.Journal, Last: at[0]}
	if answer, err := old.Commit(ctx, le, c); answer != stream.OK { // control: the owner's passes
		t.Fatalf("owner's commit: %s, %v; want ok", answer, err)
	}
	old.stop() // silent from here, as a process that is paused
	next := start(t, url, engine("two"))
	taken := next.lease("stage:x")
	next.lease("source:a")
	c.After, c.Last = at[0], at[1]
	answer, err := old.Commit(ctx, le, c)
	if answer != stream.LostLease || !errors.Is(err, stream.ErrLostLease) {
		t.Fatalf("stale owner's commit: %s, %v; want lost_lease", answer, err)
	}
	<-le.Lost()
	_, err = old.Append(ctx, src, stream.AppendRequest{Stream: stream.Journal, Frame: frame(t, "late", 1), Events: 1})
	if !errors.Is(err, stream.ErrLostLease) {
		t.Fatalf("stale owner's append: %v; want ErrLostLease", err)
	}
	if err := old.StoreDeadLetters(ctx, le, []stream.DeadLetter{letter("bad", 1)}); !errors.Is(err, stream.ErrLostLease) {
		t.Fatalf("stale owner's dead letter: %v; want ErrLostLease", err)
	}
	if answer, err := next.Commit(ctx, taken, c); answer != stream.OK {
		t.Fatalf("new owner's commit: %s, %v; want ok", answer, err)
	}
	old.wantNoFatal() // another engine has it: the lane stops, not the pipeline
}

func takesOverAtOnce(t *testing.T, database Database) {
	url := database(t)
	hour := func(c *stream.Config) { c.LeaseTTL = time.Hour }
	old := start(t, url, hour)
	le := old.lease("stage:x")
	next := start(t, url, hour)
	if next.Incarnation() <= old.Incarnation() {
		t.Fatalf("incarnation %d after %d; want a higher one", next.Incarnation(), old.Incarnation())
	}
	next.lease("stage:x") // does not wait for the hour
	_, err := old.Append(t.Context(), le, stream.AppendRequest{Stream: stream.Journal, Frame: frame(t, "late", 1), Events: 1})
	if !errors.Is(err, stream.ErrLostLease) {
		t.Fatalf("replaced process appends: %v; want ErrLostLease", err)
	}
	if _, err := old.Acquire(t.Context(), "stage:x"); !errors.Is(err, stream.ErrReplaced) {
		t.Fatalf("replaced process acquires: %v; want ErrReplaced", err)
	}
	old.wantFatal(stream.ErrReplaced)

	other := start(t, url, hour, engine("two"))                    // control: another engine does wait
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // long enough for one answer
	defer cancel()
	if _, err := other.Acquire(ctx, "stage:x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("another engine acquires a held lease: %v; want it to wait", err)
	}
}

func leaseRunsOut(t *testing.T, database Database) {
	url := database(t)
	const ttl = 4 * time.Second // it is renewed every second: a busy machine may miss two
	old := start(t, url, func(c *stream.Config) { c.LeaseTTL = ttl })
	le := old.lease("stage:x")
	next := start(t, url, func(c *stream.Config) { c.LeaseTTL = ttl }, engine("two"))
	ctx, cancel := context.WithTimeout(t.Context(), ttl+time.Second)
	defer cancel()
	if _, err := next.Acquire(ctx, "stage:x"); err == nil || node.ClassOf(err) == node.Fatal { // control
		t.Fatalf("lease that is renewed: %v; want a wait until the time is over", err)
	}
	old.stop()
	next.lease("stage:x")
	if err := le.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := next.commitAnything(le); !errors.Is(err, stream.ErrLostLease) {
		t.Fatalf("commit under a lease that ran out: %v; want ErrLostLease", err)
	}
}

// commitAnything appends a frame and commits it under le.
func (r *rig) commitAnything(le *stream.Lease) (stream.Answer, error) {
	r.must(r.RegisterReader(r.t.Context(), "z@live", "out", false))
	at := r.put(r.lease("source:z"), "out", 0, "z", 1)
	return r.Commit(r.t.Context(), le, stream.Commit{Reader: "z@live", Stream: "out", Last: at})
}

func keepsUnclaimedLease(t *testing.T, database Database) {
	r := start(t, database(t), func(c *stream.Config) { c.LeaseTTL = 200 * time.Millisecond })
	le := r.lease("stage:x")
	r.stop()
	key := "mr:{suite}:lease:stage:x"
	eventually(t, "the lease runs out", func() bool { return r.raw.Exists(t.Context(), key).Val() == 0 })
	if answer, err := r.commitAnything(le); answer != stream.OK {
		t.Fatalf("commit under a lease that nobody else took: %s, %v; want ok", answer, err)
	}
	r.run()
	eventually(t, "the lease is renewed", func() bool { return r.raw.Exists(t.Context(), key).Val() == 1 })
}
