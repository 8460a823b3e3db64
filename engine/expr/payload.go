package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/expr-lang/expr/vm"

	"github.com/millrace/millrace/engine/event"
)

// Names of the functions that programs call to reach the payload. No
// expression can spell them.
const (
	payloadCall = "payload ()"
	pathCall    = "payload path ()"
)

// maxPayload bounds the payload that an expression decodes; larger ones are an
// error of the expression.
const maxPayload = 16 << 20

var errNotJSON = errors.New("payload is not one JSON value")

// state is what one evaluation needs; it is reused through the program's pool.
type state struct {
	vm  vm.VM
	env map[string]any
	ev  *event.Event

	checked bool // the payload is valid JSON
	decoded bool
	doc     any
}

func newState(paths [][]string) *state {
	st := &state{env: map[string]any{}}
	st.env[payloadCall] = func() any { return numbers(st.document()) }
	st.env[pathCall] = func(i any) any { return st.member(paths[i.(int)]) }
	return st
}

func (st *state) release() {
	st.ev, st.doc, st.decoded, st.checked = nil, nil, false, false
}

// member looks a payload's member up without decoding the rest. Its panic ends
// the VM's run as an error.
func (st *state) member(path []string) any {
	if !st.checked {
		if err := checkJSON(st.ev.Payload); err != nil {
			panic(err)
		}
		st.checked = true
	}
	v, err := valueOf(find(st.ev.Payload, path))
	if err != nil {
		panic(err)
	}
	return toAny(v)
}

// document decodes the payload once per evaluation. Its panic ends the VM's run
// as an error.
func (st *state) document() any {
	if !st.decoded {
		doc, err := decodeRaw(st.ev.Payload)
		if err != nil {
			panic(err)
		}
		st.doc, st.decoded = doc, true
	}
	return st.doc
}

func decodeJSON(b []byte) (any, error) {
	doc, err := decodeRaw(b)
	return numbers(doc), err
}

// checkJSON reports whether b is one JSON value of bearable size.
func checkJSON(b []byte) error {
	switch {
	case len(b) > maxPayload:
		return fmt.Errorf("payload has %d bytes, expressions look into %d at most", len(b), maxPayload)
	case !json.Valid(b):
		return errNotJSON
	}
	return nil
}

// decodeRaw decodes one JSON value and keeps numbers as their text.
func decodeRaw(b []byte) (any, error) {
	if err := checkJSON(b); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotJSON, err)
	}
	return doc, nil
}

// numbers turns the number texts within doc into what calculations take.
func numbers(doc any) any {
	switch x := doc.(type) {
	case json.Number:
		return toAny(number(string(x)))
	case map[string]any:
		for k, v := range x {
			x[k] = numbers(v)
		}
	case []any:
		for i, v := range x {
			x[i] = numbers(v)
		}
	}
	return doc
}

// payloadValue reads one member of a raw payload, numbers exactly as written.
func payloadValue(payload []byte, path []string) (event.Value, error) {
	if err := checkJSON(payload); err != nil {
		return event.Null, err
	}
	return valueOf(find(payload, path))
}
