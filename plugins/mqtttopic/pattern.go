package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/event"
)

// pattern is a compiled pattern: what each level of a topic must be.
type pattern struct {
	text   string
	levels []level
	rest   *level // what the levels behind the last become; nil: there must be none
}

// level is one level of a pattern: a word, a field, or anything.
type level struct {
	fixed bool // the level must be word, which may be empty
	word  string
	name  string // field that it becomes; "" if none
	kind  string // of the field: string, int or float
}

// names are patterns' fields: {name}, {name:int}, {name...}.
var names = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)(:(string|int|float))?(\.\.\.)?\}$`)

// compile reads a pattern: levels with / between them, each a word, {field}, {field:int},
// {field:float} or +, which is any level; the last may be {field...} or #, which are
// all that follow, also none.
func compile(text string) (*pattern, error) {
	p := &pattern{text: text}
	if text == "" {
		return nil, errors.New("is empty")
	}
	parts := strings.Split(text, "/")
	seen := map[string]bool{}
	for i, part := range parts {
		l, rest, err := parseLevel(part)
		switch {
		case err != nil:
			return nil, err
		case l.name != "" && seen[l.name]:
			return nil, fmt.Errorf("takes field %q twice", l.name)
		case rest && i < len(parts)-1:
			return nil, fmt.Errorf("%s stands before the end", part)
		case rest:
			p.rest = &l
		default:
			p.levels = append(p.levels, l)
		}
		seen[l.name] = true
	}
	return p, nil
}

// parseLevel reads one level of a pattern; rest says that it is all that follow.
func parseLevel(part string) (l level, rest bool, err error) {
	switch part {
	case "+":
		return level{}, false, nil
	case "#":
		return level{}, true, nil
	}
	if m := names.FindStringSubmatch(part); m != nil {
		if m[3] != "" && m[3] != "string" && m[4] != "" {
			return level{}, false, fmt.Errorf("%s takes several levels, which are no %s", part, m[3])
		}
		return level{name: m[1], kind: m[3]}, m[4] != "", nil
	}
	if strings.ContainsAny(part, "{}+#") {
		return level{}, false, fmt.Errorf("level %q is neither a word nor {field}, {field:int}, {field:float}, {field...}, + or #", part)
	}
	return level{fixed: true, word: part}, false, nil
}

// match returns the fields that levels give; ok is false if they do not fit, and why
// says which field was the reason if it was a number's.
func (p *pattern) match(levels []string) (fields []event.Field, ok bool, why error) {
	if len(levels) < len(p.levels) || p.rest == nil && len(levels) > len(p.levels) {
		return nil, false, nil
	}
	for i, l := range p.levels {
		if l.fixed && l.word != levels[i] {
			return nil, false, nil
		}
	}
	for i, l := range p.levels {
		if l.name == "" {
			continue
		}
		v, err := l.value(levels[i])
		if err != nil {
			return nil, false, err
		}
		fields = append(fields, event.Field{Name: l.name, Value: v})
	}
	if p.rest != nil && p.rest.name != "" {
		fields = append(fields, event.Field{Name: p.rest.name, Value: event.String(strings.Join(levels[len(p.levels):], "/"))})
	}
	return fields, true, nil
}

// value makes a field's value of a level.
func (l *level) value(text string) (event.Value, error) {
	switch l.kind {
	case "int":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return event.Null, fmt.Errorf("level %q for field %q is no integer", text, l.name)
		}
		return event.Int(n), nil
	case "float":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return event.Null, fmt.Errorf("level %q for field %q is no number", text, l.name)
		}
		return event.Float(f), nil
	default:
		return event.String(text), nil
	}
}
