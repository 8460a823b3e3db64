package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/millrace/millrace/engine/node"
)

// lodger is a transform that makes its results in the room that it is given. They are
// valid until the room is cleared.
type lodger interface {
	processIn(ctx context.Context, in *node.Batch, r *room) ([]node.Result, error)
}

var (
	_ lodger = (*mapper)(nil)
	_ lodger = (*batchMapper)(nil)
)

// mapper runs a Func over the events of a batch.
type mapper struct {
	node string
	f    Func
	log  *slog.Logger
}

var _ node.Transform = (*mapper)(nil)

// eventError is an error with the event that caused it.
type eventError struct {
	index int // in the batch
	err   error
}

func (e *eventError) Error() string { return fmt.Sprintf("event %d: %v", e.index, e.err) }
func (e *eventError) Unwrap() error { return e.err }

// noRecord is what becomes of an event that no decode node has been at.
var noRecord = node.Reject{Record: -1, Code: "no_record", Text: "the event carries a raw payload; decode it before this node"}

func (m *mapper) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	return m.processIn(ctx, in, new(room))
}

func (m *mapper) processIn(ctx context.Context, in *node.Batch, r *room) ([]node.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.clear(in.Events)
	results, outputs, draft := r.results[:len(in.Events)], r.outputs, &r.draft
	r.results = results
	for i, ev := range in.Events {
		if ev.Record == nil {
			results[i].Rejects = []node.Reject{noRecord}
			continue
		}
		start := len(outputs)
		*draft = Event{in: ev, node: m.node, time: ev.Time, room: r, out: outputs, fields: ev.Record.Fields}
		reject, err := m.one(draft)
		if err != nil {
			return nil, &eventError{i, err}
		}
		if reject != nil {
			results[i].Rejects = []node.Reject{*reject}
			continue
		}
		outputs = draft.out
		results[i].Outputs = outputs[start:len(outputs):len(outputs)]
	}
	r.outputs = outputs
	return results, nil
}

// one calls the Func and makes the output that its return stands for. Outputs
// of a rejected event do not count.
func (m *mapper) one(e *Event) (*node.Reject, error) {
	if err := m.call(e); err != nil {
		if r, ok := errors.AsType[*rejection](err); ok {
			return &r.Reject, nil
		}
		return nil, err
	}
	if e.reject != nil {
		return e.reject, nil
	}
	e.finish()
	return nil, nil
}

func (m *mapper) call(e *Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(m.log, p)
		}
	}()
	return m.f(e)
}

// panicError makes an error of a recovered panic and keeps its stack in the log.
func panicError(log *slog.Logger, p any) error {
	log.Error("the transform panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return node.AsUnsure(fmt.Errorf("panic: %v", p))
}

func (m *mapper) Close() error { return nil }
