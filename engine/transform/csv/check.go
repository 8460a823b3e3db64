package csvtransform

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/spec"
)

// Check reports every problem of the options.
func (o *Options) Check() []spec.FieldError {
	c := checker{errs: o.shape().Check()}
	c.limits(o)
	c.characters(o)
	c.words(o)
	c.names(o)
	c.melt(o)
	if _, err := newEncoding(o.Encoding); err != nil {
		c.add("encoding", err.Error(), "such as utf-8, iso-8859-1, windows-1252, euc-kr, cp949, utf-16")
	}
	return c.errs
}

type checker struct{ errs []spec.FieldError }

func (c *checker) add(field, message, hint string) {
	c.errs = append(c.errs, spec.FieldError{Field: field, Message: message, Hint: hint})
}

func (c *checker) limits(o *Options) {
	for _, b := range []struct {
		field   string
		n, most int64
	}{
		{"max_records", int64(o.MaxRecords), 10_000_000},
		{"max_columns", int64(o.MaxColumns), maxColumns},
		{"max_bytes", int64(o.MaxBytes), 1 << 30},
	} {
		if b.n < 0 || b.n > b.most {
			c.add(b.field, fmt.Sprintf("%d is outside 1..%d", b.n, b.most), "")
		}
	}
}

func (c *checker) characters(o *Options) {
	d, err := character(orDefault(o.Delimiter, ","), "tab", '\t')
	if err != nil {
		c.add("delimiter", err.Error(), "one ASCII character, or tab")
	}
	q, err := character(orDefault(o.Quote, `"`), "none", 0)
	if err != nil {
		c.add("quote", err.Error(), "one ASCII character, or none")
	} else if q == d {
		c.add("quote", "is the delimiter too", "")
	}
	if len(o.Thousands) > 0 && (len([]rune(o.Thousands)) != 1 || o.Thousands == decimalPoint(o.Decimal)) {
		c.add("thousands", fmt.Sprintf("%q is not one character other than the decimal one", o.Thousands), "")
	}
}

// character reads an option that is one ASCII character or a word for one.
func character(text, word string, stands byte) (byte, error) {
	if text == word {
		return stands, nil
	}
	if len(text) != 1 || text[0] >= 0x80 || text == "\n" || text == "\r" {
		return 0, fmt.Errorf("%q is not one ASCII character", text)
	}
	return text[0], nil
}

func decimalPoint(word string) string {
	if word == "comma" {
		return ","
	}
	return "."
}

func (c *checker) words(o *Options) {
	for _, w := range []struct {
		field, have string
		want        []string
	}{
		{"decimal", o.Decimal, []string{"point", "comma"}},
		{"ragged", o.Ragged, []string{"reject", "pad"}},
		{"repeats", o.Repeats, []string{"keep", "reject"}},
	} {
		if w.have != "" && !slices.Contains(w.want, w.have) {
			c.add(w.field, fmt.Sprintf("%q is neither %s nor %s", w.have, w.want[0], w.want[1]), "")
		}
	}
	for _, column := range slices.Sorted(maps.Keys(o.Types)) {
		if _, ok := kinds[o.Types[column]]; !ok {
			c.add("types."+column, fmt.Sprintf("%q is not a type", o.Types[column]), "string, number, int, float, decimal, bool or time")
		}
	}
}

func (c *checker) names(o *Options) {
	if !o.Header && len(o.Columns) == 0 {
		c.add("columns", "missing", "name the columns, or say header: true if each payload does")
	}
	seen := map[string]bool{}
	for i, name := range o.Columns {
		if name == "" || seen[name] {
			c.add(fmt.Sprintf("columns[%d]", i), fmt.Sprintf("%q is empty or there twice", name), "")
		}
		seen[name] = true
	}
	if o.RowName != "" && !o.Header {
		c.add("row_name", "needs header: true", "without a header, name the first column in columns")
	}
	if len(o.TimeFrom) > 0 && o.Time == "" {
		c.add("time", "missing, though time_from is given", "name the field that the joined columns become")
	}
	if len(o.Columns) > 0 {
		c.known(o)
	}
}

// known checks that columns are spelt as in `columns`.
func (c *checker) known(o *Options) {
	have := o.Columns
	if o.RowName != "" {
		have = append([]string{o.RowName}, have...)
	}
	check := func(field string, names ...string) {
		for _, name := range names {
			if !slices.Contains(have, name) {
				c.add(field, fmt.Sprintf("%q is not among the columns", name), "")
			}
		}
	}
	check("types", slices.Sorted(maps.Keys(o.Types))...)
	check("required", o.Required...)
	check("time_from", o.TimeFrom...)
	if _, set := o.Set[o.Time]; o.Time != "" && !set && len(o.TimeFrom) == 0 {
		check("time", o.Time)
	}
	if m := o.Melt; m != nil {
		check("melt.id", m.ID...)
		check("melt.columns", m.Columns...)
		check("melt.units", slices.Sorted(maps.Keys(m.Units))...)
		check("melt.names", slices.Sorted(maps.Keys(m.Names))...)
	}
}

func (c *checker) melt(o *Options) {
	m := o.withDefaults().Melt
	if m == nil {
		return
	}
	for _, name := range m.Columns {
		if slices.Contains(m.ID, name) {
			c.add("melt.columns", fmt.Sprintf("%q is in melt.id too", name), "")
		}
	}
	for _, name := range append([]string{o.Time}, m.ID...) {
		if name != "" && (name == m.Metric || name == m.Value || name == m.Unit) {
			c.add("melt", fmt.Sprintf("%q is both a column and one of the fields metric, value, unit", name), "call the field otherwise: melt.value")
		}
	}
	if m.Metric == m.Value || m.Metric == m.Unit || m.Value == m.Unit {
		c.add("melt", "metric, value and unit need three different fields", "")
	}
}
