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
	run, d := t.shape.Run(t.node), decoder{opts: &t.opts, path: t.path}
	for i, e := range in.Events {
		if i%ctxEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		results[i] = t.event(run, &d, e, len(in.Events)-i-1)
	}
	return results, ctx.Err()
}

func (t *Transform) event(run *shape.Run, d *decoder, in *event.Event, left int) node.Result {
	switch {
	case in.Record != nil:
		return shape.Refuse(NoPayload, "the event carries a record already, not a payload")
	case len(in.Payload) == 0:
		return shape.Refuse(NoPayload, "the payload is empty")
	case int64(len(in.Payload)) > int64(t.opts.MaxBytes):
		return shape.Refuse(TooLarge, fmt.Sprintf("the payload has %d bytes, the limit is %d", len(in.Payload), t.opts.MaxBytes))
	}
	run.Start(in)
	if bad := d.run(run, string(in.Payload)); bad != nil {
		return shape.Refuse(bad.Code, bad.Text)
	}
	return run.Finish(left)
}
