package sdk

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// BatchFunc handles a run of consecutive events at once, such as for one call of a
// model or one look-up for all of them: it changes each, calls its Drop, Emit or
// Reject, or leaves it as it is. An error or a panic fails the whole unit. Every event
// carries a record; others have been rejected.
//
// A unit may come in several runs, and what becomes of an event must not depend on
// where they are cut. A BatchFunc is called concurrently for different lanes and must
// not keep events.
type BatchFunc func(events []*Event) error

// MapBatch makes a plugin of a function over runs of events. open is called as by
// [Map].
func MapBatch[C any](name, version string, open func(*C) (BatchFunc, error)) Plugin {
	return Batch(name, version, func(c *C, n Node) (node.Transform, error) {
		f, err := open(c)
		if err != nil {
			return nil, err
		}
		return &batchMapper{node: n.ID, f: f, log: n.Logger}, nil
	})
}

// batchMapper runs a BatchFunc over the events of a batch.
type batchMapper struct {
	node string
	f    BatchFunc
	log  *slog.Logger
}

var _ node.Transform = (*batchMapper)(nil)

func (m *batchMapper) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	return m.processIn(ctx, in, new(room))
}

func (m *batchMapper) processIn(ctx context.Context, in *node.Batch, r *room) ([]node.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.clear(in.Events)
	drafts := m.drafts(in.Events, r)
	run := make([]*Event, 0, len(drafts))
	for i := range drafts {
		if drafts[i].reject == nil {
			run = append(run, &drafts[i])
		}
	}
	if len(run) > 0 {
		if err := m.call(run); err != nil {
			return nil, err
		}
	}
	results := r.results[:len(drafts)]
	r.results = results
	for i := range drafts {
		d := &drafts[i]
		if d.reject != nil {
			results[i].Rejects = []node.Reject{*d.reject}
			continue
		}
		d.finish()
		results[i].Outputs = d.out
	}
	return results, nil
}

// drafts makes a draft of every event, each with room for one output.
func (m *batchMapper) drafts(events []*event.Event, r *room) []Event {
	drafts := make([]Event, len(events))
	outputs := r.outputs[:len(events)]
	r.outputs = outputs
	for i, ev := range events {
		drafts[i] = Event{in: ev, node: m.node, time: ev.Time, room: r, out: outputs[i : i : i+1]}
		if ev.Record == nil {
			drafts[i].reject = &noRecord
			continue
		}
		drafts[i].fields = ev.Record.Fields
	}
	return drafts
}

func (m *batchMapper) call(events []*Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(m.log, p)
		}
	}()
	if err := m.f(events); err != nil {
		return fmt.Errorf("a run of %d events: %w", len(events), err)
	}
	return nil
}

func (m *batchMapper) Close() error { return nil }
