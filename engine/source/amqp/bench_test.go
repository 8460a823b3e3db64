package amqp

import (
	"fmt"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	benchMessages = 100_000
	benchAckEach  = 256
)

func fill(b *testing.B) *broker {
	b.Helper()
	br := newBroker(b)
	br.declare(b, nil)
	messages := make([]amqp091.Publishing, benchMessages)
	for i := range messages {
		messages[i] = amqp091.Publishing{
			DeliveryMode: 2, ContentType: "application/json", MessageId: fmt.Sprint("plant1-bench-", i),
			Body: fmt.Appendf(nil, `{"id":"plant1-bench-%06d","device":"machine-1","metric":"temperature","ts":"2026-11-23T21:08:50.123Z","value":73.96732207,"unit":"F","pad":"0123456"}`, i),
		}
	}
	br.publish(b, messages...)
	return br
}

// BenchmarkBareLoop is the client library alone: one channel, the same prefetch.
func BenchmarkBareLoop(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		br := fill(b)
		ch := br.channel(b)
		if err := ch.Qos(DefaultPrefetch, 0, false); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		deliveries, err := ch.Consume(br.queue, "", false, true, false, false, nil)
		if err != nil {
			b.Fatal(err)
		}
		for n := 1; n <= benchMessages; n++ {
			if d := <-deliveries; n%benchAckEach == 0 || n == benchMessages {
				if err := d.Ack(true); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(b.N*benchMessages)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkSource is the same work through a Source.
func BenchmarkSource(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		br := fill(b)
		s := br.source(b, nil)
		b.StartTimer()
		batches, acked := 0, 0
		for n := 0; n < benchMessages; {
			batch := next(b, s)
			n += len(batch)
			batches++
			if n-acked >= benchAckEach || n == benchMessages {
				if err := s.Ack(batch[len(batch)-1].Seq); err != nil {
					b.Fatal(err)
				}
				acked = n
			}
		}
		b.ReportMetric(float64(benchMessages)/float64(batches), "msg/batch")
	}
	b.ReportMetric(float64(b.N*benchMessages)/b.Elapsed().Seconds(), "msg/s")
}
