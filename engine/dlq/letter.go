package dlq

import (
	"time"

	"github.com/millrace/millrace/engine/event/eventjson"
	"github.com/millrace/millrace/engine/stream"
)

// Letter is a dead letter as JSON.
type Letter struct {
	ID         string           `json:"id"`
	Time       time.Time        `json:"time"` // when it was given up
	Node       string           `json:"node"`
	Generation string           `json:"generation"`
	Class      string           `json:"class"`
	Code       string           `json:"code"`
	Text       string           `json:"text"`
	Record     int              `json:"record"` // number in the event, from 0; -1: the whole event
	Attempt    int              `json:"attempt"`
	Plugin     string           `json:"plugin,omitempty"` // name@version#hash8 of the plugin that refused it
	Stream     string           `json:"stream"`           // the lane that was read: stream/number
	At         string           `json:"at"`               // the entry in it
	EventID    string           `json:"event_id,omitempty"`
	RootID     string           `json:"root_id,omitempty"` // the source message's identity
	Key        string           `json:"key,omitempty"`
	Event      *eventjson.Event `json:"event,omitempty"` // the failing node's input, only where one letter, or an export, was asked for
	Raw        []byte           `json:"raw,omitempty"`   // base64, of an entry that is no frame
	Waits      bool             `json:"waits,omitempty"` // behind another letter of its key
	Cut        *Cut             `json:"cut,omitempty"`   // only a part of the content is left
}

// Cut says what the content was of which a letter holds the first 64 KiB.
type Cut struct {
	Length int64  `json:"length_bytes"`
	SHA256 string `json:"sha256"`
}

// head is d without its event.
func head(d *stream.StoredDeadLetter) Letter {
	l := Letter{
		ID: d.ID, Time: time.UnixMilli(d.TimeMs).UTC(), Node: d.Node, Generation: d.Generation, Class: d.Class.String(), Code: d.Code,
		Text: d.Text, Record: d.Record, Attempt: d.Attempt, Plugin: d.Plugin, Stream: stream.TopicOf(d.Stream, d.Lane), At: d.At.String(),
	}
	l.Waits = d.Waits
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
		l.Event = eventjson.Of(d.Event)
	}
	return l
}
