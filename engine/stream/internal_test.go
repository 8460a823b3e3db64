package stream

import (
	"errors"
	"fmt"
	"math"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

func TestLaneOf(t *testing.T) {
	// xxhash64 with seed 0 of "" is 0xef46db3751d8e999, of "a" 0xd24ec4f1a98c6e5b:
	// published vectors, so that other programs find the same lane.
	for key, want := range map[string]uint64{"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b} {
		for lanes := 1; lanes <= 8; lanes++ {
			if got := LaneOf(key, lanes); got != int(want%uint64(lanes)) {
				t.Errorf("LaneOf(%q, %d) = %d; want %d", key, lanes, got, want%uint64(lanes))
			}
		}
	}
}

func TestTopic(t *testing.T) {
	name, lane, err := parseTopic(TopicOf("celsius", 3))
	if name != "celsius" || lane != 3 || err != nil {
		t.Fatalf("parseTopic(TopicOf) = %s, %d, %v", name, lane, err)
	}
	for _, bad := range []string{"", "celsius", "celsius/", "celsius/-1", "celsius/03", "celsius/1/2"} {
		if _, _, err := parseTopic(bad); err == nil {
			t.Errorf("parseTopic(%q) found no fault", bad)
		}
	}
}

// reply is an error that Redis answered.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestErrorClasses(t *testing.T) {
	l := &Log{}
	for _, c := range []struct {
		err  error
		want node.Class
	}{
		{reply("LOADING Redis is loading the dataset in memory"), node.Away},
		{reply("READONLY You can't write against a read only replica. script: 0123, on @user_script:1."), node.Away},
		{reply("ERR max number of clients reached"), node.Away},
		{reply("OOM command not allowed when used memory > 'maxmemory'."), node.Away},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, node.Away},
		{reply("WRONGPASS invalid username-password pair"), node.Fatal},
		{reply("WRONGTYPE Operation against a key holding the wrong kind of value"), node.Fatal},
		{redis.ErrClosed, node.Fatal},
		{fmt.Errorf("connect: %w", node.AsFatal(ErrDurability)), node.Fatal},
	} {
		if got := node.ClassOf(l.awayOrFatal(c.err)); got != c.want {
			t.Errorf("%v is %s; want %s", c.err, got, c.want)
		}
	}
	if !errors.Is(l.awayOrFatal(reply("OOM command not allowed")), errOutOfMemory) {
		t.Error("OOM is not told from other errors")
	}
	if l.awayOrFatal(nil) != nil {
		t.Error("no error became one")
	}
}

func TestShares(t *testing.T) {
	l := &Log{maxBytes: 1000, laneCount: 2, lanes: map[string][]*lane{}}
	check := func(want map[string]int64) {
		t.Helper()
		for name, limit := range want {
			if got := l.lanes[name][0].limit.Load(); got != limit {
				t.Errorf("%s may take %d; want %d", name, got, limit)
			}
		}
	}
	l.addStreams([]string{Journal})
	check(map[string]int64{Journal: 1000})
	l.addStreams([]string{"a", "b"})
	check(map[string]int64{Journal: 500, "a": 250, "b": 250})
}

func TestKeep(t *testing.T) {
	l := &Log{cfg: Config{Retention: 24 * time.Hour, RetentionBytes: 300, Resume: time.Minute}, maxBytes: 2000, laneCount: 1, lanes: map[string][]*lane{}}
	l.addStreams([]string{Journal, "a"})
	for _, c := range []struct {
		stream string
		used   int64
		want   keep
	}{
		{Journal, 0, keep{24 * time.Hour, 300}},
		{Journal, 900, keep{24 * time.Hour, 125}}, // nearly full: room for what is unread
		{"a", 0, keep{time.Minute, 250}},
		{"a", 900, keep{time.Minute, 125}},
	} {
		if got := l.keepOf(l.lanes[c.stream][0], c.used); got != c.want {
			t.Errorf("keep of %s with %d bytes used is %v; want %v", c.stream, c.used, got, c.want)
		}
	}
}

func TestHoursLeft(t *testing.T) {
	g, start := growth{}, time.Unix(1700000000, 0)
	for _, c := range []struct {
		after time.Duration
		bytes int64
		want  float64
	}{
		{0, 100, math.Inf(1)},
		{30 * time.Minute / 6, 200, 800.0 / 1200}, // 100 in 5 minutes is 1,200 an hour
		{6 * time.Minute, 50, math.Inf(1)},        // it shrinks
		{7 * time.Minute, 1000, 0},
	} {
		if got := g.hoursLeft(start.Add(c.after), c.bytes, 1000); math.Abs(got-c.want) > 1e-9 && got != c.want {
			t.Errorf("after %s with %d bytes: %v hours left; want %v", c.after, c.bytes, got, c.want)
		}
	}
}

// TestQueueHoldsOneUnit: what is read ahead is bounded by events and by bytes, but
// one entry always fits.
func TestQueueHoldsOneUnit(t *testing.T) {
	entry := func(events, bytes int) item { return item{events: make([]*event.Event, events), bytes: bytes} }
	q := newQueue(10, 100)
	for i, c := range []struct {
		it   item
		fits bool
	}{{entry(50, 500), true}, {entry(1, 1), false}} {
		if got := q.tryPut(c.it); got != c.fits {
			t.Fatalf("put %d: %v; want %v", i, got, c.fits)
		}
	}
	if got := q.tryTake(nil); len(got) != 1 {
		t.Fatalf("took %d entries; want the large one", len(got))
	}
	for range 4 {
		q.tryPut(entry(3, 10))
	}
	if got := q.tryTake(nil); len(got) != 3 {
		t.Fatalf("took %d entries of 3 events; want 3, for a unit of 10", len(got))
	}
	for range 4 {
		q.tryPut(entry(1, 40))
	}
	if got := q.tryTake(nil); len(got) != 2 {
		t.Fatalf("took %d entries of 40 bytes; want 2, for a unit of 100", len(got))
	}
}
