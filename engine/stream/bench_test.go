package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/stream/logtest"
	"github.com/millrace/millrace/engine/testserver"
)

func benchLog(b *testing.B, url string, strict bool) (*stream.Log, *stream.Lease) {
	b.Helper()
	l, err := stream.Open(b.Context(), stream.Config{
		URL: url, Pipeline: "bench", EngineID: "one", Lanes: 1, Strict: strict, MaxBytes: 8 << 30,
		Retention: time.Millisecond, Resume: time.Millisecond, OnFatal: func(err error) { b.Error(err) },
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-done
		_ = l.Close()
	})
	if err := l.EnsureStreams(b.Context(), []string{stream.Journal, "out"}); err != nil {
		b.Fatal(err)
	}
	le, err := l.Acquire(b.Context(), "source:bench")
	if err != nil {
		b.Fatal(err)
	}
	return l, le
}

func benchFrame(n int) []byte {
	f := event.Frame{}
	for i := range n {
		name := fmt.Sprintf("message-%08d", i)
		f.Events = append(f.Events, &event.Event{
			ID: event.RootID(event.NewIdentity("bench", "s", name), 1700000000000), RootID: name, Key: "master.plant1",
			Payload:     fmt.Appendf(nil, `{"id":%q,"device":"pump-%d","metric":"temperature","ts":1700000000000,"value":21.5,"unit":"C"}`, name, i%50),
			ContentType: "application/json", Ingested: 1700000000000,
			Source: event.Source{Node: "plant1", Queue: "master.plant1", MessageID: name},
		})
	}
	b, err := f.Encode(nil, event.None)
	if err != nil {
		panic(err)
	}
	return b
}

var benchServers = []struct {
	name   string
	strict bool
	url    logtest.Database
}{
	{"strict", true, redisDatabase},
	{"everysec", false, func(t testing.TB) string {
		return testserver.Redis(t, testserver.AppendFsync("everysec")).URL()
	}},
	{"embedded", false, embeddedDatabase},
}

// BenchmarkAppend appends frames of n events with identities to one lane.
func BenchmarkAppend(b *testing.B) {
	for _, s := range benchServers {
		for _, n := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s/events=%d", s.name, n), func(b *testing.B) {
				l, le := benchLog(b, s.url(b), s.strict)
				r := stream.AppendRequest{
					Stream: stream.Journal, Frame: benchFrame(n), Events: n, Source: "s",
					Identities: make([]event.Identity, n),
				}
				b.ReportAllocs()
				b.SetBytes(int64(len(r.Frame)))
				i := uint64(0)
				for b.Loop() {
					for k := range r.Identities {
						i++
						r.Identities[k] = event.Identity{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24), byte(i >> 32), 1}
					}
					if _, err := l.Append(b.Context(), le, r); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkHop reads a prefilled lane through a LaneSubscriber and commits every
// unit with one output frame, as a stage does.
func BenchmarkHop(b *testing.B) {
	for _, s := range benchServers {
		for _, c := range []struct{ perFrame, unit int }{{1, 1}, {1, 1000}, {100, 1000}, {1000, 1000}} {
			b.Run(fmt.Sprintf("%s/frame=%d/unit=%d", s.name, c.perFrame, c.unit), func(b *testing.B) {
				hop(b, s.url(b), s.strict, c.perFrame, c.unit)
			})
		}
	}
}

func hop(b *testing.B, url string, strict bool, perFrame, unit int) {
	l, le := benchLog(b, url, strict)
	ctx := b.Context()
	if err := l.RegisterReader(ctx, "x@live", stream.Journal, false); err != nil {
		b.Fatal(err)
	}
	frame, frames := benchFrame(perFrame), max(b.N, 1)
	for range frames {
		if _, err := l.Append(ctx, le, stream.AppendRequest{Stream: stream.Journal, Frame: frame, Events: perFrame}); err != nil {
			b.Fatal(err)
		}
	}
	sub, err := stream.NewLaneSubscriber(stream.SubscriberConfig{
		Log: l, Lease: le, Reader: "x@live", Stream: stream.Journal, MaxEvents: unit,
		Logger: slog.New(slog.DiscardHandler), OnStop: func(err error) { b.Error(err) },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Close()
	b.ReportAllocs()
	b.ResetTimer()
	in, err := sub.Subscribe(ctx, stream.TopicOf(stream.Journal, 0))
	if err != nil {
		b.Fatal(err)
	}
	events, units := 0, 0
	for events < frames*perFrame {
		msg := <-in
		d, _ := stream.DeliveryFrom(msg)
		out := event.Frame{Events: d.Unit.Events}
		buf, err := out.Encode(nil, event.None)
		if err != nil {
			b.Fatal(err)
		}
		d.Stage(stream.Effects{Outputs: []stream.Output{{Stream: "out", Frame: buf, Events: len(d.Unit.Events)}}})
		events += len(d.Unit.Events)
		units++
		msg.Ack()
		<-msg.Context().Done()
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(events)/float64(units), "events/unit")
}
