package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/millrace/millrace/engine/event"
)

// deepest is how deep content may be nested; what is deeper is withheld.
const deepest = 200

var errTooDeep = errors.New("nested too deep")

// walk rewrites the content of one event.
type walk struct {
	rules  *Rules
	hidden *Hidden
	path   []string // of the value that is looked at
	depth  int
}

// within calls do with name at the end of the path. A name with dots counts as several.
func (w *walk) within(name string, do func() error) error {
	at := len(w.path)
	w.path = append(w.path, strings.Split(name, ".")...)
	defer func() { w.path = w.path[:at] }()
	return do()
}

// field returns the value of a record's field or a header as it may be shown.
func (w *walk) field(name string, v event.Value) (shown event.Value) {
	_ = w.within(name, func() error { // nothing of it fails
		shown = w.value(v)
		return nil
	})
	return shown
}

func (w *walk) value(v event.Value) event.Value {
	if w.rules.hides(w.path) {
		w.hideValue(v)
		return event.String(Marker)
	}
	switch v.Kind() {
	case event.KindJSON:
		text, err := w.document([]byte(v.Text()))
		if err != nil {
			return event.String(w.withhold())
		}
		return event.JSON(string(text))
	case event.KindBytes:
		return event.String(w.withhold())
	case event.KindString:
		return event.String(w.text(v.Text()))
	}
	return v
}

// hideValue remembers what v holds.
func (w *walk) hideValue(v event.Value) {
	if v.Kind() != event.KindJSON {
		w.hide(v.Format())
		return
	}
	_ = w.gather(json.NewDecoder(strings.NewReader(v.Text()))) // as far as it can be read
}

func (w *walk) hide(text string) {
	if text != "" {
		w.hidden.values = append(w.hidden.values, text)
	}
}

func (w *walk) withhold() string {
	w.hidden.Withheld = true
	return Withheld
}

func (w *walk) payload(b []byte) []byte {
	text, err := w.document(b)
	if err != nil {
		return []byte(w.withhold())
	}
	return text
}

// text returns a text as it may be shown: an object within it, or a list of objects,
// is looked into, and withheld if it is cut off.
func (w *walk) text(s string) string {
	if begin := strings.TrimLeft(s, " \t\r\n"); !strings.HasPrefix(begin, "{") && !strings.HasPrefix(begin, "[{") {
		return s
	}
	known := len(w.hidden.values)
	inner, err := w.document([]byte(s))
	switch {
	case err != nil:
		return w.withhold()
	case len(w.hidden.values) == known:
		return s
	}
	return string(inner)
}

var errNoContent = errors.New("neither an object nor a list")

// document rewrites one JSON object or list. Its names keep their order, its numbers
// their digits.
func (w *walk) document(b []byte) ([]byte, error) {
	if first := bytes.TrimLeft(b, " \t\r\n"); len(first) == 0 || first[0] != '{' && first[0] != '[' {
		return nil, errNoContent
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var out bytes.Buffer
	if err := w.rewrite(dec, &out); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more than one value")
	}
	return out.Bytes(), nil
}

// rewrite copies the next value.
func (w *walk) rewrite(dec *json.Decoder, out *bytes.Buffer) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if open, ok := token.(json.Delim); ok {
		if w.depth++; w.depth > deepest {
			return errTooDeep
		}
		defer func() { w.depth-- }()
		return w.members(dec, out, open == '{')
	}
	if s, ok := token.(string); ok {
		token = w.text(s)
	}
	return write(out, token)
}

// members copies what is in an object or a list, and its end.
func (w *walk) members(dec *json.Decoder, out *bytes.Buffer, named bool) error {
	begin, end := byte('['), byte(']')
	if named {
		begin, end = '{', '}'
	}
	out.WriteByte(begin)
	for i := 0; dec.More(); i++ {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := w.member(dec, out, named); err != nil {
			return err
		}
	}
	out.WriteByte(end)
	_, err := dec.Token()
	return err
}

// member copies one element, or one name and its value.
func (w *walk) member(dec *json.Decoder, out *bytes.Buffer, named bool) error {
	if !named {
		return w.rewrite(dec, out)
	}
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if err := write(out, token); err != nil {
		return err
	}
	out.WriteByte(':')
	return w.within(token.(string), func() error { // the decoder lets nothing else be a name
		if !w.rules.hides(w.path) {
			return w.rewrite(dec, out)
		}
		if err := w.gather(dec); err != nil {
			return err
		}
		return write(out, Marker)
	})
}

// gather passes over the next value and remembers the texts and numbers in it.
func (w *walk) gather(dec *json.Decoder) error {
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return err
	}
	w.hideAll(v)
	return nil
}

func (w *walk) hideAll(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			w.hideAll(member)
		}
	case []any:
		for _, element := range v {
			w.hideAll(element)
		}
	case string:
		w.hide(v)
	case json.Number:
		w.hide(v.String())
	}
}

// write adds a scalar or a name as JSON.
func write(out *bytes.Buffer, token any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(token); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the line's end
	return nil
}
