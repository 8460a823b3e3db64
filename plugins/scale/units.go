package main

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// dimension is the exponents of length, mass, time, current, temperature, angle and
// ratio. Units of one dimension can be converted into each other.
type dimension [7]int8

var dimensions = map[string]dimension{
	"length": {1}, "mass": {0, 1}, "time": {0, 0, 1}, "current": {0, 0, 0, 1}, "temperature": {0, 0, 0, 0, 1},
	"angle": {0, 0, 0, 0, 0, 1}, "ratio": {0, 0, 0, 0, 0, 0, 1},
	"area": {2}, "volume": {3}, "speed": {1, 0, -1}, "flow": {3, 0, -1}, "mass flow": {0, 1, -1},
	"pressure": {-1, 1, -2}, "energy": {2, 1, -2}, "power": {2, 1, -3}, "force": {1, 1, -2},
	"frequency": {0, 0, -1}, "voltage": {2, 1, -3, -1}, "resistance": {2, 1, -3, -2},
}

func (d dimension) String() string {
	for name, other := range dimensions {
		if other == d {
			return name
		}
	}
	return "another dimension"
}

// unit is a unit of measure by what it is in base units (m, kg, s, A, K, rad, 1):
// number * factor + offset. The numbers are exact.
type unit struct {
	dim            dimension
	factor, offset *big.Rat
}

// defined are units by dimension: symbol, factor, offset if any, and the prefixes
// that go before the symbol. Factors are exact by definition (SI brochure, 9th
// edition; NIST SP 811, appendix B), but for mmHg and the inches of mercury and
// water, whose conventional values are given.
var defined = map[string]string{
	"length":      "m/1/kcdmun in/0.0254 ft/0.3048 yd/0.9144 mi/1609.344",
	"area":        "m2/1 cm2/1e-4 mm2/1e-6 ha/1e4 ft2/0.09290304",
	"volume":      "m3/1 cm3/1e-6 mm3/1e-9 l/1e-3/hcdmu ft3/0.028316846592 gal/0.003785411784",
	"mass":        "g/1e-3/kmun t/1e3 lb/0.45359237 oz/0.028349523125",
	"time":        "s/1/mun min/60 h/3600 d/86400",
	"temperature": "K/1/m C/1/+273.15 F/5:9/+45967:180 R/5:9",
	"current":     "A/1/kmun",
	"voltage":     "V/1/Mkmu",
	"resistance":  "Ohm/1/Mkm",
	"pressure":    "Pa/1/GMkhm bar/1e5/mu psi/6894.757293168361 atm/101325 Torr/101325:760 mmHg/133.322387415 inHg/3386.389 mmH2O/9.80665 inH2O/249.08891",
	"force":       "N/1/Mkm kgf/9.80665 lbf/4.4482216152605",
	"energy":      "J/1/GMkm Wh/3600/TGMkm cal/4.184/k BTU/1055.05585262",
	"power":       "W/1/GMkm hp/745.69987158227022 PS/735.49875",
	"frequency":   "Hz/1/GMk rpm/1:60",
	"angle":       "rad/1/m deg/3.14159265358979323846264338327950288:180",
	"ratio":       "1/1 %/1e-2 ppm/1e-6 ppb/1e-9",
	"speed":       "mph/0.44704 kn/1852:3600",
	"flow":        "gpm/0.003785411784:60 cfm/0.028316846592:60",
}

var prefixes = map[byte]string{
	'T': "1e12", 'G': "1e9", 'M': "1e6", 'k': "1e3", 'h': "1e2", 'c': "1e-2", 'd': "1e-1", 'm': "1e-3", 'u': "1e-6", 'n': "1e-9",
}

// spellings are other ways to write the same.
var spellings = strings.NewReplacer("µ", "u", "μ", "u", "°", "", "³", "3", "²", "2", "Ω", "Ohm", "Cel", "C", "degC", "C", "degF", "F", "m^", "m", "L", "l")

// units are all units that have a symbol of their own, by symbol.
var units = define()

func define() map[string]unit {
	all := map[string]unit{}
	for name, list := range defined {
		for _, text := range strings.Fields(list) {
			parts := strings.Split(text, "/")
			u := unit{dimensions[name], ratio(parts[1]), new(big.Rat)}
			all[parts[0]] = u
			for _, more := range parts[2:] {
				if offset, ok := strings.CutPrefix(more, "+"); ok {
					u.offset = ratio(offset)
					all[parts[0]] = u
					continue
				}
				for _, p := range []byte(more) {
					factor := new(big.Rat).Mul(u.factor, ratio(prefixes[p]))
					all[string(p)+parts[0]] = unit{u.dim, factor, u.offset}
				}
			}
		}
	}
	return all
}

// ratio reads "0.3048", "1e-3" or "5:9".
func ratio(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(strings.Replace(text, ":", "/", 1))
	if num, den, found := strings.Cut(text, ":"); found {
		r, ok = new(big.Rat).Quo(ratio(num), ratio(den)), true
	}
	if !ok {
		panic("scale: the table of units holds " + text)
	}
	return r
}

// parseUnit finds a unit by its symbol; "l/min" and "kg/m3" are quotients of two.
func parseUnit(text string) (unit, error) {
	symbol := spellings.Replace(text)
	if u, ok := units[symbol]; ok {
		return u, nil
	}
	over, under, found := strings.Cut(symbol, "/")
	a, okA := units[over]
	b, okB := units[under]
	if !found || !okA || !okB || a.offset.Sign() != 0 || b.offset.Sign() != 0 {
		return unit{}, fmt.Errorf("unknown unit %q", text)
	}
	for i := range a.dim {
		a.dim[i] -= b.dim[i]
	}
	a.factor = new(big.Rat).Quo(a.factor, b.factor)
	return a, nil
}

// convert returns the conversion from one unit into another.
func convert(from, to string) (Rule, error) {
	a, err := parseUnit(from)
	if err != nil {
		return Rule{}, err
	}
	b, err := parseUnit(to)
	if err != nil {
		return Rule{}, err
	}
	if a.dim != b.dim {
		return Rule{}, fmt.Errorf("%s is a unit of %s, %s of %s", from, a.dim, to, b.dim)
	}
	factor, _ := new(big.Rat).Quo(a.factor, b.factor).Float64()
	offset := new(big.Rat).Sub(a.offset, b.offset)
	shift, _ := offset.Quo(offset, b.factor).Float64()
	return Rule{From: from, To: to, Factor: &factor, Offset: shift}, nil
}

// quotients are the denominators with which [family] goes through quotients.
var quotients = []string{"s", "min", "h", "d", "m3", "l"}

// family returns the symbols, in order, of all units of the dimension of symbol, and
// of the quotients over a time or a volume.
func family(symbol string) ([]string, error) {
	of, err := parseUnit(symbol)
	if err != nil {
		return nil, err
	}
	var all []string
	for name := range units {
		for _, candidate := range append([]string{name}, over(name)...) {
			if u, err := parseUnit(candidate); err == nil && u.dim == of.dim {
				all = append(all, candidate)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

func over(symbol string) []string {
	all := make([]string, len(quotients))
	for i, q := range quotients {
		all[i] = symbol + "/" + q
	}
	return all
}
