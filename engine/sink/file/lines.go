package filesink

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
)

// getter computes one column's value.
type getter func(e *event.Event) (event.Value, error)

// compile returns the getter of a column. The whole record keeps its order of fields
// and the digits of its numbers.
func compile(c Column) (getter, error) {
	switch strings.TrimSpace(c.From) {
	case "":
		return func(e *event.Event) (event.Value, error) {
			v, _ := e.Record.Get(c.Name)
			return v, nil
		}, nil
	case "record":
		return func(e *event.Event) (event.Value, error) { return event.JSON(string(e.Record.AppendJSON(nil))), nil }, nil
	}
	program, err := expr.Compile(c.From)
	if err != nil {
		return nil, err
	}
	return program.Eval, nil
}

// column is a column ready to be read.
type column struct {
	Column
	get getter
}

// encoder turns events into lines. It is immutable and safe for concurrent use.
type encoder struct {
	columns  []column
	id       bool
	csv      bool
	comma    rune
	formulas string
}

func newEncoder(o *Options) (*encoder, error) {
	comma, _ := utf8.DecodeRuneInString(o.Delimiter)
	e := &encoder{id: o.withID(), csv: o.Format == CSV, comma: comma, formulas: o.Formulas}
	for _, c := range o.Columns {
		get, err := compile(c)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		e.columns = append(e.columns, column{c, get})
	}
	return e, nil
}

// header returns what every file begins with.
func (e *encoder) header() []byte {
	if !e.csv {
		return nil
	}
	var names []string
	if e.id {
		names = append(names, IDField)
	}
	for _, c := range e.columns {
		names = append(names, e.safe(c.Name))
	}
	return e.csvLine(nil, names)
}

// lines returns one line for each event, or an error that names all events that can
// have none.
func (e *encoder) lines(events []*event.Event) ([]byte, error) {
	var out []byte
	var rejects []node.EventReject
	values := make([]event.Value, len(e.columns))
	for i, ev := range events {
		reject := e.read(ev, values)
		if reject != nil {
			rejects = append(rejects, node.EventReject{Index: i, Reject: *reject})
			continue
		}
		out = e.line(out, ev, values)
	}
	if len(rejects) > 0 {
		return nil, &node.RejectedError{Rejects: rejects}
	}
	return out, nil
}

// read computes an event's values.
func (e *encoder) read(ev *event.Event, values []event.Value) *node.Reject {
	reject := func(code, format string, args ...any) *node.Reject {
		return &node.Reject{Record: -1, Code: code, Text: fmt.Sprintf(format, args...)}
	}
	if ev.Record == nil {
		return reject("no_record", "the event carries a payload that nobody has decoded")
	}
	if _, taken := ev.Record.Get(IDField); taken && e.id && len(e.columns) == 0 {
		return reject("reserved_name", "the record has a field %s of its own: list the columns, or set event_id: false", IDField)
	}
	for i, c := range e.columns {
		v, err := c.get(ev)
		if err != nil {
			return reject("bad_expression", "column %q: %v", c.Name, err)
		}
		if v.IsNull() && !c.nullable() {
			return reject("missing_value", "column %q has no value and is not nullable", c.Name)
		}
		values[i] = v
	}
	return nil
}

func (e *encoder) line(dst []byte, ev *event.Event, values []event.Value) []byte {
	if e.csv {
		return e.csvLine(dst, e.texts(ev, values))
	}
	record := &event.Record{}
	if e.id {
		record.Fields = append(record.Fields, event.Field{Name: IDField, Value: event.String(ev.ID.String())})
	}
	if len(e.columns) == 0 {
		record.Fields = append(record.Fields, ev.Record.Fields...)
	}
	for i, c := range e.columns {
		record.Fields = append(record.Fields, event.Field{Name: c.Name, Value: values[i]})
	}
	return append(record.AppendJSON(dst), '\n')
}

func (e *encoder) texts(ev *event.Event, values []event.Value) []string {
	texts := make([]string, 0, len(values)+1)
	if e.id {
		texts = append(texts, ev.ID.String())
	}
	for _, v := range values {
		text := v.Format()
		if v.Kind() == event.KindString || v.Kind() == event.KindJSON {
			text = e.safe(text)
		}
		texts = append(texts, text)
	}
	return texts
}

// safe keeps a spreadsheet from taking a text for a formula. A text that is a plain
// number is none.
func (e *encoder) safe(s string) string {
	if e.formulas == Keep || s == "" || !strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return s
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s
	}
	return "'" + s
}

// csvLine appends one line as RFC 4180 has it, ended by a line feed alone.
func (e *encoder) csvLine(dst []byte, texts []string) []byte {
	buf := bytes.NewBuffer(dst)
	w := csv.NewWriter(buf)
	w.Comma = e.comma
	_ = w.Write(texts) // a buffer takes everything, and Check has seen the comma
	w.Flush()
	return buf.Bytes()
}
