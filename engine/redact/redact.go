// Package redact hides values in events before people see them: in taps and in dead
// letters that are shown. It changes copies for the eye alone and nothing that moves
// through the pipeline or rests in its log.
package redact

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/event"
)

// What stands in the place of what is hidden.
const (
	Marker   = "[redacted]"
	Withheld = "[withheld: what is in it cannot be told apart]" // content that is no JSON
)

// Rules say which values are hidden. Nil rules hide nothing. They may be used from
// any goroutine.
type Rules struct {
	endings [][]string // of a field's path, each name as written
}

// Check reports what is wrong with one rule: names with dots between them, where *
// stands for any name.
func Check(rule string) error {
	if rule == "" || slices.Contains(strings.Split(rule, "."), "") {
		return errors.New("expected a field's name, or names with a dot between each two, such as password, user.ssn or *.token")
	}
	return nil
}

// Parse reads rules. A rule hides each field whose path ends as it says, at any depth,
// in small or capital letters; the elements of a list have the list's path. No rules are nil.
func Parse(rules []string) (*Rules, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	r := &Rules{}
	for _, rule := range rules {
		if err := Check(rule); err != nil {
			return nil, fmt.Errorf("%q: %w", rule, err)
		}
		r.endings = append(r.endings, strings.Split(rule, "."))
	}
	return r, nil
}

// hides reports whether the value at path is hidden.
func (r *Rules) hides(path []string) bool {
	return slices.ContainsFunc(r.endings, func(ending []string) bool {
		from := len(path) - len(ending)
		if from < 0 {
			return false
		}
		for i, name := range ending {
			if name != "*" && !strings.EqualFold(name, path[from+i]) {
				return false
			}
		}
		return true
	})
}

// Hidden is what was hidden of one event.
type Hidden struct {
	values   []string // as text
	Withheld bool     // some content could not be looked into
}

// shortest is the length from which a value is looked for within a longer text: what is
// shorter stands in many texts by chance.
const shortest = 4

// in reports whether text is, or holds, a hidden value.
func (h *Hidden) in(text string) bool {
	return slices.ContainsFunc(h.values, func(v string) bool {
		return text == v || len(v) >= shortest && strings.Contains(text, v)
	})
}

// Scrub returns text, or what stands in its place if a hidden value is in it.
func (h *Hidden) Scrub(text string) string {
	if text != "" && h.in(text) {
		return Marker
	}
	return text
}

// Event returns ev as it may be shown and what was hidden of it. Payloads are rewritten if
// they are a JSON object or list and withheld else; bytes in a record are withheld. Names
// beside the content, such as the key, are hidden if a hidden value is in them. ev is not changed.
func (r *Rules) Event(ev *event.Event) (*event.Event, *Hidden) {
	h := &Hidden{}
	if r == nil || ev == nil {
		return ev, h
	}
	w := &walk{rules: r, hidden: h}
	out := *ev
	out.Headers = slices.Clone(ev.Headers)
	for i := range out.Headers {
		out.Headers[i].Value = w.field(out.Headers[i].Name, out.Headers[i].Value)
	}
	if ev.Record != nil {
		out.Record = &event.Record{Fields: slices.Clone(ev.Record.Fields)}
		for i := range out.Record.Fields {
			out.Record.Fields[i].Value = w.field(out.Record.Fields[i].Name, out.Record.Fields[i].Value)
		}
	}
	if len(ev.Payload) > 0 {
		out.Payload = w.payload(ev.Payload)
	}
	for _, name := range []*string{&out.Key, &out.RootID, &out.Source.MessageID, &out.Source.RoutingKey} {
		*name = h.Scrub(*name)
	}
	return &out, h
}
