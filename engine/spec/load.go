package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Unreadable is the code of a file that could not be read: nothing is known about
// the pipeline.
const Unreadable = "unreadable"

// Load reads the pipeline file at path; see [Parse].
func Load(path string, cat *Catalog, env func(string) (string, bool)) (*Pipeline, []Diagnostic) {
	data, err := readFile(path)
	if err != nil {
		return nil, []Diagnostic{{Severity: Error, File: path, Code: Unreadable, Message: reason(err)}}
	}
	return Parse(path, data, cat, env)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// reason leaves the path out of a file system error: the diagnostic names it.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Op + ": " + pe.Err.Error()
	}
	return err.Error()
}

// Parse reads a pipeline file named name. env looks up the variables of ${VAR}
// and ${VAR:default}; nil knows none. It reports every problem at once, in the
// order of their places; with an error among them the pipeline is nil. Whatever
// data holds, Parse ends soon and does not panic.
func Parse(name string, data []byte, cat *Catalog, env func(string) (string, bool)) (*Pipeline, []Diagnostic) {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	d := newDecoder(name, data)
	p := &Pipeline{File: name, text: string(data)}
	if root := d.tree(data); root != nil {
		d.substitute(root, env)
		d.decode(root, reflect.ValueOf(p).Elem(), "", 0)
		if d.bounded() {
			c := &checker{decoder: d, p: p, cat: cat}
			c.check()
		}
	}
	d.scrub()
	diags := sorted(d.diags)
	if HasErrors(diags) {
		return nil, diags
	}
	return p, diags
}

// bounded reports whether the whole file was read.
func (d *decoder) bounded() bool {
	return !slices.ContainsFunc(d.diags, func(diag Diagnostic) bool { return diag.Code == tooLarge || diag.Code == tooDeep })
}

// tree parses the YAML text and returns its one document, nil after an error.
func (d *decoder) tree(data []byte) *yaml.Node {
	switch {
	case len(data) > maxFileBytes:
		d.whole(tooLarge, fmt.Sprintf("the file is larger than %s", Bytes(maxFileBytes)))
		return nil
	case !utf8.Valid(data):
		d.whole("not-yaml", "the file is not UTF-8 text")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		d.whole("empty-file", "the file is empty")
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		d.problem(&more, "several-documents", "remove the --- line", "the file holds several YAML documents, expected one")
	} else if err != io.EOF {
		d.syntax(err)
	}
	root := doc.Content[0]
	if isNull(root) {
		d.whole("empty-file", "the file is empty")
		return nil
	}
	return root
}

func (d *decoder) whole(code, message string) {
	d.add(Diagnostic{Severity: Error, Code: code, Message: message})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax places an error of the YAML parser, which tells a line at best.
func (d *decoder) syntax(err error) {
	text, _, _ := strings.Cut(err.Error(), "\n")
	diag := Diagnostic{Severity: Error, Code: "not-yaml", Message: yamlLine.ReplaceAllString(text, "")}
	if m := yamlLine.FindStringSubmatch(text); m != nil && m[1] != "" {
		diag.Line, _ = strconv.Atoi(m[1])
		diag.Column = 1
		if diag.Line >= 1 && diag.Line <= len(d.lines) {
			line := d.lines[diag.Line-1]
			diag.Column += len(line) - len(strings.TrimLeft(line, " \t"))
		}
	}
	if strings.Contains(text, "cannot start any token") {
		diag.Hint = "indent with blanks, not tabs; quote texts that begin with @, ` or %"
	}
	d.add(diag)
}
