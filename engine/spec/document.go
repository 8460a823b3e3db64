package spec

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/engine/spec/nearest"
)

// Document is a file of another kind than a pipeline while it is checked: its
// values have been decoded, and every problem is noted at its place. Paths are
// those of the file, such as nodes[2].host.
type Document struct{ c *checker }

// ReadFile reads the file at path into the struct that into points to; see [Read].
func ReadFile(path string, into any, env func(string) (string, bool), check func(*Document)) []Diagnostic {
	data, err := readFile(path)
	if err != nil {
		return []Diagnostic{{Severity: Error, File: path, Code: Unreadable, Message: reason(err)}}
	}
	return Read(path, data, into, env, check)
}

// Read decodes a YAML file named name into the struct that into points to, as
// strictly as [Parse] does: yaml and jsonschema tags name the fields and bound
// them, ${VAR:default} takes a value from env. Then check looks at the values and
// notes what is wrong with them. Every problem is reported at once, in the order
// of their places.
func Read(name string, data []byte, into any, env func(string) (string, bool), check func(*Document)) []Diagnostic {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	d := newDecoder(name, data)
	if root := d.tree(data); root != nil {
		d.substitute(root, env)
		d.decode(root, reflect.ValueOf(into).Elem(), "", 0)
		if d.bounded() {
			check(&Document{&checker{decoder: d}})
		}
	}
	d.scrub()
	return sorted(d.diags)
}

// KindOf returns what the first `kind:` of a YAML file says, "" if it cannot be
// told. It reports nothing: the reader of that kind does.
func KindOf(data []byte) string {
	var head struct {
		Kind string `yaml:"kind"`
	}
	if len(data) > maxFileBytes || yaml.Unmarshal(data, &head) != nil && head.Kind == "" {
		return ""
	}
	return head.Kind
}

// Has reports whether the file gives a value at path.
func (d *Document) Has(path string) bool { return d.c.keys[path] != nil || d.c.values[path] != nil }

// Wrong reports whether a problem has been noted at path already; a second one
// would only repeat it.
func (d *Document) Wrong(path string) bool { return d.c.failed[path] }

// Line is the line of path's value, or of the nearest thing around it.
func (d *Document) Line(path string) int { return d.c.at(path).Line }

// Problem notes an error at path. A path that is wrong already is left alone.
func (d *Document) Problem(path, code, hint, format string, args ...any) {
	if d.c.failed[path] {
		return
	}
	d.c.failed[path] = true
	d.c.problem(d.c.at(path), code, hint, format, args...)
}

// Warn notes at path what works, but may not be meant.
func (d *Document) Warn(path, code, hint, format string, args ...any) {
	d.c.warn(d.c.at(path), code, hint, format, args...)
}

// Unknown notes that the name at path is not among those known; what says what
// kind of name it is.
func (d *Document) Unknown(path, what, name string, known []string) {
	hint := ""
	if near := nearest.Of(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	} else if len(known) > 0 {
		hint = "known: " + strings.Join(known, ", ")
	}
	d.Problem(path, "unknown-"+what, hint, "there is no %s %s", what, d.c.quoted(d.c.at(path)))
}
