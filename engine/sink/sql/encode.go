package sqlsink

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// encoder writes rows as SQL literals into one buffer that is used again for
// every statement. Literals and not placeholders: a thousand rows of nine columns
// would box nine thousand arguments, and the server would bind each of them.
// What a literal may hold is decided here and nowhere else: text with anything
// but plain printable characters becomes a hexadecimal literal, which has no
// escapes, whatever the session's sql_mode.
type encoder struct {
	d    dialect
	buf  []byte
	args []any // values that the dialect cannot take as literals
}

// badValue is why one value cannot be stored in its column.
type badValue struct {
	code string
	text string
}

func bad(code, format string, args ...any) *badValue {
	return &badValue{code, fmt.Sprintf(format, args...)}
}

// value appends v as a literal for a column of type t. It converts only where
// nothing is lost: what does not fit is a bad value, never clipped.
func (e *encoder) value(t *colType, v event.Value) *badValue {
	if v.IsNull() {
		e.buf = append(e.buf, "NULL"...)
		return nil
	}
	switch t.family {
	case famText, famEnum:
		return e.text(t, v)
	case famBinary:
		return e.binary(t, v)
	case famInt, famBool:
		return e.integer(t, v)
	case famFloat, famDouble:
		return e.float(t, v)
	case famDecimal:
		return e.decimal(t, v)
	case famTime:
		return e.time(t, v)
	case famJSON:
		e.buf = e.d.appendText(e.buf, string(v.AppendJSON(nil)))
		return nil
	}
	return bad("wrong_type", "the column's type %s takes no values", t.text)
}

func (e *encoder) text(t *colType, v event.Value) *badValue {
	var s string
	switch v.Kind() {
	case event.KindString, event.KindDecimal, event.KindJSON:
		s = v.Text()
	case event.KindBytes:
		return bad("wrong_type", "bytes do not fit a text column")
	default:
		s = v.Format()
	}
	if !utf8.ValidString(s) {
		return bad("invalid_utf8", "the text is no valid UTF-8")
	}
	if int64(len(s)) > t.size && int64(utf8.RuneCountInString(s)) > t.size {
		return bad("too_long", "%d characters, %s takes %d", utf8.RuneCountInString(s), t.text, t.size)
	}
	if int64(len(s)) > t.bytes {
		return bad("too_long", "%d bytes, %s takes %d", len(s), t.text, t.bytes)
	}
	e.buf = e.d.appendText(e.buf, s)
	return nil
}

func (e *encoder) binary(t *colType, v event.Value) *badValue {
	switch v.Kind() {
	case event.KindBytes, event.KindString, event.KindJSON:
	default:
		return bad("wrong_type", "%s does not fit %s", v.Kind(), t.text)
	}
	n := int64(len(v.Text()))
	if n > t.size || t.fixed && n != t.size {
		return bad("too_long", "%d bytes, %s takes %d", n, t.text, t.size)
	}
	e.buf = appendHex(e.buf, v.Text())
	return nil
}

// appendHex appends s as x'6869', which MariaDB and SQLite read alike.
func appendHex(dst []byte, s string) []byte {
	dst = append(dst, 'x', '\'')
	dst = hex.AppendEncode(dst, []byte(s))
	return append(dst, '\'')
}

func (e *encoder) integer(t *colType, v event.Value) *badValue {
	switch v.Kind() {
	case event.KindBool:
		e.buf = append(e.buf, "01"[b2i(v.AsBool())])
		return nil
	case event.KindInt, event.KindTime:
		i := v.AsInt()
		if t.holds(i < 0, uint64(i)) {
			e.buf = strconv.AppendInt(e.buf, i, 10)
			return nil
		}
		return bad("out_of_range", "%d is outside the range of %s", i, t.text)
	case event.KindFloat:
		f, _ := v.AsFloat()
		if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return bad("not_whole", "%v is no whole number that %s holds exactly", f, t.text)
		}
		return e.integer(t, event.Int(int64(f)))
	case event.KindDecimal, event.KindString:
		return e.integerText(t, v.Text())
	}
	return bad("wrong_type", "%s does not fit %s", v.Kind(), t.text)
}

func (e *encoder) integerText(t *colType, s string) *badValue {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return e.integer(t, event.Int(i))
	}
	u, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return bad("bad_number", "%q is no whole number", clip(s))
	}
	if !t.holds(false, u) {
		return bad("out_of_range", "%d is outside the range of %s", u, t.text)
	}
	e.buf = strconv.AppendUint(e.buf, u, 10)
	return nil
}

// holds reports whether t's range has the number with these bits.
func (t *colType) holds(negative bool, bits uint64) bool {
	if t.family == famBool {
		return !negative && bits <= 1
	}
	if negative {
		return int64(bits) >= t.lo
	}
	return bits <= t.hi
}

func (e *encoder) float(t *colType, v event.Value) *badValue {
	f, ok := v.AsFloat()
	if v.Kind() == event.KindString {
		parsed, err := strconv.ParseFloat(v.Text(), 64)
		f, ok = parsed, err == nil
	}
	switch {
	case v.Kind() == event.KindBool:
		f, ok = float64(b2i(v.AsBool())), true
	case !ok && (v.Kind() == event.KindString || v.Kind() == event.KindDecimal):
		return bad("bad_number", "%q is no number that %s holds", clip(v.Text()), t.text)
	case !ok:
		return bad("wrong_type", "%s does not fit %s", v.Kind(), t.text)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return bad("not_finite", "%v has no place in %s", f, t.text)
	}
	if t.family == famFloat && math.Abs(f) > math.MaxFloat32 || t.unsigned && f < 0 {
		return bad("out_of_range", "%v is outside the range of %s", f, t.text)
	}
	e.buf, e.args = e.d.appendFloat(e.buf, e.args, f)
	return nil
}

func (e *encoder) decimal(t *colType, v event.Value) *badValue {
	var text string
	switch v.Kind() {
	case event.KindInt, event.KindDecimal, event.KindString:
		text = v.Format()
	case event.KindFloat:
		f, _ := v.AsFloat()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return bad("not_finite", "%v has no place in %s", f, t.text)
		}
		text = strconv.FormatFloat(f, 'f', -1, 64)
	default:
		return bad("wrong_type", "%s does not fit %s", v.Kind(), t.text)
	}
	plain, problem := plainDecimal(text, t)
	if problem != nil {
		return problem
	}
	e.buf = e.d.appendDecimal(e.buf, plain)
	return nil
}

func (e *encoder) time(t *colType, v event.Value) *badValue {
	var at time.Time
	switch v.Kind() {
	case event.KindTime, event.KindInt:
		at = time.UnixMilli(v.AsInt()).UTC()
	case event.KindString:
		parsed, err := time.Parse(time.RFC3339Nano, v.Text())
		if err != nil {
			return bad("bad_time", "%q is no RFC 3339 time", clip(v.Text()))
		}
		at = parsed.UTC()
	default:
		return bad("wrong_type", "%s does not fit %s", v.Kind(), t.text)
	}
	if y := at.Year(); y < 1 || y > 9999 || t.fixed && at.Unix() < 1 {
		return bad("out_of_range", "year %d is outside the range of %s", y, t.text)
	}
	e.buf = appendTime(e.buf, at, min(t.scale, 3))
	return nil
}

// appendTime appends '2006-01-02 15:04:05.000' with the given number of digits
// after the point; further digits are cut.
func appendTime(dst []byte, at time.Time, digits int) []byte {
	y, mo, d := at.Date()
	h, mi, s := at.Clock()
	dst = append(dst, '\'')
	dst = appendPadded(dst, y, 4, '-')
	dst = appendPadded(dst, int(mo), 2, '-')
	dst = appendPadded(dst, d, 2, ' ')
	dst = appendPadded(dst, h, 2, ':')
	dst = appendPadded(dst, mi, 2, ':')
	dst = appendPadded(dst, s, 2, '.')
	dst = appendPadded(dst, at.Nanosecond()/1e6, 3, '\'')
	if digits == 3 {
		return dst
	}
	dst = dst[:len(dst)-4+digits] // drop the quote and the digits beyond
	if digits == 0 {
		dst = dst[:len(dst)-1]
	}
	return append(dst, '\'')
}

func appendPadded(dst []byte, n, width int, after byte) []byte {
	var digits [4]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(append(dst, digits[:width]...), after)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// clip shortens s for an error text.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "..."
	}
	return s
}

func (b *badValue) reject(index int, column string) node.EventReject {
	return node.EventReject{Index: index, Reject: node.Reject{
		Record: -1, Code: b.code, Text: fmt.Sprintf("column %s: %s", column, b.text),
	}}
}
