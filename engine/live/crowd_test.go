package live_test

import (
	"net"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// reader counts the points that one client got and notes how long every tenth frame
// took from its newest point's append.
type reader struct {
	points int
	took   []time.Duration
}

func (r *reader) read(c net.Conn, until int, done func()) {
	frames := 0
	readFrames(c, func(data string) {
		now := time.Now()
		frames++
		values := data[strings.LastIndex(data, `"v":[`)+5:]
		r.points += strings.Count(values, ",") + 1
		if frames%10 == 0 {
			newest := values[strings.LastIndexByte(values, ',')+1 : strings.IndexByte(values, ']')]
			if at, err := strconv.ParseFloat(newest, 64); err == nil {
				r.took = append(r.took, now.Sub(time.UnixMicro(int64(at))))
			}
		}
		if r.points == until {
			done()
		}
	})
}

// TestFaultThousandViewers: a thousand clients over TCP, and a hundred more that take
// nothing, follow one chart of a log that grows by 5,000 events a second: every one that
// reads gets every point, frames are built once for all, and the hub reads to the end.
// It prints what they cost and how long frames took without and with the stuck ones.
func TestFaultThousandViewers(t *testing.T) {
	const readers, stuck, rounds, each, mine = 1000, 100, 80, 250, 12 // 80 times 50 ms; 2 kB a frame
	var p99 []time.Duration
	for _, stopped := range []int{0, stuck} {
		log := livetest.NewLog(1, 4)
		hub, stop := start(t, config(t, log, func(c *live.Config) { c.WriteTimeout = time.Hour }))
		server := httptest.NewServer(hub)
		before := heap()
		var left atomic.Int64
		left.Store(readers)
		var done sync.WaitGroup
		all, conns := make([]reader, readers), []net.Conn{}
		for i := range all {
			conn := dial(t, server, "sub=chart:temp&hz=4&from=latest", false)
			conns = append(conns, conn)
			done.Go(func() { all[i].read(conn, rounds*mine, func() { left.Add(-1) }) })
		}
		for range stopped {
			conns = append(conns, dial(t, server, "sub=chart:temp&hz=4&from=latest", true))
		}
		eventually(t, "all are there", func() bool { return hub.Stats().Clients == readers+stopped })
		cost := (heap() - before) / uint64(readers+stopped)
		tick := time.NewTicker(50 * time.Millisecond)
		for i := range rounds {
			<-tick.C
			log.Append(readings, i%4, stamped("temp", mine)...)
			log.Append(readings, i%4, stamped("other", each-mine)...)
		}
		tick.Stop()
		eventually(t, "the hub has read all", func() bool { return hub.Stats().Points == rounds*each })
		eventually(t, "every reader has every point", func() bool { return left.Load() == 0 })
		built := hub.Stats().Messages
		for _, c := range conns {
			_ = c.Close()
		}
		done.Wait()
		stop()
		server.Close()
		p99 = append(p99, percentile(all))
		if built > rounds {
			t.Errorf("%d frames were built for one class", built)
		}
		t.Logf("%d readers and %d stuck: %d frames built, heap %d bytes for each (both ends), p99 %s", readers, stopped, built, cost, p99[len(p99)-1])
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func percentile(all []reader) time.Duration {
	var took []time.Duration
	for _, r := range all {
		took = append(took, r.took...)
	}
	if len(took) == 0 {
		return 0
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
