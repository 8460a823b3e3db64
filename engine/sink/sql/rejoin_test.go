package sqlsink

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

var _ node.Rejoiner = (*Sink)(nil)

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
