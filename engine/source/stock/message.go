package stock

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Metadata under which a watermill message carries what an AMQP message has
// fields for. All other metadata are headers, whose values are always strings.
const (
	metaPrefix      = "millrace_"
	metaContentType = metaPrefix + "content_type"
	metaExchange    = metaPrefix + "exchange"
	metaRoutingKey  = metaPrefix + "routing_key"
	metaQueue       = metaPrefix + "queue"
	metaTimestamp   = metaPrefix + "timestamp" // ms since the Unix epoch
	metaRedelivered = metaPrefix + "redelivered"
	metaNumber      = metaPrefix + "number" // of an embedded queue's message
)

// toMessage is the inverse of fromMessage, but for the Seq.
func toMessage(m *node.Message) *message.Message {
	msg := message.NewMessage(m.MessageID, m.Body)
	for _, h := range m.Headers {
		msg.Metadata[h.Name] = h.Value.Format()
	}
	set := func(name, value string) {
		if value != "" {
			msg.Metadata[name] = value
		}
	}
	set(metaContentType, m.ContentType)
	set(metaExchange, m.Exchange)
	set(metaRoutingKey, m.RoutingKey)
	set(metaQueue, m.Queue)
	if !m.Timestamp.IsZero() {
		set(metaTimestamp, strconv.FormatInt(m.Timestamp.UnixMilli(), 10))
	}
	if m.Redelivered {
		set(metaRedelivered, "true")
	}
	return msg
}

func fromMessage(msg *message.Message) node.Message {
	meta := msg.Metadata
	m := node.Message{
		MessageID: msg.UUID, Body: msg.Payload, Headers: headers(meta),
		ContentType: meta[metaContentType], Exchange: meta[metaExchange],
		RoutingKey: meta[metaRoutingKey], Queue: meta[metaQueue], Redelivered: meta[metaRedelivered] != "",
	}
	if ms, err := strconv.ParseInt(meta[metaTimestamp], 10, 64); err == nil {
		m.Timestamp = time.UnixMilli(ms).UTC()
	}
	return m
}

func headers(meta message.Metadata) []event.Header {
	var out []event.Header
	for name, text := range meta {
		if !strings.HasPrefix(name, metaPrefix) {
			out = append(out, event.Header{Name: name, Value: event.String(text)})
		}
	}
	slices.SortFunc(out, func(a, b event.Header) int { return strings.Compare(a.Name, b.Name) })
	return out
}
