package shape

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/spec"
)

// CheckExpression reports whether source compiles; field names it as in the
// options.
func CheckExpression(field, source string) []spec.FieldError {
	if _, err := expr.Compile(source); err != nil {
		return []spec.FieldError{{Field: field, Message: err.Error()}}
	}
	return nil
}

// assignment sets one field.
type assignment struct {
	field string
	value *expr.Program
}

// compileSet compiles what `set:` says, in the order of field names.
func compileSet(set map[string]string) ([]assignment, error) {
	var out []assignment
	for _, name := range slices.Sorted(maps.Keys(set)) {
		p, err := expr.Compile(set[name])
		if err != nil {
			return nil, fmt.Errorf("set %q: %w", name, err)
		}
		out = append(out, assignment{name, p})
	}
	return out, nil
}

// eval computes every assignment before any of them takes effect.
func eval(set []assignment, e *event.Event, into []event.Value) ([]event.Value, error) {
	for i := range set {
		v, err := set[i].value.Eval(e)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", set[i].field, err)
		}
		into = append(into, v)
	}
	return into, nil
}
