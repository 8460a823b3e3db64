package spec

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/spec/nearest"
)

// Bounds on a file, which keep a hostile one from costing memory or time.
const (
	maxFileBytes = 1 << 20
	maxDepth     = 64
	maxValues    = 100_000 // aliases count each time they are used
)

// Codes of files that are not read to their end.
const (
	tooLarge = "too-large"
	tooDeep  = "too-deep"
)

// decoder walks a YAML tree into structs and notes every problem with its place.
// yaml.v3's own decoder stops being strict at the first conversion error and
// tells no columns.
type decoder struct {
	file   string
	lines  []string // of the source, for columns within a value
	diags  []Diagnostic
	values map[string]*yaml.Node // by path such as nodes[2].with.columns[0].name
	keys   map[string]*yaml.Node
	raw    map[string]*yaml.Node // values of type any, decoded later by their node's type
	filled map[*yaml.Node]string // scalars that hold a variable's value -> its reference
	failed map[string]bool       // paths with an error
	unset  map[*yaml.Node]bool   // scalars whose variables have no value
	hidden []string              // values of variables and their references, in turn
	count  int
}

func newDecoder(file string, data []byte) *decoder {
	return &decoder{
		file: file, lines: strings.Split(string(data), "\n"),
		values: map[string]*yaml.Node{}, keys: map[string]*yaml.Node{}, raw: map[string]*yaml.Node{},
		filled: map[*yaml.Node]string{}, failed: map[string]bool{}, unset: map[*yaml.Node]bool{},
	}
}

// problem notes an error at a YAML node.
func (d *decoder) problem(n *yaml.Node, code, hint, format string, args ...any) {
	d.add(Diagnostic{Severity: Error, Line: n.Line, Column: n.Column, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (d *decoder) add(diag Diagnostic) {
	diag.File = d.file
	d.diags = append(d.diags, diag)
}

// enter resolves an alias and refuses what is too deep or too much. nil means
// that the value must not be looked at.
func (d *decoder) enter(n *yaml.Node, depth int) *yaml.Node {
	if d.count++; d.count > maxValues {
		if d.count == maxValues+1 {
			d.problem(n, tooLarge, "", "the file has more than %d values, aliases counted each time they are used", maxValues)
		}
		return nil
	}
	for n.Kind == yaml.AliasNode {
		if depth++; depth > maxDepth {
			break
		}
		n = n.Alias
	}
	if depth > maxDepth {
		d.problem(n, tooDeep, "", "the file is nested deeper than %d levels", maxDepth)
		return nil
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// decode fills v from n. A null leaves v as it is.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string, depth int) {
	at := n
	if n = d.enter(n, depth); n == nil {
		return
	}
	d.values[path] = at
	if d.unset[n] {
		d.failed[path] = true
	}
	if d.unset[n] || isNull(n) {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	if d.custom(n, v, path) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path, depth)
	case reflect.Map:
		d.mapping(n, v, path, depth)
	case reflect.Slice:
		d.list(n, v, path, depth)
	case reflect.Interface:
		d.raw[path] = n
	default:
		d.scalar(n, v, path)
	}
}

// custom lets types that read themselves do so.
func (d *decoder) custom(n *yaml.Node, v reflect.Value, path string) bool {
	if !v.CanAddr() {
		return false
	}
	var err error
	switch u := v.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		err = u.UnmarshalYAML(n)
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode {
			d.wrongType(n, "a text", path)
			return true
		}
		err = u.UnmarshalText([]byte(n.Value))
	default:
		return false
	}
	if err != nil {
		d.failed[path] = true
		d.problem(n, "wrong-value", "", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return true
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	fields := fieldsOf(v.Type())
	present := map[string]bool{}
	d.pairs(n, path, "a mapping", func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i < 0 {
			present[d.unknownField(key, path, names(fields))] = true
			return
		}
		sub := join(path, key.Value)
		d.keys[sub] = key
		present[key.Value] = !isNull(value)
		target := v.FieldByIndex(fields[i].index)
		d.decode(value, target, sub, depth+1)
		if present[key.Value] && !d.failed[sub] {
			d.bounds(value, target, fields[i], sub)
		}
	})
	for _, f := range fields {
		if f.required && !present[f.name] && n.Kind == yaml.MappingNode {
			d.failed[join(path, f.name)] = true
			d.problem(d.start(n, path), "missing-field", "", "%smissing field %q", owner(path), f.name)
		}
	}
}

// start is where a diagnostic about a mapping as a whole points.
func (d *decoder) start(n *yaml.Node, path string) *yaml.Node {
	if key := d.keys[path]; key != nil {
		return key
	}
	return n
}

// owner names the place of a missing field where its position alone would not.
func owner(path string) string {
	if path == "" || strings.HasSuffix(path, "]") {
		return ""
	}
	return path[strings.LastIndexByte(path, '.')+1:] + ": "
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// unknownField returns the field that was probably meant, "" if none is near:
// nobody needs to hear that it is missing as well.
func (d *decoder) unknownField(key *yaml.Node, path string, known []string) string {
	near, hint := nearest.Of(key.Value, known), "known: "+strings.Join(known, ", ")
	if near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
		d.failed[join(path, near)] = true
	} else if len(known) == 0 {
		hint = "no fields are known here"
	}
	d.problem(key, "unknown-field", hint, "unknown field %q", key.Value)
	return near
}

// pairs calls each for the pairs of a mapping, those of merged mappings last and
// only where the mapping itself has no such key.
func (d *decoder) pairs(n *yaml.Node, path, want string, each func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, want, path)
		return
	}
	seen := map[string]*yaml.Node{}
	d.ownPairs(n, seen, each)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() == "!!merge" {
			d.merge(n.Content[i+1], seen, each, 0)
		}
	}
}

func (d *decoder) ownPairs(n *yaml.Node, seen map[string]*yaml.Node, each func(key, value *yaml.Node)) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch first := seen[key.Value]; {
		case key.ShortTag() == "!!merge":
		case key.Kind != yaml.ScalarNode:
			d.problem(key, "wrong-type", "", "want a name before the colon")
		case first != nil:
			d.problem(key, "duplicate-key", "", "field %q is already given in line %d", key.Value, first.Line)
		default:
			seen[key.Value] = key
			each(key, value)
		}
	}
}

func (d *decoder) merge(n *yaml.Node, seen map[string]*yaml.Node, each func(key, value *yaml.Node), depth int) {
	if n = d.enter(n, depth); n == nil {
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			d.merge(item, seen, each, depth+1)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.ShortTag() == "!!merge" {
				d.merge(n.Content[i+1], seen, each, depth+1)
			} else if seen[key.Value] == nil {
				seen[key.Value] = key
				each(key, n.Content[i+1])
			}
		}
	default:
		d.problem(n, "wrong-type", "", "<< merges mappings, this is %s", d.describe(n))
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.pairs(n, path, "a mapping", func(key, value *yaml.Node) {
		sub := join(path, key.Value)
		d.keys[sub] = key
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, item, sub, depth+1)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), item)
	})
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, "a list", path)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
}

func (d *decoder) wrongType(n *yaml.Node, want, path string) {
	d.failed[path] = true
	hint := ""
	if want == "a list" && n.Kind == yaml.ScalarNode && d.filled[n] == "" {
		hint = fmt.Sprintf("write [%s]", n.Value)
	}
	d.problem(n, "wrong-type", hint, "%swant %s, have %s", owner(path), want, d.describe(n))
}

// describe says what a value is. It never shows what a variable held, which may
// be a secret.
func (d *decoder) describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case d.filled[n] != "":
		return "the value of " + d.filled[n]
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	case "!!null":
		return "nothing"
	default:
		return "the text " + d.quoted(n)
	}
}

// quoted returns a text of the file for a message, or what it was filled from.
func (d *decoder) quoted(n *yaml.Node) string {
	if d.filled[n] != "" {
		return "the value of " + d.filled[n]
	}
	return strconv.Quote(shortened(n.Value))
}

func shortened(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}
