package stream

import (
	"log/slog"
	"strconv"
	"testing"
	"time"
)

func TestLogTakesNoMoreThanItsPartOfRedis(t *testing.T) {
	for _, c := range []struct{ asked, maxmemory, want int64 }{
		{0, 1000, 600}, {500, 1000, 500}, {600, 1000, 600}, {5000, 1000, 600}, {5000, 0, 5000},
	} {
		l := newLog(Config{MaxBytes: c.asked, Logger: slog.New(slog.DiscardHandler)})
		s := server{settings: map[string]string{"maxmemory": strconv.FormatInt(c.maxmemory, 10)}}
		if got := l.memoryLimit(s); got != c.want {
			t.Errorf("asked %d of %d: %d; want %d", c.asked, c.maxmemory, got, c.want)
		}
	}
}

func TestFinishedFramesGoWhenRedisHasNoRoom(t *testing.T) {
	l := newLog(Config{Retention: time.Hour, RetentionBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	ln := &lane{stream: Journal}
	ln.limit.Store(8 << 20)
	if k := l.keepOf(ln, 0); k.bytes != 1<<20 {
		t.Fatalf("keeps %d bytes; want the retention", k.bytes)
	}
	l.outOfMemory()
	if k := l.keepOf(ln, 0); k.bytes != 0 {
		t.Fatalf("keeps %d finished bytes although Redis has no room", k.bytes)
	}
	l.starved.Store(time.Now().Add(-time.Minute).UnixMilli())
	if k := l.keepOf(ln, 0); k.bytes != 1<<20 {
		t.Fatalf("keeps %d bytes a minute later; want the retention again", k.bytes)
	}
}
