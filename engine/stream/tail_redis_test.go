package stream_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

// TestReadersDoNotAskForWhatIsStoredFromHere: who stores and reads in one process asks
// Redis for next to nothing; what others store in between is not passed over.
func TestReadersDoNotAskForWhatIsStoredFromHere(t *testing.T) {
	const frames = 200
	s := testserver.Redis(t)
	e := startEngine(t, s.URL(), nil)
	r := &follower{t: t, log: e.Log}
	c := rawClient(t, s)
	before := xreads(t, c)
	for n := range frames {
		e.append(fmt.Sprint("a", n))
		r.next(fmt.Sprint("a", n))
	}
	if asked := xreads(t, c) - before; asked > frames/4 {
		t.Errorf("Redis was asked %d times for %d frames that were stored from here", asked, frames)
	}
	other := neighbour(t, s.URL())
	stranger := &follower{t: t, log: other.Log, after: r.after}
	before = xreads(t, c)
	for n := range frames {
		e.append(fmt.Sprint("c", n))
		stranger.next(fmt.Sprint("c", n))
	}
	if asked := xreads(t, c) - before; asked < frames { // control: counting shows what is asked
		t.Errorf("Redis was asked %d times for %d frames that another engine has stored", asked, frames)
	}
	r.after = stranger.after
	for n := range frames {
		from := []*engine{e, other}[n%7%2]
		from.append(fmt.Sprint("b", n))
		if n%5 == 4 { // several at a time
			for at := n - 4; at <= n; at++ {
				r.next(fmt.Sprint("b", at))
			}
		}
	}
}

// neighbour is another engine that appends to the same log.
func neighbour(t *testing.T, url string) *engine {
	t.Helper()
	l, fatal, err := openLog(t, url, func(c *stream.Config) { c.EngineID = "two" })
	n := &engine{Log: l, t: t, fatal: fatal}
	n.must(err)
	n.must(l.EnsureStreams(t.Context(), []string{stream.Journal, "out"}))
	n.source, err = l.Acquire(t.Context(), "source:b")
	n.must(err)
	return n
}

// follower reads one frame after another.
type follower struct {
	t     *testing.T
	log   *stream.Log
	after event.Position
	ahead []stream.Entry
}

// next wants the next frame to hold one event, of this root.
func (r *follower) next(root string) {
	r.t.Helper()
	for len(r.ahead) == 0 {
		var err error
		if r.ahead, err = r.log.ReadFrames(r.t.Context(), stream.Journal, 0, r.after, 10, limit); err != nil {
			r.t.Fatal(err)
		}
	}
	entry := r.ahead[0]
	r.ahead = r.ahead[1:]
	f, err := event.DecodeFrame(entry.Frame)
	if err != nil || entry.At.Seq != r.after.Seq+1 || len(f.Events) != 1 || f.Events[0].RootID != root {
		r.t.Fatalf("behind %s comes %s with %v (%v), not %s", r.after, entry.At, f, err, root)
	}
	r.after = entry.At
}

// xreads is how often Redis was asked for entries.
func xreads(t *testing.T, c *redis.Client) int {
	t.Helper()
	stats, err := c.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`cmdstat_xread:calls=(\d+)`).FindStringSubmatch(stats)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
