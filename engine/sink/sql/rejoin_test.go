package sqlsink

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

var (
	_ node.Rejoiner = (*Sink)(nil)
	_ node.Placer   = (*Sink)(nil)
)

// TestPlaceChoosesAPlaceAnew: where the sink stood before, or whether it stood
// anywhere, does not matter; a place that is taken away leaves the others.
func TestPlaceChoosesAPlaceAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.readings(t)
		first := event.Position{Epoch: 1, Ms: 7, Seq: 3}
		for _, at := range []event.Position{first, {Epoch: 1, Ms: 9, Seq: 8}, first, first} {
			if err := s.Place(t.Context(), "readings", 0, at); err != nil {
				t.Fatal(err)
			}
			if got := begin(t, s, 0); got != at {
				t.Fatalf("Position = %s; want %s", got, at)
			}
		}
		mustWrite(t, s, unitOf(first, 10, 5))
		other := begin(t, s, 1)
		for range 2 {
			if err := s.Place(t.Context(), "readings", 0, event.Position{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Write(t.Context(), unitOf(first, 20, 5)); !errors.Is(err, errNoPosition) {
			t.Errorf("Write without a place = %v; want errNoPosition", err)
		}
		if got := begin(t, s, 1); got != other {
			t.Errorf("the other lane stands at %s; want %s", got, other)
		}
	})
}

// TestRejoinAfterAnAcceptedLoss: the log has lost its end and counts from there in a
// new epoch. The sink's position goes to that place, once, and from nowhere else.
func TestRejoinAfterAnAcceptedLoss(t *testing.T) {
	onBoth(t, func(t *testing.T, st *store) {
		s := st.readings(t)
		u := unitOf(begin(t, s, 0), 0, 10)
		mustWrite(t, s, u)
		place := event.Position{Epoch: 2, Ms: 5, Seq: 0}
		next := unitOf(place, 10, 5)
		if err := s.Write(t.Context(), next); !errors.Is(err, ErrGap) {
			t.Fatalf("Write before Rejoin = %v, want ErrGap", err)
		}
		for range 2 { // again after a crash
			if err := s.Rejoin(t.Context(), "readings", 0, u.Last, place); err != nil {
				t.Fatalf("Rejoin = %v", err)
			}
		}
		mustWrite(t, s, next)
		err := s.Rejoin(t.Context(), "readings", 0, u.Last, place)
		if wantClass(t, err, node.Fatal); !errors.Is(err, ErrGap) {
			t.Fatalf("Rejoin from a place where the sink does not stand = %v, want ErrGap", err)
		}
	})
}
