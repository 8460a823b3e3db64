package csvtransform

import (
	"fmt"
	"slices"
	"strings"
)

// maxColumns bounds the cells of a row: a melted cell's ordinal is its row's
// number and 16 bits of column index.
const maxColumns = 1<<16 - 1

// role is what becomes of a column's cells.
type role uint8

const (
	plain    role = iota // a field of the record
	measured             // a record of its own (melt)
	ignored              // nothing (melt, or joined into the time)
)

// column is what is known of one column before any row is read.
type column struct {
	name     string
	kind     kind
	role     role
	required bool
	metric   string // measured: name to give
	unit     string // measured: "" if none
}

// layout is a payload's columns in order.
type layout struct {
	columns []column
	joined  []int // columns that make the event time, in order
	melts   bool
}

// newLayout works out the columns called names.
func newLayout(o *Options, names []string) (*layout, error) {
	l := &layout{melts: o.Melt != nil}
	for _, name := range names {
		c := column{name: name, kind: kinds[o.Types[name]], required: slices.Contains(o.Required, name)}
		switch {
		case slices.Contains(o.TimeFrom, name):
			c.role = ignored
		case o.Melt != nil:
			melt(&c, o)
		}
		l.columns = append(l.columns, c)
	}
	for _, name := range o.TimeFrom {
		l.joined = append(l.joined, slices.Index(names, name))
	}
	return l, l.check(o, names)
}

func melt(c *column, o *Options) {
	m := o.Melt
	switch {
	case slices.Contains(m.ID, c.name) || c.name == o.Time:
	case len(m.Columns) > 0 && !slices.Contains(m.Columns, c.name):
		c.role = ignored
	default:
		c.role = measured
		c.metric = orDefault(m.Names[c.name], c.name)
		c.unit = m.Units[c.name]
		if _, typed := o.Types[c.name]; !typed {
			c.kind = exact
		}
	}
}

// check reports columns that occur twice and columns that the options need.
func (l *layout) check(o *Options, names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return fmt.Errorf("column %q occurs twice", name)
		}
		seen[name] = true
	}
	needed := slices.Concat(o.Required, o.TimeFrom)
	if o.Melt != nil {
		needed = slices.Concat(needed, o.Melt.ID, o.Melt.Columns)
	}
	for _, name := range needed {
		if !seen[name] {
			return fmt.Errorf("no column %q among %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// headerNames turns a header row into column names.
func headerNames(cells []string, rowName string) []string {
	var names []string
	if rowName != "" {
		names = append(names, rowName)
	}
	for _, c := range cells {
		names = append(names, strings.Clone(strings.TrimSpace(c)))
	}
	for i, name := range names {
		if name == "" {
			names[i] = fmt.Sprintf("column%d", i+1)
		}
	}
	return names
}
