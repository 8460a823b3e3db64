package feed

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/link"
	"github.com/millrace/millrace/engine/testserver"
)

// BenchmarkPublisher publishes readings of about 150 bytes to a durable queue,
// each confirmed.
func BenchmarkPublisher(b *testing.B) {
	const n = 20_000
	p, err := NewPublisher(PublisherConfig{URLs: []string{testserver.SharedRabbitMQ(b).AMQPURL()}})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	q := link.Queue{Name: fmt.Sprintf("bench-%016x", rand.Uint64()), Create: true, Durable: true}
	if err := p.Declare(b.Context(), q); err != nil {
		b.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"id":"%040d","device":"machine-1","metric":"temperature","ts":"2026-11-23T21:08:50.123Z","value":73.96732207,"unit":"F"}`, 1)
	b.ReportAllocs()
	for b.Loop() {
		for range n {
			if err := p.Publish(b.Context(), &node.Message{RoutingKey: q.Name, MessageID: "id", Body: body}); err != nil {
				b.Fatal(err)
			}
		}
		if err := p.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msg/s")
}
