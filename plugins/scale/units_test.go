package main

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKnownConversions(t *testing.T) {
	for name, pair := range map[string][2]float64{
		"F->C": {212, 100}, "C->F": {-40, -40}, "K->C": {0, -273.15}, "°C->K": {20, 293.15}, "Cel->K": {20, 293.15}, "R->K": {9, 5},
		"psi->bar": {14.5037737730, 1}, "mbar->hPa": {1013.25, 1013.25}, "atm->Pa": {1, 101325}, "mmHg->kPa": {760, 101.3250144354},
		"l/min->m3/h": {1000, 60}, "L/s->m³/h": {1, 3.6}, "gpm->l/min": {1, 3.785411784}, "cfm->m3/h": {1, 1.69901079552},
		"kWh->MJ": {1, 3.6}, "MWh->GJ": {1, 3.6}, "hp->kW": {1, 0.745699872}, "kcal->kJ": {1, 4.184}, "BTU/h->W": {1, 0.29307107},
		"in->mm": {1, 25.4}, "mi->km": {1, 1.609344}, "µm->mm": {1000, 1}, "km/h->m/s": {3.6, 1}, "kn->km/h": {1, 1.852},
		"lb->kg": {1, 0.45359237}, "t/h->kg/s": {3.6, 1}, "d->h": {1, 24}, "rpm->Hz": {60, 1}, "deg->rad": {180, math.Pi},
		"%->1": {50, 0.5}, "ppm->%": {10000, 1}, "mA->A": {4, 0.004}, "kOhm->Ohm": {1, 1000}, "g/l->kg/m3": {1, 1}, "ha->m2": {1, 10000},
	} {
		from, to, _ := strings.Cut(name, "->")
		r, err := convert(from, to)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := pair[0]**r.Factor + r.Offset; math.Abs(got-pair[1]) > 1e-8*math.Max(1, math.Abs(pair[1])) {
			t.Errorf("%s: %v becomes %v; want %v", name, pair[0], got, pair[1])
		}
	}
}

// TestThereAndBack: a conversion and its opposite give the number back, and a way
// over a third unit the same as the direct one.
func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, err := family(rapid.SampledFrom([]string{"Pa", "K", "J", "m", "l", "m3/h", "kg/s"}).Draw(t, "dimension"))
		if err != nil || len(all) < 4 {
			t.Fatalf("%v, %v", all, err)
		}
		pick := rapid.SampledFrom(all)
		a, b, c := pick.Draw(t, "a"), pick.Draw(t, "b"), pick.Draw(t, "c")
		value := rapid.Float64Range(-1e6, 1e6).Draw(t, "value")
		there := through(t, a, b, value)
		back := through(t, b, a, there)
		around, direct := through(t, b, c, there), through(t, a, c, value)
		if !close(t, back, value, a) || !close(t, around, direct, c) {
			t.Fatalf("%v %s is %v %s and back %v; over it %v %s, directly %v", value, a, there, b, back, around, c, direct)
		}
	})
}

func through(t *rapid.T, from, to string, value float64) float64 {
	r, err := convert(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return value**r.Factor + r.Offset
}

// close allows for rounding: relative, and of the offset of the unit.
func close(t *rapid.T, got, want float64, symbol string) bool {
	u, err := parseUnit(symbol)
	if err != nil {
		t.Fatal(err)
	}
	offset, _ := u.offset.Float64()
	return math.Abs(got-want) <= 1e-9*(math.Abs(want)+math.Abs(offset)+1)
}

func TestEveryUnitHasItsDimension(t *testing.T) {
	for name, list := range defined {
		if dimensions[name] == (dimension{}) {
			t.Errorf("dimension %s is not defined", name)
		}
		for _, text := range strings.Fields(list) {
			symbol, _, _ := strings.Cut(text, "/")
			if u, err := parseUnit(symbol); err != nil || u.dim != dimensions[name] || u.dim.String() != name {
				t.Errorf("%s: %v of %s; want %s", symbol, err, u.dim, name)
			}
		}
	}
}

func FuzzParseUnit(f *testing.F) {
	for _, seed := range []string{"C", "l/min", "°F", "kg/m3", "//", "", "1/s", "µ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if u, err := parseUnit(text); err == nil && u.factor.Sign() <= 0 {
			t.Errorf("%q has the factor %s", text, u.factor)
		}
	})
}
