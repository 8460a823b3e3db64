// Package exprtransform is the built-in transform `expr`: it filters records,
// checks them and computes fields by expressions. Several expr nodes with
// different filters on one input route records. It sees one record at a time
// and keeps no state.
package exprtransform

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/transform/shape"
)

// Codes of rejects.
const (
	NoRecord      = "no_record"   // the event carries a payload, not a record
	Requirement   = "requirement" // `require` is false
	BadExpression = shape.BadExpression
	BadTime       = shape.BadTime
)

// ctxEvery is how many events pass between two looks at the context.
const ctxEvery = 256

// Options are the `with:` of an expr node, applied in this order.
type Options struct {
	// Filter drops, on purpose, the events for which it is false or null.
	Filter string `yaml:"filter,omitempty" jsonschema:"description=condition: events for which it is false are dropped"`
	// Require rejects the events for which it is false or null: they become dead
	// letters.
	Require string `yaml:"require,omitempty" jsonschema:"description=condition: events for which it is false become dead letters"`
	// Set sets fields; every expression sees the record as it came in.
	Set map[string]string `yaml:"set,omitempty" jsonschema:"description=field and the expression that gives its value"`
	// Time names the field with the event time, which Set may have made.
	Time string `yaml:"time,omitempty" jsonschema:"description=field that holds the event time"`
	// TimeFormats are tried in order: auto (default), rfc3339, epoch, epoch_s,
	// epoch_ms, epoch_us, epoch_ns or strftime.
	TimeFormats []string `yaml:"time_formats,omitempty" jsonschema:"description=how the event time is written"`
	// Zone is the IANA zone of times without one, default UTC.
	Zone string `yaml:"zone,omitempty" jsonschema:"description=zone of times that carry none"`
	// Drop removes fields at the end.
	Drop []string `yaml:"drop,omitempty" jsonschema:"description=fields to remove at the end"`
}

// Type describes the transform to the pipeline reader.
var Type = spec.NodeType{
	Kind:      spec.Transform,
	Name:      "expr",
	Doc:       "Filters records, checks them and computes fields by expressions.",
	NewConfig: func() any { return new(Options) },
	Reads:     spec.Record,
	Writes:    spec.Record,
}

// Check reports every problem of the options.
func (o *Options) Check() []spec.FieldError {
	errs := o.shape().Check()
	for _, c := range []struct{ field, source string }{{"filter", o.Filter}, {"require", o.Require}} {
		if c.source != "" {
			errs = append(errs, shape.CheckExpression(c.field, c.source)...)
		}
	}
	if o.Filter == "" && o.Require == "" && len(o.Set) == 0 && o.Time == "" && len(o.Drop) == 0 {
		errs = append(errs, spec.FieldError{Message: "the node does nothing", Hint: "give filter, require, set, time or drop"})
	}
	return errs
}

func (o *Options) shape() shape.Config {
	return shape.Config{Set: o.Set, Time: o.Time, TimeFormats: o.TimeFormats, Zone: o.Zone}
}

// Transform filters and computes. It keeps no state.
type Transform struct {
	node            string
	filter, require *expr.Program // nil: none
	shape           *shape.Shape
	source          string // of require, for its rejects
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
		return nil, fmt.Errorf("expr options: %w", err)
	}
	s, err := shape.New(opts.shape())
	if err != nil {
		return nil, fmt.Errorf("expr options: %w", err)
	}
	s.Drop(opts.Drop)
	t := &Transform{node: nodeID, shape: s, source: opts.Require}
	if t.filter, err = compile(opts.Filter); err != nil {
		return nil, err
	}
	t.require, err = compile(opts.Require)
	return t, err
}

func compile(source string) (*expr.Program, error) {
	if source == "" {
		return nil, nil
	}
	return expr.Compile(source)
}

// Close does nothing: the transform holds no resources.
func (t *Transform) Close() error { return nil }

// Process filters and computes every event of in; see [node.Transform].
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
}

func (w *worker) event(in *event.Event, left int) node.Result {
	if in.Record == nil {
		return shape.Refuse(NoRecord, "the event carries a payload; decode it first, with json or csv")
	}
	if keep, err := holds(w.t.filter, in); err != nil {
		return shape.Refuse(BadExpression, "filter: "+err.Error())
	} else if !keep {
		return node.Result{}
	}
	if good, err := holds(w.t.require, in); err != nil {
		return shape.Refuse(BadExpression, "require: "+err.Error())
	} else if !good {
		return shape.Refuse(Requirement, "not true: "+w.t.source)
	}
	w.fields = append(w.fields[:0], in.Record.Fields...)
	w.out.Start(in)
	w.out.Record(-1, 0, w.fields)
	return w.out.Finish(left)
}

func holds(p *expr.Program, e *event.Event) (bool, error) {
	if p == nil {
		return true, nil
	}
	return p.EvalBool(e)
}
