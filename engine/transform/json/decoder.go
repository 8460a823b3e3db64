package jsontransform

import (
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/transform/shape"
)

// manyFields is the number of fields from which names are looked up in a map
// instead of one after another.
const manyFields = 24

const notUTF8 = "is not valid UTF-8 or holds half a surrogate pair"

// decoder walks once over one payload and hands each record to its run. What
// breaks the grammar ends the walk (the payload is not trustworthy as a whole);
// what is wrong with one record is noted, and the walk goes on.
type decoder struct {
	scanner
	opts    *Options
	path    []string
	out     *shape.Run
	fields  []event.Field
	names   map[string]struct{} // only of records with many fields
	number  int                 // of the record at hand
	found   bool                // something was at the path
	problem node.Reject         // of the record at hand; Code "" if none
}

// run decodes text and returns what is wrong with it as a whole.
func (d *decoder) run(out *shape.Run, text string) *node.Reject {
	d.scanner = scanner{s: text, maxDepth: d.opts.MaxDepth}
	d.out, d.number, d.found = out, 0, false
	d.blanks()
	if d.descend(d.path) {
		d.blanks()
		if d.pos < len(d.s) {
			d.fail("text after the value")
		}
	}
	switch {
	case d.failed != nil:
	case d.badText:
		d.stop(BadText, "a text beside the records "+notUTF8)
	case !d.found:
		d.stop(NoPath, fmt.Sprintf("nothing at path %q", d.opts.Path))
	}
	return d.failed
}

// descend follows path into nested objects and decodes what is at its end.
func (d *decoder) descend(path []string) bool {
	if len(path) == 0 {
		return d.records()
	}
	if d.peek() != '{' {
		return d.skip()
	}
	seen := false
	return d.members(func(name string) bool {
		if name != path[0] {
			return d.skip()
		}
		if seen {
			return d.stop(DuplicateField, fmt.Sprintf("%q occurs twice on the way along path %q", name, d.opts.Path))
		}
		seen = true
		return d.descend(path[1:])
	})
}

func (d *decoder) records() bool {
	d.found = true
	if d.peek() != '[' {
		return d.element()
	}
	return d.elements(d.element)
}

// element decodes one record, whatever it is.
func (d *decoder) element() bool {
	if d.number >= d.opts.MaxRecords {
		return d.stop(TooManyRecords, fmt.Sprintf("more than %d records in one payload", d.opts.MaxRecords))
	}
	d.fields, d.problem = d.fields[:0], node.Reject{}
	clear(d.names)
	outside := d.badText
	d.badText = false
	if !d.body() {
		return false
	}
	if d.badText {
		d.note(BadText, "a text "+notUTF8)
	}
	if d.problem.Code != "" {
		d.problem.Record = d.number
		d.out.Reject(d.problem)
	} else {
		d.out.Record(d.number, d.number, d.fields)
	}
	d.badText = outside
	d.number++
	return true
}

func (d *decoder) body() bool {
	switch c := d.peek(); {
	case c == '{':
		return d.object("")
	case c == '[' || d.opts.Scalar == "":
		if !d.skip() {
			return false
		}
		d.note(NotAnObject, "found "+kindOf(c)+", want an object")
		return true
	default:
		v, ok := d.value()
		return ok && d.add(d.opts.Scalar, v)
	}
}

// object decodes a record, or with a prefix the fields of a flattened object.
func (d *decoder) object(prefix string) bool {
	return d.members(func(name string) bool {
		if prefix != "" {
			name = prefix + name
		}
		if d.opts.Flatten != "" && d.peek() == '{' {
			return d.object(name + d.opts.Flatten)
		}
		v, ok := d.value()
		return ok && d.add(name, v)
	})
}

func (d *decoder) add(name string, v event.Value) bool {
	switch {
	case len(d.fields) >= d.opts.MaxFields:
		d.note(TooManyFields, fmt.Sprintf("more than %d fields", d.opts.MaxFields))
	case d.has(name):
		d.note(DuplicateField, fmt.Sprintf("field %q occurs twice", name))
	default:
		d.fields = append(d.fields, event.Field{Name: name, Value: v})
	}
	return true
}

// has reports whether the record has a field called name, and remembers it once
// the record has many.
func (d *decoder) has(name string) bool {
	if len(d.fields) < manyFields {
		for i := range d.fields {
			if d.fields[i].Name == name {
				return true
			}
		}
		return false
	}
	if len(d.names) == 0 {
		d.names = make(map[string]struct{}, 2*manyFields)
		for i := range d.fields {
			d.names[d.fields[i].Name] = struct{}{}
		}
	}
	_, known := d.names[name]
	d.names[name] = struct{}{}
	return known
}

// note keeps the first problem of the record at hand.
func (d *decoder) note(code, text string) {
	if d.problem.Code == "" {
		d.problem = node.Reject{Code: code, Text: text}
	}
}

func kindOf(c byte) string {
	switch c {
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a bool"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
