package logtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

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

// keyHolder is a node with strict order and its lease.
type keyHolder struct {
	*rig
	lease     *stream.Lease
	first, at event.Position // just before and at the one entry that it reads
}

func holdKeys(t *testing.T, database Database) *keyHolder {
	r := start(t, database(t))
	ctx := t.Context()
	r.must(r.EnsureStreams(ctx, []string{"celsius@redrive"}))
	for _, reader := range []string{"celsius@live", "celsius@redrive"} {
		r.must(r.RegisterReader(ctx, reader, stream.Journal, false))
	}
	return &keyHolder{r, r.lease("stage:celsius"), event.Position{Epoch: r.Epoch()}, r.put(r.lease("source:x"), stream.Journal, 0, "e", 1)}
}

func (h *keyHolder) commit(reader string, e stream.Effects) (stream.Answer, error) {
	return h.Commit(h.t.Context(), h.lease, stream.Commit{Reader: reader, Stream: stream.Journal, After: h.first, Last: h.at, Effects: e})
}

// wants fails unless so many events hold key k up, and of them so many among what
// is driven again.
func (h *keyHolder) wants(what string, live, redrive int64) {
	h.t.Helper()
	if h.held("k", "live") != live || h.held("k", "redrive") != redrive {
		h.t.Fatalf("%s: %d and %d hold the key up; want %d and %d", what, h.held("k", "live"), h.held("k", "redrive"), live, redrive)
	}
}

// waitsForSomething: a letter that waits is refused where nothing holds its key up.
func waitsForSomething(t *testing.T, database Database) {
	h := holdKeys(t, database)
	lone := []stream.DeadLetter{strict("b", "k", true)}
	if err := h.StoreDeadLetters(t.Context(), h.lease, lone); !errors.Is(err, stream.ErrUnblocked) {
		t.Fatalf("a letter that waits for nothing: %v; want ErrUnblocked", err)
	}
	answer, err := h.commit("celsius@live", stream.Effects{DeadLetters: lone})
	if answer != stream.Unblocked || !errors.Is(err, stream.ErrUnblocked) || h.position("celsius@live", stream.Journal, 0) != h.first {
		t.Fatalf("a commit of such a letter: %s, %v; want it refused as a whole", answer, err)
	}
	h.wants("nothing is stored", 0, 0)
	h.wantNoFatal()
}

func holdsKeysUp(t *testing.T, database Database) {
	h := holdKeys(t, database)
	ctx := t.Context()
	both := []stream.DeadLetter{strict("a", "k", false), strict("b", "k", true)}
	if answer, err := h.commit("celsius@live", stream.Effects{DeadLetters: both}); answer != stream.OK || err != nil {
		t.Fatalf("a letter and one behind it: %s, %v", answer, err)
	}
	h.wants("two letters", 2, 0)
	h.must(h.StoreDeadLetters(ctx, h.lease, append(both, strict("c", "k", true))))
	h.wants("letters that are there already count once", 3, 0)
	found, err := h.Blocked(ctx, "celsius", "live", []string{"k"})
	h.must(err)
	if found["k"].First != both[0].Event.ID.String() {
		t.Errorf("%s holds the key up first, want %s", found["k"].First, both[0].Event.ID)
	}
	letters, err := h.DeadLetters(ctx, "", 10)
	h.must(err)
	if !letters[0].Strict || letters[0].Waits || !letters[1].Waits {
		t.Errorf("letters are read as %+v", letters)
	}
	h.must(h.Redrive(ctx, letters[:1], []stream.Output{{Stream: "celsius@redrive", Lane: 0, Frame: frame(t, "a", 1), Events: 1}}))
	h.wants("one is being driven again", 3, 0)
	again := strict("a", "k", false)
	again.Generation = "redrive"
	free := []stream.Released{{Node: "celsius", Key: "k", Events: 1}}
	if answer, err := h.commit("celsius@redrive", stream.Effects{DeadLetters: []stream.DeadLetter{again}, Released: free}); answer != stream.OK || err != nil {
		t.Fatalf("refused again: %s, %v", answer, err)
	}
	h.wants("it is refused again", 3, 1)
	letters, err = h.DeadLetters(ctx, "", 10)
	h.must(err)
	_, err = h.DropDeadLetters(ctx, letters)
	h.must(err)
	h.wants("all are dropped", 0, 0)
	if keys := h.raw.Exists(ctx, "mr:{suite}:blocked", "mr:{suite}:blockedby").Val(); keys != 0 {
		t.Errorf("%d keys are left", keys)
	}
}

// expiresBehindStrict: more old letters of strict order than are looked at in one
// step do not keep an old one of another node.
func expiresBehindStrict(t *testing.T, database Database) {
	r := start(t, database(t), func(c *stream.Config) { c.DeadRetention = 2 * time.Second })
	var letters []stream.DeadLetter
	for i := range 201 {
		letters = append(letters, strict(fmt.Sprint("s", i), "k", false))
	}
	r.must(r.StoreDeadLetters(t.Context(), r.lease("sink:rows"), append(letters, letter("plain", 1))))
	wait(t, "the end of the plain letter", func() bool { return r.Stats().DeadLetters == 201 })
}
