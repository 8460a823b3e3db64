// Package selecttransform is the built-in transform `select`: it keeps, drops,
// orders and renames the fields of records. It computes nothing and looks at no
// value.
package selecttransform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/transform/shape"
)

// Codes of rejects.
const (
	NoRecord       = "no_record"       // the event carries a payload, not a record
	MissingField   = "missing_field"   // a field of `keep` is absent, with missing: reject
	DuplicateField = "duplicate_field" // a new name is another field's
)

// ctxEvery is how many events pass between two looks at the context.
const ctxEvery = 256

// Options are the `with:` of a select node.
type Options struct {
	// Keep names the fields to keep, in the order to write them.
	Keep []string `yaml:"keep,omitempty" jsonschema:"description=fields to keep in this order"`
	// Drop names the fields to leave out; the others keep their order.
	Drop []string `yaml:"drop,omitempty" jsonschema:"description=fields to leave out (not with keep)"`
	// Rename gives kept fields new names.
	Rename map[string]string `yaml:"rename,omitempty" jsonschema:"description=field and its new name"`
	// Missing says what an absent field of Keep does: skip (default) leaves it out,
	// fill writes a null, reject makes the event a dead letter.
	Missing string `yaml:"missing,omitempty" jsonschema:"enum=skip,enum=fill,enum=reject,default=skip"`
}

// Type describes the transform to the pipeline reader.
var Type = spec.NodeType{
	Kind:      spec.Transform,
	Name:      "select",
	Doc:       "Keeps, drops, orders and renames the fields of records.",
	NewConfig: func() any { return new(Options) },
	Reads:     spec.Record,
	Writes:    spec.Record,
}

// Check reports every problem of the options.
func (o *Options) Check() []spec.FieldError {
	var errs []spec.FieldError
	add := func(field, message string) {
		errs = append(errs, spec.FieldError{Field: field, Message: message})
	}
	if len(o.Keep) == 0 && len(o.Drop) == 0 && len(o.Rename) == 0 {
		add("", "the node does nothing: give keep, drop or rename")
	}
	if len(o.Keep) > 0 && len(o.Drop) > 0 {
		add("drop", "cannot stand beside keep")
	}
	for i, name := range o.Keep {
		if slices.Contains(o.Keep[:i], name) {
			add(fmt.Sprintf("keep[%d]", i), fmt.Sprintf("%q is there twice", name))
		}
	}
	if !slices.Contains([]string{"", "skip", "fill", "reject"}, o.Missing) {
		add("missing", fmt.Sprintf("%q is not skip, fill or reject", o.Missing))
	}
	return append(errs, o.checkRename()...)
}

func (o *Options) checkRename() []spec.FieldError {
	var errs []spec.FieldError
	taken := map[string]string{}
	for _, old := range slices.Sorted(maps.Keys(o.Rename)) {
		name, field := o.Rename[old], "rename."+old
		if name == "" {
			errs = append(errs, spec.FieldError{Field: field, Message: "the new name is empty"})
		}
		if other, ok := taken[name]; ok {
			errs = append(errs, spec.FieldError{Field: field, Message: fmt.Sprintf("%q is the new name of %q too", name, other)})
		}
		if slices.Contains(o.Drop, old) || len(o.Keep) > 0 && !slices.Contains(o.Keep, old) {
			errs = append(errs, spec.FieldError{Field: field, Message: fmt.Sprintf("%q is not kept", old)})
		}
		taken[name] = old
	}
	return errs
}

// Transform selects fields. It keeps no state.
type Transform struct {
	node  string
	opts  Options
	drop  map[string]bool
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
		return nil, fmt.Errorf("select options: %w", err)
	}
	t := &Transform{node: nodeID, opts: *opts, drop: map[string]bool{}, shape: new(shape.Shape)}
	for _, name := range opts.Drop {
		t.drop[name] = true
	}
	return t, nil
}

// Close does nothing: the transform holds no resources.
func (t *Transform) Close() error { return nil }

// Process selects from every event of in; see [node.Transform].
func (t *Transform) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	w := worker{t: t, out: t.shape.Run(t.node)}
	for i, e := range in.Events {
		if i%ctxEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		results[i] = w.event(e, len(in.Events)-i-1)
	}
	return results, ctx.Err()
}

// worker is the working memory of one Process call.
type worker struct {
	t      *Transform
	out    *shape.Run
	fields []event.Field
	bad    node.Reject // of the event at hand; Code "" if none
}

func (w *worker) event(in *event.Event, left int) node.Result {
	if in.Record == nil {
		return shape.Refuse(NoRecord, "the event carries a payload; decode it first, with json or csv")
	}
	w.fields, w.bad = w.fields[:0], node.Reject{Record: -1}
	if len(w.t.opts.Keep) > 0 {
		w.keep(in.Record)
	} else {
		w.all(in.Record)
	}
	w.out.Start(in)
	if w.bad.Code != "" {
		w.out.Reject(w.bad)
	} else {
		w.out.Record(-1, 0, w.fields)
	}
	return w.out.Finish(left)
}

func (w *worker) keep(r *event.Record) {
	for _, name := range w.t.opts.Keep {
		v, ok := r.Get(name)
		switch {
		case ok || w.t.opts.Missing == "fill":
			w.add(name, v)
		case w.t.opts.Missing == "reject":
			w.bad.Code, w.bad.Text = MissingField, fmt.Sprintf("field %q is missing", name)
		}
	}
}

func (w *worker) all(r *event.Record) {
	for i := range r.Fields {
		if f := &r.Fields[i]; len(w.t.drop) == 0 || !w.t.drop[f.Name] {
			w.add(f.Name, f.Value)
		}
	}
}

// add appends a field under its new name.
func (w *worker) add(name string, v event.Value) {
	if len(w.t.opts.Rename) > 0 {
		if renamed, ok := w.t.opts.Rename[name]; ok {
			name = renamed
		}
		if shape.Find(w.fields, name) >= 0 {
			w.bad.Code, w.bad.Text = DuplicateField, fmt.Sprintf("two fields are called %q after renaming", name)
		}
	}
	w.fields = append(w.fields, event.Field{Name: name, Value: v})
}
