package logtest

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// strict returns a letter of a node with strict order; waits says that it is behind
// another one.
func strict(name, key string, waits bool) stream.DeadLetter {
	d := letter(name, -1)
	d.Event.Key, d.Strict, d.Waits = key, true, waits
	return d
}

// held returns how many events hold the key up at the letters' node.
func (r *rig) held(key, generation string) int64 {
	r.t.Helper()
	found, err := r.Blocked(r.t.Context(), "celsius", generation, []string{"other", key})
	r.must(err)
	if _, other := found["other"]; other {
		r.t.Fatal("another key is held up")
	}
	return found[key].Events
}

func holdsKeysUp(t *testing.T, database Database) {
	r := start(t, database(t))
	ctx := t.Context()
	r.must(r.EnsureStreams(ctx, []string{"celsius@redrive"}))
	for _, reader := range []string{"celsius@live", "celsius@redrive"} {
		r.must(r.RegisterReader(ctx, reader, stream.Journal, false))
	}
	le := r.lease("stage:celsius")
	at := r.put(r.lease("source:x"), stream.Journal, 0, "e", 1)
	commit := func(reader string, after, last event.Position, e stream.Effects) (stream.Answer, error) {
		return r.Commit(ctx, le, stream.Commit{Reader: reader, Stream: stream.Journal, After: after, Last: last, Effects: e})
	}
	first := event.Position{Epoch: r.Epoch()}

	if err := r.StoreDeadLetters(ctx, le, []stream.DeadLetter{strict("b", "k", true)}); !errors.Is(err, stream.ErrUnblocked) {
		t.Fatalf("a letter that waits for nothing: %v; want ErrUnblocked", err)
	}
	answer, err := commit("celsius@live", first, at, stream.Effects{DeadLetters: []stream.DeadLetter{strict("b", "k", true)}})
	if answer != stream.Unblocked || !errors.Is(err, stream.ErrUnblocked) || r.position("celsius@live", stream.Journal, 0) != first {
		t.Fatalf("a commit of such a letter: %s, %v; want it refused as a whole", answer, err)
	}
	both := []stream.DeadLetter{strict("a", "k", false), strict("b", "k", true)}
	answer, err = commit("celsius@live", first, at, stream.Effects{DeadLetters: both})
	if answer != stream.OK || err != nil || r.held("k", "live") != 2 {
		t.Fatalf("a letter and one behind it: %s, %v, %d hold the key up; want 2", answer, err, r.held("k", "live"))
	}
	r.must(r.StoreDeadLetters(ctx, le, append(both, strict("c", "k", true))))
	if n := r.held("k", "live"); n != 3 {
		t.Fatalf("%d hold the key up, want 3: letters that are there already count once", n)
	}
	found, err := r.Blocked(ctx, "celsius", "live", []string{"k"})
	r.must(err)
	if found["k"].First != both[0].Event.ID.String() {
		t.Errorf("%s holds the key up first, want %s", found["k"].First, both[0].Event.ID)
	}

	letters, err := r.DeadLetters(ctx, "", 10)
	r.must(err)
	if !letters[0].Strict || letters[0].Waits || !letters[1].Waits {
		t.Errorf("letters are read as %+v", letters)
	}
	outputs := []stream.Output{{Stream: "celsius@redrive", Lane: 0, Frame: frame(t, "a", 1), Events: 1}}
	r.must(r.Redrive(ctx, letters[:1], outputs))
	if n := r.held("k", "live"); n != 3 {
		t.Fatalf("%d hold the key up while one is being driven again, want 3", n)
	}
	again := strict("a", "k", false)
	again.Generation = "redrive"
	free := []stream.Released{{Node: "celsius", Key: "k", Events: 1}}
	answer, err = commit("celsius@redrive", first, at, stream.Effects{DeadLetters: []stream.DeadLetter{again}, Released: free})
	if answer != stream.OK || err != nil || r.held("k", "live") != 3 || r.held("k", "redrive") != 1 {
		t.Fatalf("refused again: %s, %v, %d and %d hold the key up; want 3, and 1 among what is driven again",
			answer, err, r.held("k", "live"), r.held("k", "redrive"))
	}
	letters, err = r.DeadLetters(ctx, "", 10)
	r.must(err)
	_, err = r.DropDeadLetters(ctx, letters)
	r.must(err)
	if r.held("k", "live") != 0 || r.held("k", "redrive") != 0 {
		t.Errorf("%d and %d hold the key up, want none: the letters are dropped", r.held("k", "live"), r.held("k", "redrive"))
	}
	if keys := r.raw.Exists(ctx, "mr:{suite}:blocked", "mr:{suite}:blockedby").Val(); keys != 0 {
		t.Errorf("%d keys are left", keys)
	}
}
