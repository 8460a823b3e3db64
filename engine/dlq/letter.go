package dlq

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// Letter is a dead letter as JSON.
type Letter struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"` // when it was given up
	Node       string    `json:"node"`
	Generation string    `json:"generation"`
	Class      string    `json:"class"`
	Code       string    `json:"code"`
	Text       string    `json:"text"`
	Record     int       `json:"record"` // number in the event, from 0; -1: the whole event
	Attempt    int       `json:"attempt"`
	Plugin     string    `json:"plugin,omitempty"` // name@version#hash8 of the plugin that refused it
	Stream     string    `json:"stream"`           // the lane that was read: stream/number
	At         string    `json:"at"`               // the entry in it
	EventID    string    `json:"event_id,omitempty"`
	RootID     string    `json:"root_id,omitempty"` // the source message's identity
	Key        string    `json:"key,omitempty"`
	Event      *Event    `json:"event,omitempty"` // only where one letter, or an export, was asked for
	Raw        []byte    `json:"raw,omitempty"`   // base64, of an entry that is no frame
	Cut        *Cut      `json:"cut,omitempty"`   // only a part of the content is left
}

// Cut says what the content was of which a letter holds the first 64 KiB.
type Cut struct {
	Length int64  `json:"length_bytes"`
	SHA256 string `json:"sha256"`
}

// Event is the failing node's input event as JSON.
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

// head is d without its event.
func head(d *stream.StoredDeadLetter) Letter {
	l := Letter{
		ID: d.ID, Time: time.UnixMilli(d.TimeMs).UTC(), Node: d.Node, Generation: d.Generation, Class: d.Class.String(), Code: d.Code,
		Text: d.Text, Record: d.Record, Attempt: d.Attempt, Plugin: d.Plugin, Stream: stream.TopicOf(d.Stream, d.Lane), At: d.At.String(),
	}
	if d.Cut != nil {
		l.Cut = &Cut{d.Cut.Length, d.Cut.SHA256}
	}
	if d.Event != nil {
		l.EventID, l.RootID, l.Key = d.Event.ID.String(), d.Event.RootID, d.Event.Key
	}
	return l
}

func whole(d *stream.StoredDeadLetter) Letter {
	l := head(d)
	l.Raw = d.Raw
	if d.Event != nil {
		l.Event = eventOf(d.Event)
	}
	return l
}

func eventOf(e *event.Event) *Event {
	s := e.Source
	out := &Event{Source: Source{s.Node, s.Exchange, s.RoutingKey, s.Queue, s.MessageID, s.Redelivered}, Plugin: e.Plugin, ContentType: e.ContentType}
	if e.Time != 0 {
		out.Time = time.UnixMilli(e.Time).UTC()
	}
	if e.Root != (event.Position{}) {
		out.Root = e.Root.String()
	}
	if len(e.Headers) > 0 {
		fields := make([]event.Field, len(e.Headers))
		for i, h := range e.Headers {
			fields[i] = event.Field(h)
		}
		out.Headers = (&event.Record{Fields: fields}).AppendJSON(nil)
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
