package lifecycle

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrainableOutlivesItsContextByTheDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		work, done := Drainable(ctx, 3*time.Second)
		defer done()
		start := time.Now()
		cancel()
		if work.Err() != nil {
			t.Fatal("work ended with its context; want it to go on")
		}
		<-work.Done()
		if got := time.Since(start); got != 3*time.Second || !errors.Is(context.Cause(work), ErrDrainTimeout) {
			t.Fatalf("work ended after %s with %v; want 3s, %v", got, context.Cause(work), ErrDrainTimeout)
		}
	})
}

func TestDrainableEndsWhenTheWorkIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		work, done := Drainable(ctx, time.Hour)
		cancel()
		done()
		<-work.Done()
		if errors.Is(context.Cause(work), ErrDrainTimeout) {
			t.Fatal("finished work must not look like a drain that took too long")
		}
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if !Sleep(t.Context(), time.Minute) {
			t.Fatal("Sleep under a living context = false")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if Sleep(ctx, time.Minute) || time.Since(start) != time.Second {
			t.Fatalf("Sleep = true or lasted %s; want false after 1s", time.Since(start))
		}
	})
}
