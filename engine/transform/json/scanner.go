package jsontransform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/transform/number"
)

// scanner reads the JSON grammar of RFC 8259. Its methods start at the first
// byte of what they read, leave pos after its last one, and return false once
// the walk has ended with failed set. Texts share the memory of s.
type scanner struct {
	s        string
	pos      int
	depth    int
	maxDepth int
	badText  bool // a text since the last reset was no valid UTF-8
	spaced   bool // blanks since the last reset
	failed   *node.Reject
}

// fail ends the walk: the payload breaks the grammar here.
func (s *scanner) fail(what string) bool {
	return s.stop(BadJSON, fmt.Sprintf("byte %d: %s", s.pos, what))
}

// stop ends the walk and rejects the whole event.
func (s *scanner) stop(code, text string) bool {
	s.failed = &node.Reject{Record: -1, Code: code, Text: text}
	return false
}

// peek returns the byte at pos, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.s) {
		return s.s[s.pos]
	}
	return 0
}

func (s *scanner) blanks() {
	for s.pos < len(s.s) {
		switch s.s[s.pos] {
		case ' ', '\n', '\r', '\t':
			s.pos++
			s.spaced = true
		default:
			return
		}
	}
}

// open enters an object or array and reports whether it ends at once.
func (s *scanner) open(end byte) (empty, ok bool) {
	if s.depth++; s.depth > s.maxDepth {
		return false, s.stop(TooDeep, fmt.Sprintf("nested deeper than %d", s.maxDepth))
	}
	s.pos++
	s.blanks()
	if s.peek() != end {
		return false, true
	}
	s.pos++
	s.depth--
	return true, true
}

// next steps over "," or end, and reports which.
func (s *scanner) next(end byte) (more, ok bool) {
	s.blanks()
	switch s.peek() {
	case ',':
		s.pos++
		s.blanks()
		return true, true
	case end:
		s.pos++
		s.depth--
		return false, true
	default:
		return false, s.fail("want , or " + string(end) + s.instead())
	}
}

// members reads an object and calls member at each value.
func (s *scanner) members(member func(name string) bool) bool {
	empty, ok := s.open('}')
	for more := ok && !empty; more && ok; {
		var name string
		if name, ok = s.name(); ok && member(name) {
			more, ok = s.next('}')
		} else {
			return false
		}
	}
	return ok
}

// elements reads an array and calls element at each value.
func (s *scanner) elements(element func() bool) bool {
	empty, ok := s.open(']')
	for more := ok && !empty; more && ok; {
		if !element() {
			return false
		}
		more, ok = s.next(']')
	}
	return ok
}

// name reads a member's name with its colon.
func (s *scanner) name() (string, bool) {
	if s.peek() != '"' {
		return "", s.fail("want a name in quotes" + s.instead())
	}
	name, ok := s.text()
	if !ok {
		return "", false
	}
	s.blanks()
	if s.peek() != ':' {
		return "", s.fail("want :" + s.instead())
	}
	s.pos++
	s.blanks()
	return name, true
}

// value reads any value; objects and arrays stay JSON text, without blanks.
func (s *scanner) value() (event.Value, bool) {
	switch c := s.peek(); c {
	case '"':
		text, ok := s.text()
		return event.String(text), ok
	case '{', '[':
		return s.nested()
	case 't':
		return event.Bool(true), s.word("true")
	case 'f':
		return event.Bool(false), s.word("false")
	case 'n':
		return event.Null, s.word("null")
	default:
		v, end := number.Scan(s.s, s.pos)
		if end == s.pos {
			return event.Null, s.fail("want a value" + s.instead())
		}
		s.pos = end
		return v, true
	}
}

func (s *scanner) word(w string) bool {
	if len(s.s)-s.pos < len(w) || s.s[s.pos:s.pos+len(w)] != w {
		return s.fail("want " + w)
	}
	s.pos += len(w)
	return true
}

func (s *scanner) nested() (event.Value, bool) {
	start, spaced := s.pos, s.spaced
	s.spaced = false
	ok := s.skip()
	text := s.s[start:s.pos]
	if ok && s.spaced {
		var buf bytes.Buffer
		_ = json.Compact(&buf, []byte(text)) // skip has found it valid
		text = buf.String()
	}
	s.spaced = spaced
	return event.JSON(text), ok
}

// skip reads any value and checks its grammar.
func (s *scanner) skip() bool {
	switch s.peek() {
	case '{':
		return s.members(func(string) bool { return s.skip() })
	case '[':
		return s.elements(s.skip)
	default:
		_, ok := s.value()
		return ok
	}
}

// instead describes what stands at pos.
func (s *scanner) instead() string {
	if s.pos >= len(s.s) {
		return ", found the end"
	}
	r, _ := utf8.DecodeRuneInString(s.s[s.pos:])
	return fmt.Sprintf(", found %q", r)
}
