package csvtransform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/transform/shape"
)

// decoder is the working memory of one Process call.
type decoder struct {
	t      *Transform
	out    *shape.Run
	rows   rows
	layout *layout
	header []string // cells of the payload's header row
	number int      // of the row at hand, header and skipped lines not counted
	seen   map[string]struct{}

	fields  []event.Field
	record  []event.Field // melt: one cell's
	problem node.Reject   // of the row at hand; Code "" if none
}

// run decodes text and returns what is wrong with it as a whole.
func (d *decoder) run(text string) *node.Reject {
	d.rows = newRows(text, d.t.dialect, d.rows.cells)
	d.number, d.layout = 0, d.t.fixed
	clear(d.seen)
	if bad := d.readHeader(); bad != nil {
		return bad
	}
	for d.rows.next() {
		if d.t.opts.Header && slices.Equal(d.rows.cells, d.header) {
			continue
		}
		if d.number >= d.t.opts.MaxRecords {
			return &node.Reject{Code: TooManyRecords, Text: fmt.Sprintf("more than %d rows in one payload", d.t.opts.MaxRecords)}
		}
		d.row()
		d.number++
	}
	return nil
}

func (d *decoder) readHeader() *node.Reject {
	if !d.t.opts.Header || !d.rows.next() {
		return nil
	}
	if d.rows.code != "" {
		return &node.Reject{Code: BadHeader, Text: d.rows.problem}
	}
	d.header = append(d.header[:0], d.rows.cells...)
	l, err := d.t.layoutOf(d.rows.raw(), d.header)
	if err != nil {
		return &node.Reject{Code: BadHeader, Text: err.Error()}
	}
	d.layout = l
	return nil
}

func (d *decoder) row() {
	d.problem = node.Reject{Record: d.number}
	if d.usable() {
		d.convert()
	}
	if d.problem.Code != "" {
		d.out.Reject(d.problem)
	}
}

// usable reports whether the row has the shape of its layout.
func (d *decoder) usable() bool {
	have, want := len(d.rows.cells), len(d.layout.columns)
	pad := d.t.opts.Ragged == "pad"
	switch {
	case d.rows.code != "":
		d.note(d.rows.code, d.rows.problem)
	case have > want || have < want && !pad:
		d.note(BadWidth, fmt.Sprintf("the row has %d cells, want %d", have, want))
	case d.t.opts.Repeats == "reject" && d.repeated():
		d.note(RepeatedRow, "the row equals an earlier one of this payload")
	default:
		return true
	}
	return false
}

func (d *decoder) repeated() bool {
	if d.seen == nil {
		d.seen = map[string]struct{}{}
	}
	raw := d.rows.raw()
	_, known := d.seen[raw]
	d.seen[raw] = struct{}{}
	return known
}

// convert turns the row into one record, or into one per measured cell. A bad
// cell spoils its row; a bad measured cell spoils only itself.
func (d *decoder) convert() {
	d.fields = d.fields[:0]
	for i := range d.layout.columns {
		c := &d.layout.columns[i]
		if c.role != plain {
			continue
		}
		if v, ok := d.cell(c, i); ok {
			d.fields = append(d.fields, event.Field{Name: c.name, Value: v})
		}
	}
	if len(d.layout.joined) > 0 {
		d.fields = append(d.fields, event.Field{Name: d.t.opts.Time, Value: event.String(d.joinTime())})
	}
	switch {
	case d.problem.Code != "":
	case d.layout.melts:
		d.melt()
	default:
		d.out.Record(d.number, d.number, d.fields)
	}
}

func (d *decoder) melt() {
	m := d.t.opts.Melt
	for i := range d.layout.columns {
		c := &d.layout.columns[i]
		if c.role != measured {
			continue
		}
		v, ok := d.cell(c, i)
		if !ok || v.IsNull() {
			continue
		}
		d.record = append(d.record[:0], d.fields...)
		d.record = append(d.record, event.Field{Name: m.Metric, Value: event.String(c.metric)}, event.Field{Name: m.Value, Value: v})
		if c.unit != "" {
			d.record = append(d.record, event.Field{Name: m.Unit, Value: event.String(c.unit)})
		}
		d.out.Record(d.number, d.number<<16|i, d.record)
	}
}

// cell converts column i of the row and reports whether it is good. A cell that a
// short row lacks is null.
func (d *decoder) cell(c *column, i int) (event.Value, bool) {
	var v event.Value
	if i < len(d.rows.cells) {
		var bad *bad
		if v, bad = d.t.cells.value(c.kind, d.rows.cells[i]); bad != nil {
			d.note(bad.code, bad.describe(c.name, d.rows.cells[i]))
			return event.Null, false
		}
	}
	if c.required && v.IsNull() {
		d.note(MissingValue, fmt.Sprintf("column %q: no value", c.name))
		return event.Null, false
	}
	return v, true
}

func (d *decoder) joinTime() string {
	var b strings.Builder
	for n, i := range d.layout.joined {
		if i >= len(d.rows.cells) {
			break
		}
		if n > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.TrimSpace(d.rows.cells[i]))
	}
	return b.String()
}

// note adds a problem to the row at hand.
func (d *decoder) note(code, text string) {
	if d.problem.Code == "" {
		d.problem.Code, d.problem.Text = code, text
		return
	}
	d.problem.Text = shape.Join(d.problem.Text, text)
}
