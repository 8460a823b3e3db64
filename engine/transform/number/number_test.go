package number_test

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/transform/number"
)

func TestExactChoosesTheSmallestKindThatHoldsTheValue(t *testing.T) {
	for _, tc := range []struct {
		text string
		want event.Value
	}{
		{"0", event.Int(0)},
		{"-7", event.Int(-7)},
		{"100", event.Int(100)},
		{"9223372036854775807", event.Int(math.MaxInt64)},
		{"-9223372036854775808", event.Int(math.MinInt64)},
		{"9223372036854775808", event.Decimal("9223372036854775808")},
		{"10000000000000000000", event.Float(1e19)},
		{"-0", event.Float(math.Copysign(0, -1))},
		{"0.0", event.Float(0)},
		{"-0.0e5", event.Float(math.Copysign(0, -1))},
		{"1.5", event.Float(1.5)},
		{"1.50", event.Float(1.5)},
		{"100.0", event.Float(100)},
		{"1e3", event.Float(1000)},
		{"1E+3", event.Float(1000)},
		{"0.1", event.Float(0.1)},
		{"0.10000000000000001", event.Decimal("0.10000000000000001")},
		{"30.5310001373291", event.Float(30.5310001373291)},
		{"74.93588199999998", event.Float(74.93588199999998)},
		{"1.7976931348623157e308", event.Float(math.MaxFloat64)},
		{"5e-324", event.Float(5e-324)},
		{"4e-324", event.Decimal("4e-324")},
		{"1e-400", event.Decimal("1e-400")},
		{"1e400", event.Decimal("1e400")},
		{"1e99999999999999999999", event.Decimal("1e99999999999999999999")},
		{"123456789012345678901234567890.5", event.Decimal("123456789012345678901234567890.5")},
		{"0.30000000000000004", event.Float(0.30000000000000004)},
	} {
		got, ok := number.Exact(tc.text)
		if !ok || got != tc.want {
			t.Errorf("Exact(%q) = %s %s, %v; want %s %s", tc.text, got.Kind(), got.Format(), ok, tc.want.Kind(), tc.want.Format())
		}
	}
}

func TestExactRefusesWhatIsNoJSONNumber(t *testing.T) {
	for _, text := range []string{"", "-", "+1", "01", "-01", ".5", "5.", "1e", "1e+", "1.e3", "0x1", "1_0", "NaN", "Infinity", " 1", "1 "} {
		if v, ok := number.Exact(text); ok {
			t.Errorf("Exact(%q) = %s; want no number", text, v.Format())
		}
	}
}

// FuzzExact holds the scanner to encoding/json (which texts are numbers) and to
// big.Rat (an int or a float stands for exactly the decimal it prints).
func FuzzExact(f *testing.F) {
	for _, s := range []string{"0", "-0", "1.5", "1e22", "123456789012345678", "1e-7", "0.000001", "9007199254740993", "1.0000000000000002", "00", "1e5e", "0E10000000000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := number.Exact(text)
		var oracle json.Number
		blank := text != "" && (text[0] <= ' ' || text[len(text)-1] <= ' ' || text[0] == '"' || text[0] == 'n')
		if want := !blank && json.Unmarshal([]byte(text), &oracle) == nil; ok != want {
			t.Fatalf("Exact(%q) says %v, encoding/json %v", text, ok, want)
		}
		if ok && len(text) < 40 {
			checkValue(t, text, v)
		}
	})
}

func checkValue(t *testing.T, text string, v event.Value) {
	f, err := strconv.ParseFloat(text, 64)
	switch v.Kind() {
	case event.KindInt:
		if strconv.FormatInt(v.AsInt(), 10) != text {
			t.Fatalf("int %d of %q", v.AsInt(), text)
		}
	case event.KindFloat:
		got, _ := v.AsFloat()
		if err != nil || got != f || !sameValue(text, v.Format()) {
			t.Fatalf("float %s of %q (%v, %v)", v.Format(), text, f, err)
		}
	case event.KindDecimal:
		if v.Text() != text || (err == nil && sameValue(text, strconv.FormatFloat(f, 'g', -1, 64))) {
			t.Fatalf("decimal of %q, which a float64 holds", text)
		}
	default:
		t.Fatalf("%s of %q", v.Kind(), text)
	}
}

// sameValue compares two decimal texts exactly; texts with huge exponents are
// left out, they only cost time.
func sameValue(a, b string) bool {
	x, okA := ratOf(a)
	y, okB := ratOf(b)
	return okA && okB && x.Cmp(y) == 0
}

func ratOf(s string) (*big.Rat, bool) {
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || math.IsInf(f, 0) || (f == 0 && hasDigit(s)):
		return nil, false
	case f == 0:
		return new(big.Rat), true // whatever the exponent, which big.Rat bounds
	}
	return new(big.Rat).SetString(s)
}

// hasDigit reports a mantissa that is not zero: such a text underflowed.
func hasDigit(s string) bool {
	for _, c := range s {
		if c == 'e' || c == 'E' {
			return false
		}
		if c >= '1' && c <= '9' {
			return true
		}
	}
	return false
}

func BenchmarkExact(b *testing.B) {
	for _, text := range []string{"73", "73.96732207", "74.93588199999998"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := number.Exact(text); !ok {
					b.Fatal("not a number")
				}
			}
		})
	}
}
