package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/plugins/sdk"
)

// Config is the node's with: block: names of the record's fields.
type Config struct {
	Name  string `json:"name"`  // default "name"
	Time  string `json:"time"`  // default "ts"; it is the event time, too
	Unit  string `json:"unit"`  // default "unit"; null if a measurement has none
	Value string `json:"value"` // default "value": float, text, bool or bytes; null beside a lone sum
	Sum   string `json:"sum"`   // default "sum"; only where there is one
}

func (c *Config) withDefaults() Config {
	return Config{
		Name: cmp.Or(c.Name, "name"), Time: cmp.Or(c.Time, "ts"), Unit: cmp.Or(c.Unit, "unit"),
		Value: cmp.Or(c.Value, "value"), Sum: cmp.Or(c.Sum, "sum"),
	}
}

// Validate refuses two fields of one name.
func (c *Config) Validate() error {
	d := c.withDefaults()
	seen := map[string]string{}
	for _, f := range [][2]string{{"name", d.Name}, {"time", d.Time}, {"unit", d.Unit}, {"value", d.Value}, {"sum", d.Sum}} {
		if other := seen[f[1]]; other != "" {
			return &sdk.ConfigError{Path: f[0], Text: "is " + f[1] + ", and so is " + other}
		}
		seen[f[1]] = f[0]
	}
	return nil
}

// decoder decodes packs for one node.
type decoder struct {
	node  string
	names Config
}

var _ node.Transform = (*decoder)(nil)

func (d *decoder) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	results := make([]node.Result, len(in.Events))
	for i, e := range in.Events {
		results[i] = d.decode(e)
	}
	return results, nil
}

// decode makes an event of each measurement of a pack. A record that cannot be used
// is rejected alone; a bad base field, which all that follow need, rejects the pack.
func (d *decoder) decode(e *event.Event) (result node.Result) {
	if e.Record != nil {
		return rejected("no_payload", "the event is decoded already")
	}
	records, err := parse(e.Payload)
	if err != nil {
		return rejected("bad_pack", err.Error())
	}
	var b base
	for i, r := range records {
		if err := b.absorb(r); err != nil {
			return rejected("bad_base", err.Error())
		}
		m, ok, err := b.resolve(r, e.Ingested)
		switch {
		case err != nil:
			result.Rejects = append(result.Rejects, node.Reject{Record: i, Code: "bad_record", Text: clean(err.Error())})
		case ok:
			result.Outputs = append(result.Outputs, d.output(e, i, m))
		}
	}
	return result
}

func rejected(code, text string) node.Result {
	return node.Result{Rejects: []node.Reject{{Record: -1, Code: code, Text: clean(text)}}}
}

func clean(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func (d *decoder) output(e *event.Event, ordinal int, m *measurement) *event.Event {
	out := e.Derive(d.node, ordinal, m.millis)
	unit := event.Null
	if m.unit != "" {
		unit = event.String(m.unit)
	}
	out.Record = &event.Record{Fields: []event.Field{
		{Name: d.names.Name, Value: event.String(m.name)}, {Name: d.names.Time, Value: event.Time(m.millis)},
		{Name: d.names.Value, Value: m.eventValue()}, {Name: d.names.Unit, Value: unit},
	}}
	if m.sum != nil {
		out.Record.Fields = append(out.Record.Fields, event.Field{Name: d.names.Sum, Value: event.Float(*m.sum)})
	}
	return out
}

func (m *measurement) eventValue() event.Value {
	if m.number != nil {
		return event.Float(*m.number)
	}
	switch v := m.value.(type) {
	case string:
		return event.String(v)
	case bool:
		return event.Bool(v)
	case []byte:
		return event.Bytes(v)
	}
	return event.Null
}

// Close has nothing to free.
func (d *decoder) Close() error { return nil }
