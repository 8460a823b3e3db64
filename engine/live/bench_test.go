package live_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// BenchmarkFollow measures what the hub costs per event while nobody looks (0
// viewers) and with viewers: frames of 100 readings of 20 series.
func BenchmarkFollow(b *testing.B) {
	for _, viewers := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			log := livetest.NewLog(1, 1)
			hub, stop := start(b, config(b, log, func(c *live.Config) { c.IdlePause = time.Millisecond }))
			defer stop()
			var all []*viewer
			for range viewers {
				v := view(hub, "")
				v.discard = true
				all = append(all, v)
			}
			frames := benchFrames(b, b.N/100+1)
			b.ReportAllocs()
			b.ResetTimer()
			for _, f := range frames {
				log.AppendFrame(readings, 0, f)
			}
			for hub.Stats().Points < uint64(b.N) {
				wait(b.Context(), time.Millisecond)
			}
			b.StopTimer()
			for _, v := range all {
				v.close()
			}
		})
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func benchFrames(b *testing.B, n int) [][]byte {
	b.Helper()
	out := make([][]byte, n)
	now := time.Now().Add(-time.Hour).UnixMilli()
	for k := range out {
		f := &event.Frame{}
		for i := range 100 {
			f.Events = append(f.Events, livetest.Reading("temp", fmt.Sprintf("d%d", i%20), now+int64(k), float64(i)/7, "C"))
		}
		var err error
		if out[k], err = f.Encode(nil, event.None); err != nil {
			b.Fatal(err)
		}
	}
	return out
}
