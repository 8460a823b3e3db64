package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/plugins/sdk"
)

// Config is the node's with: block.
type Config struct {
	Field     string   `json:"field"`      // the number; default "value"
	UnitField string   `json:"unit_field"` // its unit of measure; default "unit"
	Rules     []Rule   `json:"rules"`      // what to convert, one rule a unit
	Convert   []string `json:"convert"`    // conversions of known units, such as "F->C"; in addition to rules
	To        []string `json:"to"`         // units that all others of their dimension become, such as "bar"
	Unknown   string   `json:"unknown"`    // readings in other units: keep (default), drop, reject
}

// Rule converts the readings of one unit: number * Factor + Offset.
type Rule struct {
	From   string   `json:"from"`   // unit that the reading has; "" matches a reading without one
	To     string   `json:"to"`     // unit that it gets; default: the same
	Factor *float64 `json:"factor"` // default 1
	Offset float64  `json:"offset"` // added after the factor; default 0
}

// conversion is a checked Rule.
type conversion struct {
	to             event.Value // null: the unit stays
	factor, offset float64
}

// Validate reports every bad place of the configuration at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &sdk.ConfigError{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	if len(c.Rules)+len(c.Convert)+len(c.To) == 0 {
		bad("rules", "none given, and no convert or to either: there is nothing to scale")
	}
	if !slices.Contains([]string{"", "keep", "drop", "reject"}, c.Unknown) {
		bad("unknown", "%q is none of keep, drop, reject", c.Unknown)
	}
	seen := map[string]bool{}
	for i, r := range c.Rules {
		if seen[r.From] {
			bad(fmt.Sprintf("rules[%d].from", i), "a second rule for unit %q", r.From)
		}
		seen[r.From] = true
		if r.Factor != nil && !finite(*r.Factor) || !finite(r.Offset) {
			bad(fmt.Sprintf("rules[%d]", i), "factor and offset must be finite numbers")
		}
	}
	for i, name := range c.Convert {
		from, to, _ := strings.Cut(name, "->")
		if _, err := convert(from, to); err != nil {
			bad(fmt.Sprintf("convert[%d]", i), "%q: %v; write FROM->TO, such as F->C or l/min->m3/h", name, err)
		} else if seen[from] {
			bad(fmt.Sprintf("convert[%d]", i), "a second rule for unit %q", from)
		}
		seen[from] = true
	}
	c.validateTo(bad)
	return errors.Join(errs...)
}

func (c *Config) validateTo(bad func(path, format string, args ...any)) {
	seen := map[dimension]string{}
	for i, symbol := range c.To {
		u, err := parseUnit(symbol)
		if other := seen[u.dim]; err == nil && other != "" {
			err = fmt.Errorf("%s and %s are both units of %s", other, symbol, u.dim)
		}
		if err != nil {
			bad(fmt.Sprintf("to[%d]", i), "%v", err)
			continue
		}
		seen[u.dim] = symbol
	}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// table returns the conversions by the unit that they take.
func (c *Config) table() map[string]conversion {
	table := map[string]conversion{}
	add := func(r Rule) {
		conv := conversion{factor: 1, offset: r.Offset}
		if r.To != "" && r.To != r.From {
			conv.to = event.String(r.To)
		}
		if r.Factor != nil {
			conv.factor = *r.Factor
		}
		table[r.From] = conv
	}
	for _, r := range c.Rules {
		add(r)
	}
	for _, name := range c.Convert {
		from, to, _ := strings.Cut(name, "->")
		r, _ := convert(from, to) // Validate has been here
		add(r)
	}
	for _, to := range c.To {
		symbols, _ := family(to) // Validate has been here
		for _, from := range symbols {
			if _, ok := table[from]; !ok {
				r, _ := convert(from, to) // they are of one dimension
				add(r)
			}
		}
	}
	return table
}

// scaler is the running form of a Config.
type scaler struct {
	field, unitField string
	unknown          string
	table            map[string]conversion
}

func open(c *Config) (sdk.Func, error) {
	s := &scaler{field: c.Field, unitField: c.UnitField, unknown: c.Unknown, table: c.table()}
	if s.field == "" {
		s.field = "value"
	}
	if s.unitField == "" {
		s.unitField = "unit"
	}
	return s.scale, nil
}

// scale converts one reading. A reading without a number in the field that its
// unit's rule wants is rejected; null stays null.
func (s *scaler) scale(e *sdk.Event) error {
	unit := e.Text(s.unitField)
	conv, ok := s.table[unit]
	if !ok {
		return s.other(e, unit)
	}
	value := e.Get(s.field)
	if value.IsNull() {
		return s.null(e, conv)
	}
	number, ok := value.AsFloat()
	if !ok {
		return sdk.Reject("bad_number", "field %q is a %s, want a number", s.field, value.Kind())
	}
	scaled := number*conv.factor + conv.offset
	if !finite(scaled) {
		return sdk.Reject("out_of_range", "field %q: %v scaled is no finite number", s.field, number)
	}
	s.rename(e, conv)
	return e.SetFloat(s.field, scaled)
}

// null handles a reading without a value: a sensor that was away still has its
// unit converted; a record without the field at all is bad data.
func (s *scaler) null(e *sdk.Event, conv conversion) error {
	if rec := e.In().Record; rec != nil {
		if _, ok := rec.Get(s.field); ok {
			s.rename(e, conv)
			return nil
		}
	}
	return sdk.Reject("no_field", "field %q is missing", s.field)
}

func (s *scaler) rename(e *sdk.Event, conv conversion) {
	if !conv.to.IsNull() {
		e.Set(s.unitField, conv.to)
	}
}

func (s *scaler) other(e *sdk.Event, unit string) error {
	switch s.unknown {
	case "drop":
		e.Drop()
	case "reject":
		return sdk.Reject("unknown_unit", "no rule for unit %q", unit)
	}
	return nil
}
