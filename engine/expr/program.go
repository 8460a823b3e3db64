// Package expr compiles and evaluates the expressions of a pipeline file:
// identities, keys, filters, computed fields and columns. It is the only package
// that knows expr-lang. An expression sees one event and nothing else: no clock,
// no other event, no state, so that a replay computes the same again.
package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr/vm"

	"github.com/millrace/millrace/engine/event"
)

// maxSource bounds an expression's text in bytes.
const maxSource = 16 << 10

// Program is a compiled expression. It is immutable; any number of goroutines
// may evaluate it at once.
type Program struct {
	src   string
	fast  reader // whole expression is one lookup: no VM needed
	code  *vm.Program
	path  []string // whole expression is one member of the payload
	slots []boundSlot
	paths [][]string
	uses  uses
	pool  sync.Pool // of *state
}

// uses is what an expression looks at.
type uses struct {
	fields   []string // record fields by name, sorted
	record   bool     // the record, as a whole or by field
	payload  bool
	constant bool
}

// boundSlot is a slot with its key spelt out once.
type boundSlot struct {
	key string
	get func(ev *event.Event) any
}

// Compile reads an expression. A bare name that is no variable means the
// record's field of that name. Errors are [*Error] with the column.
func Compile(src string) (*Program, error) { return compile(src, false) }

// String returns the expression's text.
func (p *Program) String() string { return p.src }

// Constant reports whether the expression looks at nothing of the event, so that
// its value is always the same.
func (p *Program) Constant() bool { return p.uses.constant }

// NeedsRecord reports whether the expression looks at record fields.
func (p *Program) NeedsRecord() bool { return p.uses.record }

// NeedsPayload reports whether the expression looks into the raw payload.
func (p *Program) NeedsPayload() bool { return p.uses.payload }

// Fields returns the names of the record fields that the expression looks at,
// sorted; fields reached through a computed name are not among them.
func (p *Program) Fields() []string { return slices.Clone(p.uses.fields) }

// Eval computes the expression's value for ev. A missing field, header or
// payload member is null. Decimals take part in calculations as float64, handed
// through alone they keep their digits. Lists and objects come back as JSON text,
// durations as whole milliseconds; NaN and infinities are errors.
func (p *Program) Eval(ev *event.Event) (event.Value, error) {
	if p.fast != nil {
		return p.fast(ev), nil
	}
	v, err := p.compute(ev)
	if err != nil {
		return event.Null, fmt.Errorf("expression %q: %w", p.src, err)
	}
	return v, nil
}

func (p *Program) compute(ev *event.Event) (event.Value, error) {
	if p.path != nil {
		return payloadValue(ev.Payload, p.path)
	}
	out, err := p.run(ev)
	if err != nil {
		return event.Null, err
	}
	return fromAny(out)
}

// EvalBool computes a condition: null counts as false, anything else that is not
// a bool is an error.
func (p *Program) EvalBool(ev *event.Event) (bool, error) {
	out, err := p.condition(ev)
	if err != nil {
		return false, fmt.Errorf("expression %q: %w", p.src, err)
	}
	switch b := out.(type) {
	case bool:
		return b, nil
	case nil:
		return false, nil
	default:
		return false, fmt.Errorf("expression %q: want a bool, have %T", p.src, out)
	}
}

func (p *Program) condition(ev *event.Event) (any, error) {
	if p.fast != nil {
		return p.fast(ev).Any(), nil
	}
	return p.run(ev)
}

// EvalString computes a text: a string as it is, null as "", other kinds in
// their readable form (see [event.Value.Format]).
func (p *Program) EvalString(ev *event.Event) (string, error) {
	v, err := p.Eval(ev)
	if err != nil {
		return "", err
	}
	return v.Format(), nil
}

func (p *Program) run(ev *event.Event) (any, error) {
	st, _ := p.pool.Get().(*state)
	if st == nil {
		st = newState(p.paths)
	}
	st.ev = ev
	for i := range p.slots {
		st.env[p.slots[i].key] = p.slots[i].get(ev)
	}
	out, err := st.vm.Run(p.code, st.env)
	st.release()
	p.pool.Put(st)
	if err != nil {
		return nil, oneLine(err)
	}
	return out, nil
}

// Error says what is wrong with an expression's text.
type Error struct {
	Line    int // from 1
	Column  int // in characters, from 1
	Message string
	Hint    string // how to mend it; may be ""
}

func (e *Error) Error() string {
	return fmt.Sprintf("column %d: %s", e.Column, e.Message)
}

// runtimeError is the first line of an expr-lang error, which else carries the
// source text over several lines.
type runtimeError struct {
	msg string
	err error
}

func (e *runtimeError) Error() string { return e.msg }
func (e *runtimeError) Unwrap() error { return e.err }

func oneLine(err error) error {
	msg, _, more := strings.Cut(err.Error(), "\n")
	if !more {
		return err
	}
	return &runtimeError{msg, errors.Unwrap(err)}
}
