// Package number reads numbers out of text without losing a digit: it decides
// for each text whether an int64 or a float64 holds exactly what is written, and
// keeps the text itself where neither does. The decoding transforms use it; it
// knows nothing of events' flow.
package number

import (
	"math"
	"strconv"

	"github.com/millrace/millrace/engine/event"
)

// limits of the fast way: mantissas below 2^53 and powers of ten up to 10^22 are
// exact in a float64, so that one multiplication or division rounds once; fifteen
// significant digits always survive a float64.
const (
	exactDigits   = 15
	longestDigits = 17 // no shortest form of a float64 has more
	maxPower      = 22
	maxExponent   = 1 << 20 // keeps sums of exponents from overflowing
)

var powers = [maxPower + 1]float64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// decimal is the number mant * 10^exp; mant has no trailing zero.
type decimal struct {
	mant   uint64
	digits int // significant ones; above longestDigits mant is meaningless
	exp    int
	neg    bool
	whole  bool // written without point and exponent
}

// Exact reads text as a JSON number and reports whether it is one. An integer
// that fits becomes an int; a number whose value is the shortest decimal form of
// a float64 becomes that float ("0.1", "1.50", "1e3"); anything else (more
// digits, a larger range) becomes a decimal that keeps the text. "-0" becomes the
// float -0, because no int holds it.
func Exact(text string) (event.Value, bool) {
	v, end := Scan(text, 0)
	return v, end == len(text) && end > 0
}

// Scan reads the JSON number that starts at s[i] as [Exact] does, and returns the
// index after its last digit. There is no number at i if end is i.
func Scan(s string, i int) (v event.Value, end int) {
	d, end := scan(s, i)
	if end == i {
		return event.Null, i
	}
	return d.value(s[i:end]), end
}

func scan(s string, start int) (d decimal, end int) {
	i := start
	if i < len(s) && s[i] == '-' {
		d.neg = true
		i++
	}
	first, zeros := i, 0
	i, zeros = d.run(s, i, 0)
	if i == first || (s[first] == '0' && i > first+1) {
		return decimal{}, start
	}
	d.whole = true
	if i < len(s) && s[i] == '.' {
		d.whole = false
		point := i + 1
		i, zeros = d.run(s, point, zeros)
		if i == point {
			return decimal{}, start
		}
		d.exp = point - i
	}
	d.exp += zeros
	return d.exponent(s, start, i)
}

// run reads digits into d.mant and holds zeros back until another digit follows.
func (d *decimal) run(s string, i, zeros int) (next, heldBack int) {
	for ; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			break
		}
		if c == 0 {
			if d.digits > 0 {
				zeros++
			}
			continue
		}
		d.digits += zeros + 1
		if d.digits <= longestDigits {
			for ; zeros > 0; zeros-- {
				d.mant *= 10
			}
			d.mant = d.mant*10 + uint64(c)
		}
		zeros = 0
	}
	return i, zeros
}

func (d *decimal) exponent(s string, start, i int) (decimal, int) {
	if i >= len(s) || s[i]|0x20 != 'e' {
		return *d, i
	}
	d.whole = false
	i++
	neg := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		neg = s[i] == '-'
		i++
	}
	first, exp := i, 0
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		exp = min(exp*10+int(s[i]-'0'), maxExponent)
	}
	if i == first {
		return decimal{}, start
	}
	if neg {
		exp = -exp
	}
	d.exp += exp
	return *d, i
}

func (d *decimal) value(text string) event.Value {
	if d.whole {
		if v, ok := d.integer(text); ok {
			return v
		}
	}
	switch {
	case d.digits == 0:
		return event.Float(d.sign(0))
	case d.digits <= exactDigits && d.exp >= -maxPower && d.exp < 0:
		return event.Float(d.sign(float64(d.mant) / powers[-d.exp]))
	case d.digits <= exactDigits && d.exp >= 0 && d.exp <= maxPower:
		return event.Float(d.sign(float64(d.mant) * powers[d.exp]))
	case d.digits > longestDigits:
		return event.Decimal(text)
	}
	return d.shortest(text)
}

func (d *decimal) integer(text string) (event.Value, bool) {
	if d.neg && d.digits == 0 {
		return event.Null, false
	}
	i, err := strconv.ParseInt(text, 10, 64)
	return event.Int(i), err == nil
}

func (d *decimal) sign(f float64) float64 {
	if d.neg {
		return -f
	}
	return f
}

// shortest compares the text's value with the shortest form of its float64.
func (d *decimal) shortest(text string) event.Value {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return event.Decimal(text)
	}
	var stack [32]byte
	back, _ := scan(string(strconv.AppendFloat(stack[:0], f, 'e', -1, 64)), 0)
	if back.mant != d.mant || back.exp != d.exp {
		return event.Decimal(text)
	}
	return event.Float(f)
}
