package jsontransform

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string. Without escapes it shares the memory of s.
func (s *scanner) text() (string, bool) {
	start := s.pos + 1
	ascii := true
	for i := start; i < len(s.s); i++ {
		switch c := s.s[i]; {
		case c == '"':
			s.pos = i + 1
			return s.checked(s.s[start:i], ascii), true
		case c == '\\':
			return s.escaped(start, i)
		case c < ' ':
			s.pos = i
			return "", s.fail("control byte in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.pos = len(s.s)
	return "", s.fail("string without end")
}

func (s *scanner) checked(text string, ascii bool) string {
	if !ascii && !utf8.ValidString(text) {
		s.badText = true
	}
	return text
}

// escaped reads the string that starts at start and has its first escape at i.
func (s *scanner) escaped(start, i int) (string, bool) {
	var b strings.Builder
	b.WriteString(s.s[start:i])
	for i < len(s.s) {
		switch c := s.s[i]; {
		case c == '"':
			s.pos = i + 1
			return s.checked(b.String(), false), true
		case c == '\\':
			n := s.escape(&b, i+1)
			if n == 0 {
				s.pos = i
				return "", s.fail("unknown escape in a string")
			}
			i += n
		case c < ' ':
			s.pos = i
			return "", s.fail("control byte in a string")
		default:
			b.WriteByte(c)
			i++
		}
	}
	s.pos = len(s.s)
	return "", s.fail("string without end")
}

// escape writes the character that the escape with its letter at i stands for
// and returns the escape's length, 0 if it is none.
func (s *scanner) escape(b *strings.Builder, i int) int {
	if i >= len(s.s) {
		return 0
	}
	if at := strings.IndexByte(`"\/bfnrt`, s.s[i]); at >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[at])
		return 2
	}
	unit, ok := s.hex(i)
	if !ok {
		return 0
	}
	if !utf16.IsSurrogate(unit) {
		b.WriteRune(unit)
		return 6
	}
	low, ok := s.hex(i + 6)
	if ok && i+5 < len(s.s) && s.s[i+5] == '\\' {
		if r := utf16.DecodeRune(unit, low); r != utf8.RuneError {
			b.WriteRune(r)
			return 12
		}
	}
	s.badText = true
	b.WriteRune(utf8.RuneError)
	return 6
}

// hex reads "uXXXX" at i.
func (s *scanner) hex(i int) (rune, bool) {
	if i+5 > len(s.s) || s.s[i] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s.s[i+1 : i+5]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
