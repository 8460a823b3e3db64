package spec

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// substitute replaces ${VAR} and ${VAR:default} in every scalar of the tree. It
// works on parsed values, so that a variable's value is never read as YAML.
func (d *decoder) substitute(n *yaml.Node, env func(string) (string, bool)) {
	for _, child := range n.Content {
		d.substitute(child, env)
	}
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "${") {
		return
	}
	value, ref := d.expand(n, env)
	if ref != "" {
		d.filled[n] = ref
	}
	n.Value = value
	if n.Style == 0 {
		n.Tag = "" // what kind of scalar it is now depends on the value
	}
}

// expand returns n's text with its variables replaced and the first reference
// found. $${ stands for ${ itself.
func (d *decoder) expand(n *yaml.Node, env func(string) (string, bool)) (value, ref string) {
	var out strings.Builder
	rest := n.Value
	for {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			return out.String(), ref
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(literal + "${")
			rest = after
			continue
		}
		out.WriteString(before)
		inner, tail, closed := strings.Cut(after, "}")
		if !closed {
			d.misplaced(n, "${"+firstWord(after), "wrong-variable", "write $${ for the two characters themselves", "${ has no closing brace")
			return out.String(), ref
		}
		name, fallback, hasDefault := strings.Cut(inner, ":")
		if ref == "" {
			ref = "${" + name + "}"
		}
		out.WriteString(d.lookup(n, name, fallback, hasDefault, env))
		rest = tail
	}
}

// lookup returns a variable's value. A variable that is set but empty counts as
// unset where there is a default.
func (d *decoder) lookup(n *yaml.Node, name, fallback string, hasDefault bool, env func(string) (string, bool)) string {
	if !validVariable(name) {
		d.misplaced(n, "${"+name, "wrong-variable", "names have letters, digits and _, as in ${AMQP_URLS:embedded}", "%q is no variable name", name)
		return ""
	}
	value, ok := env(name)
	switch {
	case hasDefault && value == "":
		return fallback
	case !ok:
		d.misplaced(n, "${"+name, "unset-variable", "set it, or give a default: ${"+name+":value}", "variable %s is not set", name)
	}
	if len(value) >= minHidden && value != Embedded {
		d.hidden = append(d.hidden, value, "${"+name+"}")
	}
	return value
}

// minHidden is the length from which on a variable's value is taken out of
// messages, in bytes; shorter ones occur in ordinary words.
const minHidden = 4

// scrub puts references back in the place of variables' values: any of them may
// be a secret.
func (d *decoder) scrub() {
	r := strings.NewReplacer(d.hidden...)
	for i := range d.diags {
		d.diags[i].Message = r.Replace(d.diags[i].Message)
		d.diags[i].Hint = r.Replace(d.diags[i].Hint)
	}
}

func validVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// misplaced notes an error where part of a scalar's source text stands.
func (d *decoder) misplaced(n *yaml.Node, part, code, hint, format string, args ...any) {
	d.unset[n] = true
	at := *n
	at.Line, at.Column = d.locate(n, part, 0)
	d.problem(&at, code, hint, format, args...)
}

// locate finds text in the source at or after where n begins and returns its
// place, moved by offset characters. A text that the source spells otherwise
// (escapes, folding) gives n's own place.
func (d *decoder) locate(n *yaml.Node, text string, offset int) (line, column int) {
	if text == "" || strings.Contains(text, "\n") {
		return n.Line, n.Column
	}
	skip := n.Column - 1
	for i := n.Line - 1; i >= 0 && i < len(d.lines) && i < n.Line+maxScalarLines; i++ {
		source := string([]rune(d.lines[i])[min(skip, utf8.RuneCountInString(d.lines[i])):])
		if at := strings.Index(source, text); at >= 0 {
			return i + 1, skip + utf8.RuneCountInString(source[:at]) + 1 + offset
		}
		skip = 0
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			break
		}
	}
	return n.Line, n.Column
}

// maxScalarLines bounds the lines of a block scalar that are searched.
const maxScalarLines = 200
