package logtest

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// movesReaders: one reader takes another one's place, a third is given one, and the
// states of a node go, in one step; a lost lease leaves everything as it was.
func movesReaders(t *testing.T, database Database) {
	url := database(t)
	r := start(t, url)
	ctx := t.Context()
	r.must(r.RegisterReader(ctx, "old@live", stream.Journal, false))
	le, source := r.lease("stage:old"), r.lease("source:x")
	var at []event.Position
	for range 4 {
		at = append(at, r.put(source, stream.Journal, 0, "e", 1))
	}
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "old@live", Stream: stream.Journal, Until: at[1]})
	u.names(2)
	wait(t, "the reader's place", func() bool { return r.position("old@live", stream.Journal, 0) == at[1] })
	r.raw.HSet(ctx, "mr:{suite}:state:old", "key", "value")
	r.must(r.StateVersions("live").Record(ctx, "old", "1"))
	places, err := r.Places(ctx, "old@live", stream.Journal)
	r.must(err)
	heads, err := r.Heads(ctx, stream.Journal)
	r.must(err)
	moves := stream.Moves{
		Place: []stream.Place{
			{Reader: "new@live", Stream: stream.Journal, After: places},
			{Reader: "rows@live", Stream: stream.Journal, External: true, After: heads},
		},
		Forget: []stream.Place{{Reader: "old@live", Stream: stream.Journal}},
		States: []string{"old"}, Leases: []*stream.Lease{le},
	}
	movesNothing(r, start(t, url, func(c *stream.Config) { c.EngineID = "two" }), moves, at[1])
	for range 2 { // again after a lost answer
		r.must(r.Move(ctx, moves))
	}
	if got := r.position("new@live", stream.Journal, 0); got != at[1] {
		t.Errorf("the successor stands at %s; want %s", got, at[1])
	}
	if got := r.position("rows@live", stream.Journal, 0); got != at[3] {
		t.Errorf("the new reader stands at %s; want the end, %s", got, at[3])
	}
	if _, err := r.Position(ctx, "old@live", stream.Journal, 0); err == nil {
		t.Error("the old reader still has a place")
	}
	kinds := r.raw.HGetAll(ctx, "mr:{suite}:readers").Val()
	if len(kinds) != 2 || kinds["rows@live|journal"] != "external" {
		t.Errorf("readers %v", kinds)
	}
	if keys := r.raw.Keys(ctx, "*:state*:old").Val(); len(keys) > 0 {
		t.Errorf("%v are still there", keys)
	}
	wrong := stream.Moves{Place: []stream.Place{{Reader: "x@live", Stream: stream.Journal, After: heads[:1]}}}
	if err := r.Move(ctx, wrong); err == nil {
		t.Error("a place for one of two lanes was taken")
	}
}

// movesNothing makes the moves under a lease more that is nobody's any more.
func movesNothing(r, other *rig, moves stream.Moves, at event.Position) {
	r.t.Helper()
	ctx := r.t.Context()
	gone := other.lease("stage:gone")
	r.must(gone.Release(ctx))
	moves.Leases = append([]*stream.Lease{gone}, moves.Leases...)
	if err := r.Move(ctx, moves); !errors.Is(err, stream.ErrLostLease) {
		r.t.Fatalf("move under a lease of nobody: %v; want ErrLostLease", err)
	}
	if _, err := r.Position(ctx, "new@live", stream.Journal, 0); err == nil || r.position("old@live", stream.Journal, 0) != at {
		r.t.Fatal("a refused move has moved something")
	}
}
