package lifecycle

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestRest(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		share  float64
		events int
		took   time.Duration
		want   time.Duration
	}{
		{"a small portion", 2, 10, 5 * ms, 10 * ms},
		{"half its time", 0.5, 10, 5 * ms, 2500 * time.Microsecond},
		{"the least that counts", 1, 4, 5 * ms, 5 * ms},
		{"a few events wait for nothing", 2, 3, 5 * ms, 0},
		{"a large portion", 2, 128, 5 * ms, 0},
		{"no longer than that", 2, 10, time.Second, 20 * ms},
		{"never", 0, 10, 5 * ms, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := Rest{Share: c.share, From: 4}
				r.Wait(t.Context()) // nothing was done yet
				began := time.Now()
				time.Sleep(c.took)
				r.Over(c.events, began)
				r.Wait(t.Context())
				if got := time.Since(began) - c.took; got != c.want {
					t.Fatalf("rest of %s; want %s", got, c.want)
				}
			})
		})
	}
}

func TestRestCountsFromTheEndOfThePortion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Rest{Share: 1, From: 4}
		r.Over(10, time.Now().Add(-10*time.Millisecond))
		time.Sleep(8 * time.Millisecond) // nothing came for so long
		start := time.Now()
		r.Wait(t.Context())
		if got := time.Since(start); got != 2*time.Millisecond {
			t.Fatalf("rest of %s more; want 2ms", got)
		}
	})
}

func TestRestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Rest{Share: 1, From: 4}
		r.Over(10, time.Now().Add(-10*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		r.Wait(ctx)
		if got := time.Since(start); got != time.Millisecond {
			t.Fatalf("rest of %s; want it to end with its context after 1ms", got)
		}
	})
}
