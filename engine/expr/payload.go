package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

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

	decoded bool
	doc     any
}

func newState(paths [][]string) *state {
	st := &state{env: map[string]any{}}
	st.env[payloadCall] = func() any { return numbers(st.document()) }
	st.env[pathCall] = func(i any) any { return numbers(lookup(st.document(), paths[i.(int)])) }
	return st
}

func (st *state) release() {
	st.ev, st.doc, st.decoded = nil, nil, false
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

// decodeRaw decodes one JSON value and keeps numbers as their text.
func decodeRaw(b []byte) (any, error) {
	if len(b) > maxPayload {
		return nil, fmt.Errorf("payload has %d bytes, expressions look into %d at most", len(b), maxPayload)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotJSON, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errNotJSON
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

// lookup walks members by name; what is not there is nil.
func lookup(doc any, path []string) any {
	for _, name := range path {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = m[name]
	}
	return doc
}

// payloadValue reads one member of a raw payload, numbers exactly as written.
func payloadValue(payload []byte, path []string) (event.Value, error) {
	doc, err := decodeRaw(payload)
	if err != nil {
		return event.Null, err
	}
	doc = lookup(doc, path)
	if n, ok := doc.(json.Number); ok {
		return number(string(n)), nil
	}
	return fromAny(doc)
}
