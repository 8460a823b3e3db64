package csvtransform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/text/encoding"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/transform/eventtime"
	"github.com/millrace/millrace/engine/transform/shape"
)

// Codes of rejects. A row with several bad cells bears the first one's code and
// names them all.
const (
	NoPayload      = "no_payload"       // the event carries a record, or nothing: whole event
	TooLarge       = "too_large"        // payload over max_bytes: whole event
	BadEncoding    = "bad_encoding"     // the payload cannot be decoded at all: whole event
	BadHeader      = "bad_header"       // a needed column is missing or one occurs twice: whole event
	TooManyRecords = "too_many_records" // over max_records: whole event
	TooManyColumns = "too_many_columns" // over max_columns
	BadWidth       = "bad_width"        // more or fewer cells than columns
	BadQuote       = "bad_quote"        // quotes that do not match
	BadText        = "bad_text"         // bytes that do not exist in the encoding
	BadNumber      = "bad_number"
	BadBool        = "bad_bool"
	BadTime        = shape.BadTime
	MissingValue   = "missing_value" // no value in a required column
	RepeatedRow    = "repeated_row"  // with repeats: reject
)

// ctxEvery is how many events pass between two looks at the context.
const ctxEvery = 64

// Transform decodes delimited text. It keeps no state between calls but the
// layout of the last header, which only saves time.
type Transform struct {
	node     string
	opts     Options
	dialect  dialect
	cells    cells
	encoding encoding.Encoding
	shape    *shape.Shape
	fixed    *layout // of `columns`; nil if headers name them
	last     atomic.Pointer[namedLayout]
}

// namedLayout is the layout that a header's text gave.
type namedLayout struct {
	header string
	*layout
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
		return nil, fmt.Errorf("csv options: %w", err)
	}
	t := &Transform{node: nodeID, opts: opts.withDefaults()}
	return t, t.build()
}

func (t *Transform) build() (err error) {
	o := &t.opts
	clock, err := eventtime.New(o.TimeFormats, o.Zone)
	if err != nil {
		return err
	}
	if t.encoding, err = newEncoding(o.Encoding); err != nil {
		return err
	}
	t.cells = cells{nulls: o.Nulls, trim: o.Trim, comma: o.Decimal == "comma", thousands: o.Thousands, clock: clock}
	t.dialect = dialect{comment: o.Comment, trim: o.Trim, limit: o.MaxColumns, replaced: t.encoding != nil}
	t.dialect.delimiter, _ = character(o.Delimiter, "tab", '\t') // checked before
	t.dialect.quote, _ = character(o.Quote, "none", 0)
	if len(o.Columns) > 0 {
		if t.fixed, err = newLayout(o, headerNames(o.Columns, o.RowName)); err != nil {
			return err
		}
	}
	t.shape, err = shape.New(o.shape())
	return err
}

// Close does nothing: the transform holds no resources.
func (t *Transform) Close() error { return nil }

// Process decodes every event of in; see [node.Transform].
func (t *Transform) Process(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	d := decoder{t: t, out: t.shape.Run(t.node)}
	for i, e := range in.Events {
		if i%ctxEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		results[i] = t.event(&d, e, len(in.Events)-i-1)
	}
	return results, ctx.Err()
}

func (t *Transform) event(d *decoder, in *event.Event, left int) node.Result {
	switch {
	case in.Record != nil:
		return shape.Refuse(NoPayload, "the event carries a record already, not a payload")
	case len(in.Payload) == 0:
		return shape.Refuse(NoPayload, "the payload is empty")
	case int64(len(in.Payload)) > int64(t.opts.MaxBytes):
		return shape.Refuse(TooLarge, fmt.Sprintf("the payload has %d bytes, the limit is %d", len(in.Payload), t.opts.MaxBytes))
	}
	text, err := utf8Of(in.Payload, t.encoding)
	if err != nil {
		return shape.Refuse(BadEncoding, err.Error())
	}
	d.out.Start(in)
	if bad := d.run(text); bad != nil {
		return shape.Refuse(bad.Code, bad.Text)
	}
	return d.out.Finish(left)
}

// layoutOf returns the layout that header gives; cells are its names. Payloads
// of one source bear the same header, so the last one is kept.
func (t *Transform) layoutOf(header string, cells []string) (*layout, error) {
	if t.fixed != nil {
		return t.fixed, nil
	}
	if last := t.last.Load(); last != nil && last.header == header {
		return last.layout, nil
	}
	names := headerNames(cells, t.opts.RowName)
	l, err := newLayout(&t.opts, names)
	if err != nil {
		return nil, err
	}
	t.last.Store(&namedLayout{string(slices.Clone([]byte(header))), l})
	return l, nil
}
