package csvtransform

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/transform/eventtime"
	"github.com/millrace/millrace/engine/transform/number"
)

// kind is the type of a column's cells.
type kind uint8

const (
	text kind = iota
	exact
	integer
	float
	decimal
	boolean
	instant
)

// kinds are the words of `types:`; a column without one is text.
var kinds = map[string]kind{
	"string": text, "number": exact, "int": integer, "float": float,
	"decimal": decimal, "bool": boolean, "time": instant,
}

// cells turns a cell's text into a value.
type cells struct {
	nulls     []string
	trim      bool
	comma     bool   // decimal comma
	thousands string // "" if none
	clock     *eventtime.Reader
}

// bad is a cell that is not what its column holds.
type bad struct{ code, want string }

func (c *cells) value(k kind, s string) (event.Value, *bad) {
	trimmed := strings.TrimSpace(s)
	for _, n := range c.nulls {
		if trimmed == n {
			return event.Null, nil
		}
	}
	switch k {
	case text:
		if c.trim {
			s = trimmed
		}
		return event.String(s), nil
	case boolean:
		return yesNo(trimmed)
	case instant:
		ms, err := c.clock.Text(trimmed)
		if err != nil {
			return event.Null, &bad{BadTime, "a time"}
		}
		return event.Time(ms), nil
	default:
		return c.number(k, trimmed)
	}
}

func yesNo(s string) (event.Value, *bad) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1", "t", "y":
		return event.Bool(true), nil
	case "false", "no", "off", "0", "f", "n":
		return event.Bool(false), nil
	}
	return event.Null, &bad{BadBool, "true or false"}
}

func (c *cells) number(k kind, s string) (event.Value, *bad) {
	v, ok := event.Null, false
	if !c.comma && c.thousands == "" {
		v, ok = number.Exact(s)
	}
	if !ok {
		if s, ok = c.plain(s); ok {
			v, ok = number.Exact(s)
		}
	}
	if !ok {
		return event.Null, &bad{BadNumber, "a number"}
	}
	switch k {
	case integer:
		if v.Kind() != event.KindInt {
			return event.Null, &bad{BadNumber, "an integer of 64 bits"}
		}
	case float:
		return nearest(v, s)
	case decimal:
		return event.Decimal(s), nil
	}
	return v, nil
}

func nearest(v event.Value, s string) (event.Value, *bad) {
	if v.Kind() == event.KindFloat {
		return v, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return event.Null, &bad{BadNumber, "a number that a float64 can hold"}
	}
	return event.Float(f), nil
}

// plain rewrites a number as people write it (+1.234,50 or .5 or 007) to the
// form that package number reads.
func (c *cells) plain(s string) (string, bool) {
	sign := ""
	if s != "" && (s[0] == '+' || s[0] == '-') {
		sign, s = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	point := "."
	if c.comma {
		point = ","
	}
	whole, rest, hasPoint := strings.Cut(s, point)
	if c.comma && strings.Contains(rest, ".") {
		return "", false
	}
	if !hasPoint {
		if i := strings.IndexAny(whole, "eE"); i >= 0 {
			whole, rest = whole[:i], whole[i:]
		}
	}
	whole, ok := c.ungroup(whole)
	if !ok || !digitsOnly(whole) || whole+rest == "" {
		return "", false
	}
	whole = orDefault(strings.TrimLeft(whole, "0"), "0")
	if hasPoint && (rest == "" || rest[0]|0x20 == 'e') {
		hasPoint = false
	}
	if hasPoint {
		return sign + whole + "." + rest, true
	}
	return sign + whole + rest, true
}

func digitsOnly(s string) bool { return strings.Trim(s, "0123456789") == "" }

// ungroup takes the separators out of the digits before the decimal point and
// reports whether they stand where they should.
func (c *cells) ungroup(whole string) (string, bool) {
	if c.thousands == "" || !strings.Contains(whole, c.thousands) {
		return whole, true
	}
	groups := strings.Split(whole, c.thousands)
	for i, g := range groups {
		if len(g) > 3 || len(g) < 3 && i > 0 || g == "" {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

// describe says what is wrong with a cell.
func (b *bad) describe(column, cell string) string {
	if len(cell) > 64 {
		cell = cell[:64] + "..."
	}
	return fmt.Sprintf("column %q: %q is not %s", column, cell, b.want)
}
