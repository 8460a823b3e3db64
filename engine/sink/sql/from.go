package sqlsink

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
)

// getter reads one column's value from an event. hint is the place of the record
// field in the previous event: records of one stream mostly share their layout.
type getter func(e *event.Event, hint *int) (event.Value, error)

// wholeRecord keeps the record's order of fields and the digits of its numbers.
func wholeRecord(e *event.Event) event.Value {
	if e.Record == nil {
		return event.Null
	}
	return event.JSON(string(e.Record.AppendJSON(nil)))
}

// compileFrom returns the getter of a column's `from:`. Record fields are read
// straight from the event; everything else is an expression.
func compileFrom(c Column) (getter, error) {
	from := strings.TrimSpace(c.From)
	if from == "" {
		return fieldGetter(c.Name), nil
	}
	if from == "record" {
		return func(e *event.Event, _ *int) (event.Value, error) { return wholeRecord(e), nil }, nil
	}
	field := strings.TrimPrefix(from, "record.")
	if isName(field) && (field != from || !slices.Contains(expr.Variables(), from)) {
		return fieldGetter(field), nil
	}
	program, err := expr.Compile(from)
	if err != nil {
		return nil, err
	}
	return func(e *event.Event, _ *int) (event.Value, error) { return program.Eval(e) }, nil
}

func fieldGetter(name string) getter {
	return func(e *event.Event, hint *int) (event.Value, error) {
		if e.Record == nil {
			return event.Null, nil
		}
		fields := e.Record.Fields
		if i := *hint; i < len(fields) && fields[i].Name == name {
			return fields[i].Value, nil
		}
		for i := range fields {
			if fields[i].Name == name {
				*hint = i
				return fields[i].Value, nil
			}
		}
		return event.Null, nil
	}
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && s != "true" && s != "false" && s != "nil"
}
