package transformtest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/event"
)

// Case is one example of what a transform does, as a file of cases writes it:
//
//	cases:
//	  - name: scales the values of one metric
//	    with: { metric: temperature, factor: 2 }
//	    in:
//	      - record: { metric: temperature, value: 1.5, ts: { $time: "2026-01-01T00:00:00Z" } }
//	      - payload: '{"a":1}'
//	    out:
//	      - outputs: [ { record: { metric: temperature, value: 3.0, ts: { $time: "2026-01-01T00:00:00Z" } } } ]
//	      - rejects: [ { record: -1, code: no_record } ]
//
// A transform with state by key begins each case with none, or with that which state
// names:
//
//	state: [ { key: pump-1, version: "1", value: '{"n":3}' } ]
type Case struct {
	Name    string         `yaml:"name"`
	Options map[string]any `yaml:"with,omitempty"`
	State   []KeyState     `yaml:"state,omitempty"`
	In      []Input        `yaml:"in"`
	Out     []Output       `yaml:"out"` // one per input
}

// Input is one event. What is left out is empty; without an id the event gets
// one by its place.
type Input struct {
	ID          string  `yaml:"id,omitempty"` // identity of its message
	Key         string  `yaml:"key,omitempty"`
	Time        Moment  `yaml:"time,omitempty"`
	Headers     Fields  `yaml:"headers,omitempty"`
	Payload     *string `yaml:"payload,omitempty"`
	Base64      string  `yaml:"base64,omitempty"` // payload that is not text
	ContentType string  `yaml:"content_type,omitempty"`
	Record      *Fields `yaml:"record,omitempty"`
	Source      Source  `yaml:"source,omitempty"`
}

// KeyState is what an earlier event has left for a key.
type KeyState struct {
	Key     string `yaml:"key"`
	Version string `yaml:"version"` // of its layout
	Value   string `yaml:"value,omitempty"`
	Base64  string `yaml:"base64,omitempty"` // value that is not text
}

// Source says where an event came from.
type Source struct {
	Node       string `yaml:"node,omitempty"` // default plant1
	Exchange   string `yaml:"exchange,omitempty"`
	RoutingKey string `yaml:"routing_key,omitempty"`
	Queue      string `yaml:"queue,omitempty"`
	MessageID  string `yaml:"message_id,omitempty"`
}

// Output is what becomes of one event; empty means that it is dropped.
type Output struct {
	Outputs []Expected `yaml:"outputs,omitempty"`
	Rejects []Rejected `yaml:"rejects,omitempty"`
}

// Expected is one output event. What is left out is not compared.
type Expected struct {
	Record  *Fields `yaml:"record,omitempty"`
	Payload *string `yaml:"payload,omitempty"`
	Key     *string `yaml:"key,omitempty"`
	Time    *Moment `yaml:"time,omitempty"`
}

// Rejected is one reject. Text need only occur in the reject's.
type Rejected struct {
	Record int    `yaml:"record"`
	Code   string `yaml:"code"`
	Text   string `yaml:"text,omitempty"`
}

// Load reads the cases of a YAML or JSON file.
func Load(path string) ([]Case, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cases, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cases, nil
}

// Parse reads cases. Unknown fields are errors, as is a case without a name or
// with another number of results than inputs.
func Parse(r io.Reader) ([]Case, error) {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	var file struct {
		Cases []Case `yaml:"cases"`
	}
	if err := dec.Decode(&file); err != nil {
		return nil, err
	}
	var errs []error
	for i, c := range file.Cases {
		if c.Name == "" {
			errs = append(errs, fmt.Errorf("case %d has no name", i+1))
		}
		for _, s := range c.State {
			if _, err := s.stored(); err != nil || s.Version == "" {
				errs = append(errs, fmt.Errorf("case %q: state of key %q has no version, or no value: %v", c.Name, s.Key, err))
			}
		}
		if len(c.In) != len(c.Out) {
			errs = append(errs, fmt.Errorf("case %q has %d inputs and %d results", c.Name, len(c.In), len(c.Out)))
		}
	}
	return file.Cases, errors.Join(errs...)
}

// Decode fills the typed options of a built-in transform from those of a case; an
// unknown option is an error.
func Decode(options map[string]any, into any) error {
	if len(options) == 0 {
		return nil
	}
	text, err := yaml.Marshal(options)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	return dec.Decode(into)
}

// event builds input number i; every call builds it anew.
func (in *Input) event(i int) (*event.Event, error) {
	e := &event.Event{
		RootID: in.ID, Key: in.Key, Time: int64(in.Time), ContentType: in.ContentType, Ingested: 1_700_000_000_000 + int64(i),
		Source: event.Source{Node: in.Source.Node, Exchange: in.Source.Exchange, RoutingKey: in.Source.RoutingKey, Queue: in.Source.Queue, MessageID: in.Source.MessageID},
		Root:   event.Position{Epoch: 1, Ms: 1_700_000_000_000, Seq: uint64(i)},
	}
	if e.RootID == "" {
		e.RootID = fmt.Sprintf("m-%d", i+1)
	}
	if e.Source.Node == "" {
		e.Source.Node = "plant1"
	}
	e.ID = event.RootID(event.NewIdentity("suite", e.Source.Node, e.RootID), e.Time)
	for _, f := range in.Headers {
		e.Headers = append(e.Headers, event.Header(f))
	}
	if in.Record != nil {
		e.Record = &event.Record{Fields: append([]event.Field{}, *in.Record...)}
	}
	return e, in.payload(e)
}

func (in *Input) payload(e *event.Event) (err error) {
	if in.Payload != nil {
		e.Payload = []byte(*in.Payload)
	}
	if in.Base64 != "" {
		e.Payload, err = base64.StdEncoding.DecodeString(in.Base64)
	}
	return err
}

// Moment is a time in ms since the Unix epoch; a file writes RFC 3339 or a number
// of ms.
type Moment int64

// UnmarshalYAML reads either form.
func (m *Moment) UnmarshalYAML(n *yaml.Node) error {
	var ms int64
	if n.Decode(&ms) == nil {
		*m = Moment(ms)
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, n.Value)
	if err != nil {
		return fmt.Errorf("line %d: time: %w", n.Line, err)
	}
	*m = Moment(t.UnixMilli())
	return nil
}

// Fields are named values in order. A file writes a mapping whose values are
// null, bools, integers, floats and texts, or one of { $time: RFC 3339 },
// { $decimal: digits }, { $bytes: base64 }, { $json: text }, { $float: number }.
type Fields []event.Field

// UnmarshalYAML reads a mapping in its order.
func (f *Fields) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: want a mapping of fields", n.Line)
	}
	*f = Fields{}
	for i := 0; i < len(n.Content); i += 2 {
		v, err := valueOf(n.Content[i+1])
		if err != nil {
			return fmt.Errorf("line %d: field %q: %w", n.Content[i].Line, n.Content[i].Value, err)
		}
		*f = append(*f, event.Field{Name: n.Content[i].Value, Value: v})
	}
	return nil
}

func valueOf(n *yaml.Node) (event.Value, error) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && strings.HasPrefix(n.Content[0].Value, "$") {
		return typed(n.Content[0].Value, n.Content[1])
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return event.Null, err
	}
	switch v := v.(type) {
	case nil:
		return event.Null, nil
	case bool:
		return event.Bool(v), nil
	case int:
		return event.Int(int64(v)), nil
	case float64:
		return event.Float(v), nil
	case string, time.Time:
		return event.String(n.Value), nil
	}
	return event.Null, fmt.Errorf("a %T is no value; write nested values as { $json: text }", v)
}

func typed(kind string, n *yaml.Node) (event.Value, error) {
	switch kind {
	case "$time":
		var m Moment
		err := m.UnmarshalYAML(n)
		return event.Time(int64(m)), err
	case "$decimal":
		return event.Decimal(n.Value), nil
	case "$json":
		return event.JSON(n.Value), nil
	case "$bytes":
		b, err := base64.StdEncoding.DecodeString(n.Value)
		return event.Bytes(b), err
	case "$float":
		var f float64
		err := n.Decode(&f)
		return event.Float(f), err
	}
	return event.Null, fmt.Errorf("%s is not $time, $decimal, $bytes, $json or $float", kind)
}
