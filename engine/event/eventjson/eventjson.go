// Package eventjson gives an event its form in JSON, for the HTTP API and the
// command line. Frames do not use it: they have a codec of their own.
package eventjson

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
)

// Event is an event's content and origin as JSON; its ids and its key stand beside
// it, in what embeds it.
type Event struct {
	Time        time.Time       `json:"time,omitzero"`
	Source      Source          `json:"source"`
	Root        string          `json:"root,omitempty"` // journal entry that it descends from
	Plugin      string          `json:"plugin,omitempty"`
	Headers     json.RawMessage `json:"headers,omitempty"`
	ContentType string          `json:"content_type,omitempty"`
	Payload     *string         `json:"payload,omitempty"`     // if it is UTF-8
	PayloadB64  []byte          `json:"payload_b64,omitempty"` // if it is not
	Record      json.RawMessage `json:"record,omitempty"`
}

// Source says where the event's message came from.
type Source struct {
	Node        string `json:"node"`
	Exchange    string `json:"exchange"`
	RoutingKey  string `json:"routing_key"`
	Queue       string `json:"queue"`
	MessageID   string `json:"message_id"`
	Redelivered bool   `json:"redelivered"`
}

// Of returns e's form in JSON. It shares e's payload.
func Of(e *event.Event) *Event {
	s := e.Source
	out := &Event{Source: Source{s.Node, s.Exchange, s.RoutingKey, s.Queue, s.MessageID, s.Redelivered}, Plugin: e.Plugin, ContentType: e.ContentType}
	if e.Time != 0 {
		out.Time = time.UnixMilli(e.Time).UTC()
	}
	if !e.Root.IsZero() {
		out.Root = e.Root.String()
	}
	if len(e.Headers) > 0 {
		out.Headers = headers(e.Headers)
	}
	switch {
	case e.Payload == nil:
	case utf8.Valid(e.Payload):
		text := string(e.Payload)
		out.Payload = &text
	default:
		out.PayloadB64 = e.Payload
	}
	if e.Record != nil {
		out.Record = e.Record.AppendJSON(nil)
	}
	return out
}

func headers(list []event.Header) json.RawMessage {
	fields := make([]event.Field, len(list))
	for i, h := range list {
		fields[i] = event.Field(h)
	}
	return (&event.Record{Fields: fields}).AppendJSON(nil)
}
