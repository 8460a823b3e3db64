package testserver

import (
	"fmt"
	"testing"
	"time"
)

// TestSlowSyncDelaysEachWrite: a lower bound only; a busy machine may take longer.
func TestSlowSyncDelaysEachWrite(t *testing.T) {
	const delay, writes = 20 * time.Millisecond, 10
	slow := Redis(t, SlowSync(t, delay))
	start := time.Now()
	for n := range writes {
		if reply, err := slow.do(t.Context(), fmt.Sprintf("SET k %d", n)); err != nil || reply != "+OK" {
			t.Fatalf("SET = %q, %v; want +OK", reply, err)
		}
	}
	if took := time.Since(start); took < writes*delay {
		t.Errorf("%d writes took %v; each sync should have taken %v longer", writes, took, delay)
	}
}
