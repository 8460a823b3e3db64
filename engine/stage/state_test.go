package stage

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

// stateLog is a StateLoader that counts how many keys it was asked for, and what it
// holds.
type stateLog struct {
	values map[string][]byte // by name of the node's state and key
	asked  int
}

func (s *stateLog) LoadState(_ context.Context, node string, keys []string) (map[string][]byte, error) {
	s.asked += len(keys)
	found := map[string][]byte{}
	for _, k := range keys {
		if v, ok := s.values[node+"/"+k]; ok {
			found[k] = v
		}
	}
	return found, nil
}

// countUnit lets states count the unit's events and returns the counts that it would
// commit; commit stores them.
func countUnit(t *testing.T, s *laneStates, log *stateLog, d *stream.Delivery, commit bool) map[string]int {
	t.Helper()
	n := &ChainNode{ID: "x", Transform: counting{fail: func(*event.Event) error { return nil }}}
	s.begin(d)
	s.attempt()
	batch := &node.Batch{Events: d.Unit.Events}
	if err := s.load(t.Context(), n, batch); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Transform.Process(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	s.accept()
	counts := map[string]int{}
	for _, c := range s.changes() {
		counts[c.Key] = len(c.Value)
		if commit {
			log.values[c.Node+"/"+c.Key] = c.Value
		}
	}
	return counts
}

func of(key string) *event.Event { return &event.Event{Key: key, RootID: key} }

func TestCommittedStateIsAskedForOnce(t *testing.T) {
	log := &stateLog{values: map[string][]byte{"x/k": []byte("xxx"), "x@again/k": []byte("x")}}
	s := newLaneStates(log, stream.Live)
	for i := range 5 {
		if got := countUnit(t, s, log, &stream.Delivery{Unit: unit(i, of("k"))}, true); got["k"] != 4+i {
			t.Fatalf("unit %d: count %d, want %d", i, got["k"], 4+i)
		}
	}
	if log.asked != 1 {
		t.Errorf("the log was asked for %d keys, want 1", log.asked)
	}
	if got := countUnit(t, newLaneStates(log, "again"), log, &stream.Delivery{Unit: unit(1, of("k"))}, true); got["k"] != 2 {
		t.Errorf("another generation counts %d, want 2: its own state and this event", got["k"])
	}
}

// TestStateIsAskedForAgainWhenACommitWasRepeated has a unit that was committed before
// its handler ran for the second time, on state that had it already.
func TestStateIsAskedForAgainWhenACommitWasRepeated(t *testing.T) {
	for unsure, want := range map[bool]int{true: 3, false: 4} { // false is the control: it counts one event twice
		log := &stateLog{values: map[string][]byte{"x/k": []byte("xx")}} // two units are committed
		s := newLaneStates(log, stream.Live)
		countUnit(t, s, log, &stream.Delivery{Unit: unit(2, of("k"))}, false) // the second again: the log says already
		if got := countUnit(t, s, log, &stream.Delivery{Unit: unit(3, of("k")), Unsure: unsure}, true); got["k"] != want {
			t.Errorf("unsure %t: count %d, want %d", unsure, got["k"], want)
		}
	}
}

func TestACommitThatDidNotHappenLeavesNoState(t *testing.T) {
	log := &stateLog{values: map[string][]byte{}}
	s := newLaneStates(log, stream.Live)
	for range 3 { // the same unit: nothing was committed
		if got := countUnit(t, s, log, &stream.Delivery{Unit: unit(1, of("k"))}, false); got["k"] != 1 {
			t.Fatalf("count %d, want 1", got["k"])
		}
	}
}

// TestTooMuchStateForOneRunDividesIt has a unit whose keys have more state than a lane
// asks for at once.
func TestTooMuchStateForOneRunDividesIt(t *testing.T) {
	log := &stateLog{values: map[string][]byte{}}
	large := make([]byte, 1<<20) // one for all of them
	var events []*event.Event
	for i := range 2000 {
		events = append(events, of(fmt.Sprint("k", i)))
		log.values["x/"+events[i].Key] = large
	}
	s := newLaneStates(log, stream.Live)
	n := &ChainNode{ID: "x", Transform: counting{}}
	s.begin(&stream.Delivery{Unit: unit(1, events...)})
	s.attempt()
	if err := s.load(t.Context(), n, &node.Batch{Events: events}); node.ClassOf(err) != node.Rejected {
		t.Errorf("error %v of class %v, want the unit divided", err, node.ClassOf(err))
	}
	if log.asked > 2*stateRead || len(s.committed) != 0 {
		t.Errorf("%d keys were read and those of %d nodes are kept", log.asked, len(s.committed))
	}
	half := &node.Batch{Events: events[:100]}
	if err := s.load(t.Context(), n, half); err != nil || len(half.State.Get("k7")) != 1<<20 {
		t.Errorf("a part that fits: %v", err)
	}
}

func TestTheCacheOfStateIsBounded(t *testing.T) {
	log := &stateLog{values: map[string][]byte{}}
	large := []byte(strings.Repeat("x", 1<<20))
	s := newLaneStates(log, stream.Live)
	for i := range 50 {
		key := string(rune('a' + i))
		log.values["x/"+key] = large
		if got := countUnit(t, s, log, &stream.Delivery{Unit: unit(i, of(key))}, true); got[key] != 1<<20+1 {
			t.Fatalf("key %d: %d bytes", i, got[key])
		}
		held := 0
		for _, v := range s.committed["x"] {
			held += len(v)
		}
		if held > stateCache+(4<<20) {
			t.Fatalf("%d bytes are held after %d keys", held, i+1)
		}
	}
	if got := countUnit(t, s, log, &stream.Delivery{Unit: unit(51, of("a"))}, true); got["a"] != 1<<20+2 {
		t.Errorf("the first key has %d bytes, want its own and this event's", got["a"])
	}
}
