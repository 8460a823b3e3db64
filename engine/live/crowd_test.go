package live_test

import (
	"net"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// TestFaultThousandViewers: a thousand clients over TCP, and a hundred more that take
// nothing, follow one chart of a log that grows by 5,000 events a second: every one that
// reads gets every point, frames are built once for a class, and the hub reads to the end.
// It prints what they cost and how long frames took without and with the stuck ones.
func TestFaultThousandViewers(t *testing.T) {
	const readers, stuck, rounds, each, mine = 1000, 100, 80, 250, 12 // 80 times 50 ms; 2 kB a frame
	const classes = 5                                                 // of at most 256
	const query = "sub=chart:temp&hz=4"
	for _, stopped := range []int{0, stuck} {
		log := livetest.NewLog(1, 4)
		hub, stop := start(t, config(t, log, func(c *live.Config) { c.WriteTimeout = time.Hour }))
		server := httptest.NewServer(hub)
		before := heap()
		crowd, err := livetest.StartCrowd(livetest.Readers{
			Address: server.Listener.Addr().String(), Path: "/api/v1/live?" + query, Count: readers, Until: rounds * mine,
		})
		if err != nil {
			t.Fatal(err)
		}
		conns := []net.Conn{}
		for range stopped {
			conns = append(conns, dial(t, server, query, true))
		}
		if n, err := crowd.Ready(); n != readers {
			t.Fatalf("%d of %d readers have begun: %v", n, readers, err)
		}
		eventually(t, "all are there", func() bool { return hub.Stats().Clients == readers+stopped })
		grow := func(i int) {
			log.Append(readings, i%4, stamped("temp", mine)...)
			log.Append(readings, i%4, stamped("other", each-mine)...)
		}
		tick := time.NewTicker(50 * time.Millisecond)
		for i := range rounds - 1 {
			<-tick.C
			grow(i)
		}
		tick.Stop()
		cost := (heap() - before) / uint64(readers+stopped)
		grow(rounds - 1) // with which a reader has all, and leaves
		eventually(t, "the hub has read all", func() bool { return hub.Stats().Points == rounds*each })
		seen, err := crowd.Wait()
		if err != nil || seen.Whole != readers {
			t.Errorf("%d of %d readers got every point, no more: %v", seen.Whole, readers, err)
		}
		built := hub.Stats().Messages
		for _, c := range conns {
			_ = c.Close()
		}
		stop()
		server.Close()
		if built > classes*rounds {
			t.Errorf("%d frames were built for %d classes", built, classes)
		}
		t.Logf("%d readers and %d stuck: %d frames built, %d bytes for each, p99 %s", readers, stopped, built, cost, percentile(seen))
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func percentile(s livetest.Seen) time.Duration {
	if len(s.Sights) == 0 {
		return 0
	}
	took := make([]time.Duration, len(s.Sights))
	for i, sight := range s.Sights {
		took[i] = sight.At.Sub(time.UnixMicro(int64(sight.Newest)))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// stamped are readings of one line of a chart, whose values say when they were made.
func stamped(metric string, n int) []*event.Event {
	out := make([]*event.Event, n)
	for i := range out {
		now := time.Now()
		out[i] = livetest.Reading(metric, "a", now.UnixMilli(), float64(now.UnixMicro()), "C")
	}
	return out
}
