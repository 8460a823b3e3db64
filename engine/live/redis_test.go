package live_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

// redisLog is the log of the engine as the hub reads it.
type redisLog struct{ *stream.Log }

func (l redisLog) ReadFrames(ctx context.Context, name string, lane int, after event.Position, n int, block time.Duration) ([]live.Entry, error) {
	entries, err := l.Log.ReadFrames(ctx, name, lane, after, n, block)
	out := make([]live.Entry, len(entries))
	for i, e := range entries {
		out[i] = live.Entry{At: e.At, Frame: e.Frame}
	}
	return out, err
}

// openRedis opens the log as one run of the engine does; the function ends the run.
func openRedis(t *testing.T, url string) (*stream.Log, func()) {
	t.Helper()
	log, err := stream.Open(t.Context(), stream.Config{
		URL: url, Pipeline: "charts", EngineID: "one", Lanes: 2, OnFatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = log.Run(ctx) // what stops it is heard through OnFatal
	}()
	if err := log.EnsureStreams(ctx, []string{stream.Journal, readings}); err != nil {
		t.Fatal(err)
	}
	return log, func() {
		cancel()
		<-done
		_ = log.Close()
	}
}

func appendRedis(t *testing.T, log *stream.Log, le *stream.Lease, lane int, events ...*event.Event) {
	t.Helper()
	frame, err := (&event.Frame{Events: events}).Encode(nil, event.None)
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), le, stream.AppendRequest{Stream: readings, Lane: lane, Frame: frame, Events: len(events)})
	if err != nil {
		t.Fatal(err)
	}
}

// TestResumeOnRedis restarts log and hub on a real Redis while a viewer follows:
// every point comes once.
func TestResumeOnRedis(t *testing.T) {
	url := testserver.Redis(t).URL()
	got, next := newReceived(), 0
	for run := range 5 {
		log, end := openRedis(t, url)
		le, err := log.Acquire(t.Context(), "source:a")
		if err != nil {
			t.Fatal(err)
		}
		hub, stop := start(t, config(t, redisLog{log}))
		v := view(hub, "", "Last-Event-ID", got.lastID)
		eventually(t, "the viewer has begun", func() bool { return len(v.events()) > 2 || run > 0 && len(v.events()) > 1 })
		for i := range 20 {
			appendRedis(t, log, le, i%2, reading(fmt.Sprintf("d%d", i%2), float64(next)))
			next++
		}
		eventually(t, "all was read", func() bool { return hub.Stats().Points >= 20 })
		if run%2 == 0 { // the others lose what came while nobody looked
			eventually(t, "the viewer has it", func() bool {
				probe := *newReceived()
				return probe.take(v.events()) == nil && probe.count() >= 20
			})
		}
		v.close()
		stop()
		mustTake(t, got, v)
		end()
	}
	log, end := openRedis(t, url)
	defer end()
	hub, stop := start(t, config(t, redisLog{log}))
	defer stop()
	v := view(hub, "", "Last-Event-ID", got.lastID)
	eventually(t, "the last viewer has the rest", func() bool {
		probe := *newReceived()
		return probe.take(v.events()) == nil && (got.count()+probe.count() >= next)
	})
	v.close()
	mustTake(t, got, v)
	checkEach(t, append(got.values["temp|d0"], got.values["temp|d1"]...), next)
	if len(got.resets) > 0 {
		t.Errorf("resets: %v", got.resets)
	}
}
