package transformtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// examples compares with what the case names.
func examples(ctx context.Context, p *probe) error {
	events, err := p.events()
	if err != nil {
		return err
	}
	if len(p.c.Out) != len(events) {
		return fmt.Errorf("the case names %d results for %d inputs", len(p.c.Out), len(events))
	}
	results, err := p.process(ctx, events)
	if err != nil {
		return err
	}
	for i, r := range results {
		if lines := p.c.Out[i].difference(r); lines != nil {
			return &Mismatch{Event: i, Lines: lines}
		}
	}
	return nil
}

// oneResultEach sends the inputs many times over, so that a result out of place
// shows.
func oneResultEach(ctx context.Context, p *probe) error {
	if _, stateful := node.StatefulOf(p.tr); stateful {
		return nil // each event changes what the next one gives
	}
	events, err := p.events()
	if err != nil || len(events) == 0 {
		return err
	}
	once, err := p.process(ctx, events)
	if err != nil {
		return err
	}
	const times = 500
	many, err := p.process(ctx, slices.Repeat(events, times))
	if err != nil {
		return err
	}
	return differ(many, slices.Repeat(once, times))
}

func emptyBatch(ctx context.Context, p *probe) error {
	_, err := p.process(ctx, nil)
	return err
}

// descent checks what outputs take over from their input.
func descent(ctx context.Context, p *probe) error {
	events, err := p.events()
	if err != nil {
		return err
	}
	results, err := p.process(ctx, events)
	if err != nil {
		return err
	}
	for i, r := range results {
		in := events[i]
		for k, out := range r.Outputs {
			switch {
			case out == in || out.ID == in.ID:
				return fmt.Errorf("event %d: output %d is the input or bears its id; make it with Derive", i, k)
			case out.RootID != in.RootID || out.Root != in.Root || out.Source != in.Source || out.Ingested != in.Ingested:
				return fmt.Errorf("event %d: output %d has another root, source or time of ingest", i, k)
			case out.ID.Time().UnixMilli() != out.Time && out.Time > 0:
				return fmt.Errorf("event %d: output %d has time %d and an id of %s", i, k, out.Time, out.ID.Time())
			}
		}
	}
	return nil
}

func sameAgain(ctx context.Context, p *probe) error {
	var first []node.Result
	for range 3 {
		events, err := p.events()
		if err != nil {
			return err
		}
		results, err := p.process(ctx, events)
		if err != nil {
			return err
		}
		if first == nil {
			first = copyResults(results)
		}
		if err := differ(results, first); err != nil {
			return err
		}
	}
	return nil
}

// anyCut sends the inputs whole, in halves and one by one, state carried along.
func anyCut(ctx context.Context, p *probe) error {
	var whole []node.Result
	var left *memory
	for _, size := range []int{len(p.c.In), (len(p.c.In) + 1) / 2, 1} {
		events, err := p.events()
		if err != nil {
			return err
		}
		state := p.state()
		results, err := p.inBatches(ctx, events, size, state)
		if err != nil {
			return err
		}
		if whole == nil {
			whole, left = copyResults(results), state.copy()
		}
		if err := errors.Join(differ(results, whole), state.differ(left)); err != nil {
			return fmt.Errorf("in batches of %d: %w", size, err)
		}
	}
	return nil
}

// inBatches sends events in batches of size, state carried along.
func (p *probe) inBatches(ctx context.Context, events []*event.Event, size int, state *memory) ([]node.Result, error) {
	var results []node.Result
	for part := range slices.Chunk(events, max(size, 1)) {
		r, err := p.processIn(ctx, 0, part, state)
		if err != nil {
			return nil, err
		}
		results = append(results, copyResults(r)...)
	}
	return results, nil
}

func uniqueIDs(ctx context.Context, p *probe) error {
	seen := map[event.ID]string{}
	for _, message := range []string{"", "-again"} {
		events, err := p.events()
		if err != nil {
			return err
		}
		for _, e := range events {
			e.RootID += message
			e.ID = event.RootID(event.NewIdentity("suite", e.Source.Node, e.RootID), e.Time)
		}
		results, err := p.process(ctx, events)
		if err != nil {
			return err
		}
		for i, r := range results {
			for k, out := range r.Outputs {
				where := fmt.Sprintf("output %d of message %s (event %d)", k, out.RootID, i)
				if other, ok := seen[out.ID]; ok {
					return fmt.Errorf("%s and %s bear one id, %s", other, where, out.ID)
				}
				seen[out.ID] = where
			}
		}
	}
	return nil
}

func inputUnchanged(ctx context.Context, p *probe) error {
	events, err := p.events()
	if err != nil {
		return err
	}
	list, before := slices.Clone(events), copyOf(events)
	if _, err := p.process(ctx, events); err != nil {
		return err
	}
	for i, e := range events {
		if e != list[i] {
			return fmt.Errorf("event %d of the batch was replaced", i)
		}
		if err := differEvent(e, before[i]); err != nil {
			return fmt.Errorf("event %d was changed: %w", i, err)
		}
	}
	return nil
}

// inputNotKept spoils the inputs after the call, as a caller does that uses their
// memory again, and looks whether outputs change.
func inputNotKept(ctx context.Context, p *probe) error {
	events, err := p.events()
	if err != nil {
		return err
	}
	results, err := p.process(ctx, events)
	if err != nil {
		return err
	}
	before := copyResults(results)
	for i, e := range events {
		for k := range e.Payload {
			e.Payload[k] = '#'
		}
		if e.Record != nil {
			for k := range e.Record.Fields {
				e.Record.Fields[k] = event.Field{Name: "spoilt"}
			}
		}
		*e = event.Event{}
		events[i] = nil
	}
	if err := differ(results, before); err != nil {
		return fmt.Errorf("outputs share memory with the input: %w", err)
	}
	return nil
}

// hardInputs are events that no transform of any options may stumble over.
func hardInputs(ctx context.Context, p *probe) error {
	payloads := []string{"", "{", `{"a":`, "\xff\xfe\x00", "\x00", "null", "[[[[", strings.Repeat("[", 100_000), strings.Repeat("a,", 70_000), "\"", "1e999999999"}
	for i, text := range payloads {
		in := Input{Payload: &text}
		if err := p.survives(ctx, in, i); err != nil {
			return fmt.Errorf("payload %.20q: %w", text, err)
		}
	}
	all := Fields{
		{Name: "null"}, {Name: "", Value: event.Bool(true)}, {Name: "int", Value: event.Int(-1 << 63)}, {Name: "float", Value: event.Float(5e-324)},
		{Name: "decimal", Value: event.Decimal("1e400")}, {Name: "string", Value: event.String("\xff")}, {Name: "bytes", Value: event.Bytes([]byte{0})},
		{Name: "time", Value: event.Time(-1)}, {Name: "json", Value: event.JSON("[]")},
	}
	for i, r := range []Fields{{}, all} {
		if err := p.survives(ctx, Input{Record: &r}, i); err != nil {
			return fmt.Errorf("record %s: %w", listing(r), err)
		}
	}
	return p.survives(ctx, Input{}, 0)
}

func (p *probe) survives(ctx context.Context, in Input, i int) error {
	e, err := in.event(i)
	if err != nil {
		return err
	}
	_, err = p.process(ctx, []*event.Event{e})
	return err
}

// lanesAtOnce calls Process from several goroutines, one per lane.
func lanesAtOnce(ctx context.Context, p *probe) error {
	events, err := p.events()
	if err != nil {
		return err
	}
	alone, err := p.process(ctx, events)
	if err != nil {
		return err
	}
	errs := make([]error, p.lanes)
	var lanes sync.WaitGroup
	for lane := range p.lanes {
		lanes.Go(func() {
			for range 20 {
				results, err := p.processIn(ctx, lane, copyOf(events), p.state())
				if errs[lane] = err; err == nil {
					errs[lane] = differ(results, alone)
				}
				if errs[lane] != nil {
					return
				}
			}
		})
	}
	lanes.Wait()
	return errors.Join(errs...)
}

func cancelled(ctx context.Context, p *probe) error {
	events, err := p.events()
	if err != nil {
		return err
	}
	want, err := p.process(ctx, events)
	if err != nil {
		return err
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.process(gone, events); len(events) > 0 && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a call with a cancelled context gives %v; want context.Canceled", err)
	}
	again, err := p.process(ctx, events)
	if err != nil {
		return fmt.Errorf("after a cancelled call: %w", err)
	}
	return differ(again, want)
}
