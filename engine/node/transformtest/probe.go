package transformtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// probe is one transform under test with the case that it is tested with.
type probe struct {
	tr    node.Transform
	c     Case
	lanes int
}

// events builds the case's inputs anew.
func (p *probe) events() ([]*event.Event, error) {
	var events []*event.Event
	for i := range p.c.In {
		e, err := p.c.In[i].event(i)
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// process calls the transform with events and the state that the case begins with, and
// checks the form of what it gives.
func (p *probe) process(ctx context.Context, events []*event.Event) ([]node.Result, error) {
	return p.processIn(ctx, 0, events, p.state())
}

func (p *probe) processIn(ctx context.Context, lane int, events []*event.Event, state *memory) ([]node.Result, error) {
	batch := &node.Batch{Lane: lane, Events: events}
	if s, ok := node.StatefulOf(p.tr); ok {
		state.declared = s.StateKeys(batch)
		batch.State = state
	}
	results, err := p.tr.Process(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("process %d events: %w", len(events), err)
	}
	if len(results) != len(events) {
		return nil, fmt.Errorf("%d results for %d events", len(results), len(events))
	}
	return results, errors.Join(wellFormed(results), state.misuse())
}

// wellFormed checks what must be true of any result.
func wellFormed(results []node.Result) error {
	for i, r := range results {
		for k, e := range r.Outputs {
			if e == nil || e.RootID == "" {
				return fmt.Errorf("event %d: output %d is nil or has no root id", i, k)
			}
			if (e.Payload == nil) == (e.Record == nil) {
				return fmt.Errorf("event %d: output %d has neither payload nor record, or both", i, k)
			}
		}
		seen := map[int]bool{}
		for _, bad := range r.Rejects {
			switch {
			case bad.Record < -1 || seen[bad.Record]:
				return fmt.Errorf("event %d: reject of record %d, which is below -1 or rejected twice", i, bad.Record)
			case bad.Code == "" || strings.Trim(bad.Code, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
				return fmt.Errorf("event %d: reject has code %q; want lower case letters, digits and _", i, bad.Code)
			case bad.Text == "":
				return fmt.Errorf("event %d: reject %s has no text", i, bad.Code)
			}
			seen[bad.Record] = true
		}
	}
	return nil
}

// copyOf returns events that share no memory with the given ones that a transform
// could change.
func copyOf(events []*event.Event) []*event.Event {
	copies := make([]*event.Event, len(events))
	for i, e := range events {
		c := *e
		c.Headers = slices.Clone(e.Headers)
		c.Payload = bytes.Clone(e.Payload)
		if e.Record != nil {
			c.Record = &event.Record{Fields: slices.Clone(e.Record.Fields)}
		}
		copies[i] = &c
	}
	return copies
}

// copyResults returns results that nothing else refers to.
func copyResults(results []node.Result) []node.Result {
	copies := make([]node.Result, len(results))
	for i, r := range results {
		copies[i] = node.Result{Outputs: copyOf(r.Outputs), Rejects: slices.Clone(r.Rejects)}
	}
	return copies
}

// differ names the first difference between two lists of results.
func differ(got, want []node.Result) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d results; want %d", len(got), len(want))
	}
	for i := range got {
		if len(got[i].Outputs) != len(want[i].Outputs) {
			return fmt.Errorf("event %d: %d outputs; want %d", i, len(got[i].Outputs), len(want[i].Outputs))
		}
		for k, e := range got[i].Outputs {
			if err := differEvent(e, want[i].Outputs[k]); err != nil {
				return fmt.Errorf("event %d: output %d: %w", i, k, err)
			}
		}
		if !slices.Equal(got[i].Rejects, want[i].Rejects) {
			return fmt.Errorf("event %d: rejects %v; want %v", i, got[i].Rejects, want[i].Rejects)
		}
	}
	return nil
}

func differEvent(got, want *event.Event) error {
	g, w := *got, *want
	if err := differContent(&g, &w); err != nil {
		return err
	}
	if !slices.Equal(g.Headers, w.Headers) {
		return fmt.Errorf("headers %v; want %v", g.Headers, w.Headers)
	}
	g.Record, w.Record, g.Payload, w.Payload, g.Headers, w.Headers = nil, nil, nil, nil, nil, nil
	if !reflect.DeepEqual(g, w) {
		return fmt.Errorf("event %+v; want %+v", g, w)
	}
	return nil
}

func differContent(got, want *event.Event) error {
	if !bytes.Equal(got.Payload, want.Payload) {
		return fmt.Errorf("payload %q; want %q", got.Payload, want.Payload)
	}
	if (got.Record == nil) != (want.Record == nil) {
		return fmt.Errorf("record is %v; want %v", got.Record, want.Record)
	}
	if got.Record == nil {
		return nil
	}
	return differFields(got.Record.Fields, want.Record.Fields)
}

func differFields(got, want []event.Field) error {
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("record %s; want %s", listing(got), listing(want))
}

// listing writes fields with their kinds.
func listing(fields []event.Field) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, fmt.Sprintf("%s: %s %q", f.Name, f.Value.Kind(), f.Value.Format()))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
