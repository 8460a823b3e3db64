package sqlsink

import (
	"strconv"
	"strings"
)

// plainDecimal turns a JSON number into digits with a point and without an
// exponent, and checks that t holds it: digits before the point that do not fit
// are out of range; digits beyond t's scale are left to the database, which
// rounds half away from zero, unless the dialect keeps decimals as text.
func plainDecimal(text string, t *colType) (string, *badValue) {
	mantissa, exp, ok := splitNumber(text)
	if !ok {
		return "", bad("bad_number", "%q is no decimal number", clip(text))
	}
	negative := strings.HasPrefix(mantissa, "-")
	whole, frac, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	digits := whole + frac
	point := len(whole) + exp
	lead := len(digits) - len(strings.TrimLeft(digits, "0"))
	if lead == len(digits) {
		return "0", nil
	}
	if point-lead > t.prec-t.scale {
		return "", bad("out_of_range", "%s is outside the range of %s", clip(text), t.text)
	}
	if negative && t.unsigned {
		return "", bad("out_of_range", "%s is negative, %s is unsigned", clip(text), t.text)
	}
	return placePoint(digits, point, negative, t), nil
}

// splitNumber splits a JSON number into its mantissa and exponent.
func splitNumber(text string) (mantissa string, exp int, ok bool) {
	mantissa = text
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		n, err := strconv.Atoi(text[i+1:])
		if err != nil || n > 1<<20 || n < -(1<<20) {
			return "", 0, false
		}
		mantissa, exp = text[:i], n
	}
	whole, frac, point := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	return mantissa, exp, allDigits(whole) && (!point || allDigits(frac))
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// placePoint writes digits with the point after the first point of them, rounded
// half away from zero to t's scale.
func placePoint(digits string, point int, negative bool, t *colType) string {
	if point < 0 {
		digits, point = strings.Repeat("0", min(-point, t.scale+1))+digits, 0
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	whole, frac := strings.TrimLeft(digits[:point], "0"), digits[point:]
	var up bool
	if len(frac) > t.scale {
		up = frac[t.scale] >= '5'
		frac = frac[:t.scale]
	}
	kept := []byte("0" + whole + frac)
	for i := len(kept) - 1; up && i >= 0; i-- {
		if up = kept[i] == '9'; up {
			kept[i] = '0'
		} else {
			kept[i]++
		}
	}
	return joinDecimal(kept, len(frac), negative)
}

func joinDecimal(digits []byte, scale int, negative bool) string {
	whole := strings.TrimLeft(string(digits[:len(digits)-scale]), "0")
	frac := strings.TrimRight(string(digits[len(digits)-scale:]), "0")
	var b strings.Builder
	if negative && whole+frac != "" {
		b.WriteByte('-')
	}
	if whole == "" {
		whole = "0"
	}
	b.WriteString(whole)
	if frac != "" {
		b.WriteByte('.')
		b.WriteString(frac)
	}
	return b.String()
}
