package tap

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/stream"
)

// TestSampleTellsItsRatio passes more than a sample shows: it says how much passed,
// how much of it was looked into, and goes on from the newest.
func TestSampleTellsItsRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := ago(4, 2)
		s, err := New(Config{Log: log, Plan: mill()}).Sampler("live")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Next(t.Context(), true); got != nil || err != nil {
			t.Fatalf("what was before is shown: %+v, %v", got, err)
		}
		for n := range 100 {
			log.add(out, n%2, reading(n), reading(n+1000))
			time.Sleep(time.Millisecond)
		}
		got, err := s.Next(t.Context(), false)
		if err != nil || got == nil {
			t.Fatalf("Next = %+v, %v", got, err)
		}
		if got.Passed != 100 || got.Read != 2*sampleFrames || got.Seen != 4*sampleFrames || len(got.Events) != sampleEvents {
			t.Errorf("passed %d, read %d, seen %d, shown %d", got.Passed, got.Read, got.Seen, len(got.Events))
		}
		if got, err := s.Next(t.Context(), false); got != nil || err != nil {
			t.Errorf("it did not go on from the newest: %+v, %v", got, err)
		}
	})
}

func TestSampleOfAJournalShowsItsOwnSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(1)
		s, err := New(Config{Log: log, Plan: mill()}).Sampler("plant1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		log.add(stream.Journal, 0, message(1, "plant1"), message(2, "plant2"))
		log.addFrame(stream.Journal, 0, []byte("no frame"))
		got, err := s.Next(t.Context(), false)
		if err != nil || got == nil || got.Seen != 1 || got.Events[0].RootID != "m1" {
			t.Errorf("Next = %+v, %v; want m1 alone", got, err)
		}
	})
}

func TestSamplerOfAnUnknownNode(t *testing.T) {
	if _, err := New(Config{Plan: mill()}).Sampler("nosuch"); err == nil {
		t.Error("a node that is not there is sampled")
	}
}
