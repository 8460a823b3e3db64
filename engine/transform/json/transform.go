package jsontransform

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/transform/shape"
)

// Codes of rejects.
const (
	BadJSON        = "bad_json"         // the payload is not one JSON value: whole event
	NoPayload      = "no_payload"       // the event carries a record, or nothing: whole event
	NoPath         = "no_path"          // nothing at `path`: whole event
	TooLarge       = "too_large"        // payload over max_bytes: whole event
	TooDeep        = "too_deep"         // nesting over max_depth: whole event
	TooManyRecords = "too_many_records" // over max_records: whole event
	NotAnObject    = "not_an_object"    // a bare value, without `scalar`
	DuplicateField = "duplicate_field"  // a name occurs twice in one record
	TooManyFields  = "too_many_fields"  // over max_fields in one record
	BadText        = "bad_text"         // not UTF-8, or half a surrogate pair
)

// ctxEvery is how many events pass between two looks at the context.
const ctxEvery = 256

// Transform decodes JSON payloads. It keeps no state between calls.
type Transform struct {
	node  string
	opts  Options
	path  []string
	shape *shape.Shape
}

var _ node.Transform = (*Transform)(nil)

// New returns the transform of node nodeID. Its errors are those that
// [Options.Check] reports.
func New(nodeID string, opts *Options) (node.Transform, error) {
	var errs []error
	for _, e := range opts.Check() {
		errs = append(errs, e)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("json options: %w", err)
	}
	s, err := shape.New(opts.shape())
	if err != nil {
		return nil, fmt.Errorf("json options: %w", err)
	}
	path, _ := splitPath(opts.Path) // checked above
	return &Transform{node: nodeID, opts: opts.withDefaults(), path: path, shape: s}, nil
}

func splitPath(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	parts := strings.Split(path, ".")
	for _, p := range parts {
		if p == "" {
			return nil, fmt.Errorf("%q has an empty name", path)
		}
	}
	return parts, nil
}

// Close does nothing: the transform holds no resources.
func (t *Transform) Close() error { return nil }

// Process decodes every event of in; see [node.Transform].
func (t *Transform) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	r := run{t: t}
	for i, e := range in.Events {
		if i%ctxEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		results[i] = r.event(e, len(in.Events)-i-1)
	}
	return results, ctx.Err()
}

// run is the working memory of one Process call.
type run struct {
	t       *Transform
	slab    shape.Slab
	decoder decoder

	in      *event.Event
	view    event.Event // in with the record at hand, as expressions see it
	outputs []*event.Event
	rejects []node.Reject
}

func (r *run) event(in *event.Event, left int) node.Result {
	if bad := r.t.refuse(in); bad != nil {
		return node.Result{Rejects: []node.Reject{*bad}}
	}
	r.in, r.outputs, r.rejects = in, r.outputs[:0], nil
	if r.t.shape.Sets() {
		r.view = *in
	}
	if bad := r.decoder.run(r, string(in.Payload)); bad != nil {
		return node.Result{Rejects: []node.Reject{*bad}}
	}
	return node.Result{Outputs: r.slab.Outputs(r.outputs, left), Rejects: r.rejects}
}

// refuse tells events that cannot be decoded at all.
func (t *Transform) refuse(in *event.Event) *node.Reject {
	switch {
	case in.Record != nil:
		return &node.Reject{Record: -1, Code: NoPayload, Text: "the event carries a record already, not a payload"}
	case len(in.Payload) == 0:
		return &node.Reject{Record: -1, Code: NoPayload, Text: "the payload is empty"}
	case int64(len(in.Payload)) > int64(t.opts.MaxBytes):
		return &node.Reject{Record: -1, Code: TooLarge, Text: fmt.Sprintf("the payload has %d bytes, the limit is %d", len(in.Payload), t.opts.MaxBytes)}
	}
	return nil
}

// record takes one decoded record: number n of the payload.
func (r *run) record(n int, fields []event.Field) {
	if r.t.shape.Sets() {
		r.view.Record = &event.Record{Fields: fields}
	}
	fields, ms, bad := r.t.shape.Apply(&r.view, fields)
	if bad != nil {
		bad.Record = n
		r.rejects = append(r.rejects, *bad)
		return
	}
	out := r.in.Derive(r.t.node, n, ms)
	out.Record = r.slab.Record(fields)
	r.outputs = append(r.outputs, out)
}

// reject takes one record that is JSON but no usable record.
func (r *run) reject(bad node.Reject) { r.rejects = append(r.rejects, bad) }
