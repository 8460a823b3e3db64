package mqttsink

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/paho"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// User properties that a message carries if the event has what they tell. The source
// reads the first back as a message's id.
const (
	propertyID     = "message_id"
	propertyRoot   = "root_id"
	propertyKey    = "key"
	propertyPlugin = "plugin"
)

// maxText is the longest name, value or content type that the protocol has, in bytes.
const maxText = 65535

// outgoing is one event on its way.
type outgoing struct {
	index  int // in the unit
	id     event.ID
	packet *paho.Publish
	schema []byte // of the record; nil: none is wanted
}

func reject(i int, code, format string, args ...any) node.EventReject {
	return node.EventReject{Index: i, Reject: node.Reject{Record: -1, Code: code, Text: fmt.Sprintf(format, args...)}}
}

// messages returns one message for each event, or an error that names all events that
// can have none.
func (s *Sink) messages(events []*event.Event) ([]outgoing, error) {
	out := make([]outgoing, 0, len(events))
	var rejects []node.EventReject
	for i, e := range events {
		topic, err := s.topic.EvalString(e)
		if err != nil {
			rejects = append(rejects, reject(i, "bad_expression", "%v", err))
			continue
		}
		if why := badTopic(topic); why != "" {
			rejects = append(rejects, reject(i, "bad_topic", "%s", why))
			continue
		}
		m := outgoing{index: i, id: e.ID, packet: s.packet(e, topic)}
		if s.cfg.Schema != "" && e.Record != nil {
			m.schema = schemaOf(e.Record)
		}
		out = append(out, m)
	}
	if len(rejects) > 0 {
		return nil, &node.RejectedError{Rejects: rejects}
	}
	return out, nil
}

func (s *Sink) packet(e *event.Event, topic string) *paho.Publish {
	p := &paho.Publish{
		QoS: 1, Retain: s.cfg.retain(), Topic: topic, Payload: e.Payload,
		Properties: &paho.PublishProperties{ContentType: text(e.ContentType)},
	}
	if e.Record != nil {
		p.Payload, p.Properties.ContentType = e.Record.AppendJSON(nil), "application/json"
	}
	add := func(name, value string) {
		if name = text(name); name != "" && value != "" {
			p.Properties.User.Add(name, text(value))
		}
	}
	add(propertyID, e.ID.String())
	add(propertyRoot, e.RootID)
	add(propertyKey, e.Key)
	add(propertyPlugin, e.Plugin)
	for _, h := range e.Headers {
		if h.Name != propertyID {
			add(h.Name, h.Value.Format())
		}
	}
	return p
}

// text returns s as the protocol takes it: UTF-8 without zeros, cut at its limit.
func text(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
	}
	return s
}

// schemaOf returns a record's fields with their types, as JSON.
func schemaOf(r *event.Record) []byte {
	type field struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	fields := make([]field, len(r.Fields))
	for i, f := range r.Fields {
		fields[i] = field{f.Name, f.Value.Kind().String()}
	}
	out, _ := json.Marshal(map[string]any{"fields": fields}) // texts always marshal
	return out
}
