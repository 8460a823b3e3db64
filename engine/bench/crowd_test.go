//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/live/livetest"
)

const (
	crowdRate    = 5000 // readings a second
	crowdSeconds = 10
	crowdSize    = 10_000 // viewers; BENCH_VIEWERS sets another number
	crowdChart   = 16     // one of so many readings is on the chart that they see: about 2 kB a frame at 4 Hz
	crowdSpare   = 500    // files that the engine needs beside viewers
)

// phase is one stretch of rig (o).
type phase struct {
	took time.Duration // until all was stored
	cpu  time.Duration // of the engine and its plugin
	sent []time.Time   // by number
}

// crowd prints what viewers get and cost: 10,000 of them, in a process of their own, see
// one chart at 4 Hz, while 5,000 readings a second go through the engine; the same
// readings go through without any viewer before and after. The time of a frame is that
// from the publish of the newest reading of its last line until a viewer has the frame
// whole.
func (tb *table) crowd() {
	tb.empty()
	dsn, db := tb.store(0)
	p := tb.start("bench_crowd", "strict", dsn)
	p.awaitUp(tb.t)
	pause(2 * time.Second) // all sources consume by then; nothing is asserted
	pid, total := p.cmd.Process.Pid, crowdRate*crowdSeconds
	alone := tb.stretch(p, 0)
	without := residentOf(pid)
	size := viewersWithin(setting(tb.t, "BENCH_VIEWERS", crowdSize))
	crowd, err := livetest.StartCrowd(livetest.Readers{
		Address: p.listen, Path: "/api/v1/live?sub=chart:watched&hz=4&from=latest", Count: size,
	})
	must(tb.t, err)
	viewers, err := crowd.Ready()
	must(tb.t, err)
	idle := residentOf(pid)
	watched := tb.stretch(p, total)
	with := residentOf(pid)
	seen, err := crowd.End()
	must(tb.t, err)
	again := tb.stretch(p, 2*total)
	used := p.stop(tb.t)
	expect(tb.t, db, 3*total)
	fmt.Printf("(o) %d viewers at 4 Hz beside %d/s: publish -> frame %s; %d frames a second, %d of %d viewers lost\n",
		viewers, crowdRate, frameTimes(seen, watched.sent, total), int(float64(seen.Frames)/watched.took.Seconds()), seen.Gone, size)
	fmt.Printf("(o) each viewer: %.1f KiB of the engine's memory without frames, %.1f with them; peak %d MB\n",
		kib(idle-without, viewers), kib(with-without, viewers), used.peak>>20)
	base := (alone.cpu + again.cpu) / 2
	fmt.Printf("(o) the pipeline: %d readings stored in %.1f s without viewers, %.1f s with, %.1f s without; CPU of the engine %.2f, %.2f, %.2f s: %.2f times\n",
		total, alone.took.Seconds(), watched.took.Seconds(), again.took.Seconds(), alone.cpu.Seconds(), watched.cpu.Seconds(), again.cpu.Seconds(),
		watched.cpu.Seconds()/base.Seconds())
}

func kib(bytes int64, n int) float64 { return float64(bytes) / 1024 / float64(max(n, 1)) }

// stretch sends the readings of one stretch, numbered from base, and waits until all are
// stored.
func (tb *table) stretch(p *process, base int) phase {
	f := phase{sent: make([]time.Time, crowdRate*crowdSeconds)}
	before, begun := usageOf(p.cmd.Process.Pid).cpu, time.Now()
	tb.paceAt(crowdRate, base, f.sent, func(n int, p *amqp091.Publishing) {
		if n%crowdChart == 0 {
			p.Body = bytes.Replace(p.Body, []byte(`"temperature"`), []byte(`"watched"`), 1)
		}
	})
	for p.metric(storedMetric) < float64(base+len(f.sent)) {
		pause(20 * time.Millisecond)
	}
	f.took = time.Since(begun)
	f.cpu = usageOf(p.cmd.Process.Pid).cpu - before
	return f
}

// viewersWithin is how many of n viewers the limit of open files admits; it tells if not all.
func viewersWithin(n int) int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		panic(err)
	}
	most := int(min(files.Max, math.MaxInt32)) - crowdSpare // the Go runtime raises the limit to this
	if n > most {
		fmt.Printf("(o) the limit of %d open files admits %d of %d viewers\n", files.Max, most, n)
	}
	return min(n, most)
}

// frameTimes are those of the frames that viewers have noted.
func frameTimes(seen livetest.Seen, sent []time.Time, base int) string {
	var took []time.Duration
	for _, s := range seen.Sights {
		if n := numberOf(s.Newest) - base; n >= 0 && n < len(sent) {
			took = append(took, s.At.Sub(sent[n]))
		}
	}
	if len(took) == 0 {
		return "never"
	}
	slices.Sort(took)
	q := func(p int) time.Duration { return took[len(took)*p/100].Round(time.Millisecond) }
	return fmt.Sprintf("p50 %s p99 %s", q(50), q(99))
}
