package amqp

import (
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sourcetest"
)

const testPrefetch = 50

func (h harness) Features() sourcetest.Features {
	return sourcetest.Features{Inflight: h.prefetch, Redelivers: true, TypedHeaders: true}
}

func (h harness) Publish(t *testing.T, messages ...node.Message) { h.publishAll(t, messages) }

func (h harness) Open(t *testing.T) node.Source {
	return h.source(t, func(c *Config) { c.Prefetch = h.prefetch })
}

func TestConformance(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.Harness {
				b := newBroker(t)
				b.declare(t, amqp091.Table{amqp091.QueueTypeArg: kind})
				return harness{b, testPrefetch}
			})
		})
	}
}
