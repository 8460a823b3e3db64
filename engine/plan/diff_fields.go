package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/spec"
)

// settings refuses what is decided when the engine starts.
func (c *comparison) settings() {
	a, b := c.before.file, c.after.file
	if a.Name != b.Name {
		c.refuse("name: %s becomes %s: another name is another pipeline; stop this engine and run the other file", a.Name, b.Name)
	}
	if a.Lanes != b.Lanes {
		c.refuse("lanes: %d becomes %d: lanes are fixed once the streams exist; drain the pipeline, stop the engine, and begin with new streams under another name", a.Lanes, b.Lanes)
	}
	const restart = "stop the engine and run it with the changed file"
	if a.Durability != b.Durability {
		c.refuse("durability: %s becomes %s: it is proved at the start; %s", a.Durability, b.Durability, restart)
	}
	if a.Plugins != b.Plugins {
		c.refuse("plugins: the folder is opened at the start; %s", restart)
	}
	was, is := a.Log, b.Log
	was.Compression, is.Compression = "", ""
	was.Connection, is.Connection = "", ""
	for _, name := range fieldsThatDiffer(was, is) {
		c.refuse("log.%s: the log is opened at the start; %s", name, restart)
	}
	if a.LogAddress() != b.LogAddress() {
		c.refuse("log: another Redis is another log; drain the pipeline, and %s", restart)
	}
	if !slices.Equal(embedded(a), embedded(b)) || allEmbedded(a) != allEmbedded(b) {
		c.refuse("connections: what is embedded and what is on real servers is decided at the start; %s", restart)
	}
}

// embedded names the connections to stand-ins within the process, sorted.
func embedded(p *spec.Pipeline) (names []string) {
	for name, c := range p.Connections {
		if c.Embedded() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func allEmbedded(p *spec.Pipeline) bool { return len(embedded(p)) == len(p.Connections) }

// differences names what a node says otherwise than before, without values: they
// may be long.
func (c *comparison) differences(was, is *spec.Node) []string {
	a, b := *was, *is
	var list []string
	note := func(what, from, to string) {
		if from != to {
			list = append(list, fmt.Sprintf("%s %s -> %s", what, orNone(from), orNone(to)))
		}
	}
	note(string(b.Kind()), a.TypeName(), b.TypeName())
	note("inputs", bracketed(a.Inputs), bracketed(b.Inputs))
	note("key", a.Key, b.Key)
	list = append(list, withThatDiffers(a.With, b.With)...)
	for _, n := range []*spec.Node{&a, &b} { // told above, or of no account
		n.Source, n.Transform, n.Plugin, n.Sink, n.Inputs, n.Key, n.With = "", "", "", "", nil, "", nil
		n.Type, n.Line, n.Column, n.Start = nil, 0, 0, ""
	}
	list = append(list, fieldsThatDiffer(a, b)...)
	if name := connectionOf(is.With); name != "" && name == connectionOf(was.With) &&
		!reflect.DeepEqual(c.before.file.Connections[name], c.after.file.Connections[name]) {
		list = append(list, "connection "+name)
	}
	return list
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func bracketed(names []string) string { return "[" + joined(names) + "]" }

// fieldsThatDiffer names the fields of two structs of one type by their names in
// the file.
func fieldsThatDiffer(a, b any) (names []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		f := x.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()):
		case f.Anonymous || name == "":
			names = append(names, f.Name)
		default:
			names = append(names, name)
		}
	}
	return names
}

// withThatDiffers names the options that differ: a type's own, or a plugin's.
func withThatDiffers(a, b any) (names []string) {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Kind() == reflect.Pointer && y.Kind() == reflect.Pointer && x.Type() == y.Type() && x.Elem().Kind() == reflect.Struct {
		names = fieldsThatDiffer(x.Elem().Interface(), y.Elem().Interface())
	}
	if v, ok := a.(map[string]any); ok || a == nil {
		w, ok := b.(map[string]any)
		if ok || b == nil {
			names = keysThatDiffer(v, w)
		}
	}
	if len(names) == 0 {
		return []string{"with"}
	}
	for i := range names {
		names[i] = "with." + names[i]
	}
	return names
}

func keysThatDiffer(a, b map[string]any) (names []string) {
	keys := maps.Clone(a)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, b)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !reflect.DeepEqual(a[key], b[key]) {
			names = append(names, key)
		}
	}
	return names
}

// connectionOf returns the connection that the options name, "" if they name none.
func connectionOf(with any) string {
	v := reflect.Indirect(reflect.ValueOf(with))
	if v.Kind() != reflect.Struct {
		return ""
	}
	if f := v.FieldByName("Connection"); f.IsValid() && f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}
