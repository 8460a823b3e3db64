package testserver

import (
	"fmt"
	"strings"
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

// TestLostWritesKeepsWhatWasSynced cuts the power of Redis servers that sync at
// each write, or never. An end in good order loses nothing, and neither does a
// rewrite of the append-only file, which is synced before it is used.
func TestLostWritesKeepsWhatWasSynced(t *testing.T) {
	for _, c := range []struct {
		fsync, rewrite string
		end            func(*RedisServer)
		want           string
	}{
		{"always", "", (*RedisServer).Kill, ":20"},
		{"no", "", (*RedisServer).Kill, ":0"},
		{"no", "", (*RedisServer).Stop, ":20"},
		{"always", "BGREWRITEAOF", (*RedisServer).Kill, ":20"},
		{"no", "BGREWRITEAOF", (*RedisServer).Kill, ":10"},
	} {
		t.Run(fmt.Sprint(c.fsync, c.rewrite, c.want), func(t *testing.T) {
			s := Redis(t, LostWrites(t), AppendFsync(c.fsync))
			say := func(command, want string) {
				t.Helper()
				if got, err := s.do(t.Context(), command); err != nil || !strings.HasPrefix(got, want) {
					t.Fatalf("%s = %q, %v; want %s", command, got, err, want)
				}
			}
			for n := range 20 {
				if n == 10 && c.rewrite != "" {
					say(c.rewrite, "+Background")
					Eventually(t, time.Minute, "the rewrite", s.rewritten)
				}
				say(fmt.Sprintf("SET k%d x", n), "+OK")
			}
			c.end(s)
			s.Start()
			say("DBSIZE", c.want)
		})
	}
}

// rewritten is nil once the log says that a rewrite is complete.
func (s *RedisServer) rewritten() error {
	if !s.said("Background AOF rewrite finished successfully") {
		return fmt.Errorf("it goes on")
	}
	return nil
}
