package expr

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
)

// find returns the JSON text of the value at path within doc, nil if there is
// none. doc must be valid JSON; nothing but the members on the way is decoded. Of
// members with the same name the last counts, as everywhere in Go.
func find(doc []byte, path []string) []byte {
	doc = bytes.TrimLeft(doc, blanks)
	for _, name := range path {
		if doc = member(doc, name); doc == nil {
			return nil
		}
	}
	return doc[:skipValue(doc, 0)]
}

const blanks = " \t\r\n"

// member returns what follows the colon of the object's member, nil if doc is no
// object or has none.
func member(doc []byte, name string) []byte {
	if doc[0] != '{' {
		return nil
	}
	var found []byte
	for i := skipBlanks(doc, 1); doc[i] != '}'; {
		end := skipString(doc, i)
		same := isName(doc[i:end], name)
		i = skipBlanks(doc, skipBlanks(doc, end)+1)
		if same {
			found = doc[i:]
		}
		if i = skipBlanks(doc, skipValue(doc, i)); doc[i] == ',' {
			i = skipBlanks(doc, i+1)
		}
	}
	return found
}

func isName(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	s, ok := unquote(quoted)
	return ok && s == name
}

// unquote reads a JSON string.
func unquote(quoted []byte) (string, bool) {
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), true
	}
	var s string
	err := json.Unmarshal(quoted, &s)
	return s, err == nil
}

func skipBlanks(doc []byte, i int) int {
	for doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\r' || doc[i] == '\n' {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the index after the value that begins at i.
func skipValue(doc []byte, i int) int {
	for depth := 0; i < len(doc); {
		switch doc[i] {
		case '"':
			i = skipString(doc, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
			continue
		default:
			i = skipWord(doc, i)
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

// skipWord returns the index after the number, true, false or null at i.
func skipWord(doc []byte, i int) int {
	for i < len(doc) && bytes.IndexByte(stops, doc[i]) < 0 {
		i++
	}
	return i
}

var stops = []byte(" \t\r\n,]}")

// valueOf reads one JSON text as a value, numbers exactly as they are written.
func valueOf(text []byte) (event.Value, error) {
	if len(text) == 0 {
		return event.Null, nil
	}
	switch text[0] {
	case '"':
		if s, ok := unquote(text); ok {
			return event.String(s), nil
		}
		return event.Null, errNotJSON
	case '{', '[':
		doc, err := decodeRaw(text)
		if err != nil {
			return event.Null, err
		}
		return fromAny(doc)
	case 't', 'f':
		return event.Bool(text[0] == 't'), nil
	case 'n':
		return event.Null, nil
	default:
		return number(string(text)), nil
	}
}
