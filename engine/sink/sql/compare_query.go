package sqlsink

import (
	"fmt"
	"strconv"
	"strings"
)

// valueKind is how values of a type are compared.
type valueKind uint8

const (
	kindBytes  valueKind = iota // byte by byte
	kindNumber                  // by value
	kindTime
)

func (f family) kind() valueKind {
	switch f {
	case famInt, famBool, famFloat, famDouble, famDecimal:
		return kindNumber
	case famTime:
		return kindTime
	}
	return kindBytes
}

// fraction reports whether values of the type are seldom exact.
func (f family) fraction() bool { return f == famFloat || f == famDouble || f == famDecimal }

// comparedColumn holds the SQL expressions about one column of the rows a, here,
// and b, there.
type comparedColumn struct {
	name        string
	differs     string // never NULL
	here, there string // as text
}

func (c *comparer) column(name string, here, there family) comparedColumn {
	a, b := "a."+c.d.quote(name), "b."+c.d.quote(name)
	same := c.d.equal(a, b, here, there)
	if c.o.Tolerance > 0 && here.fraction() && there.kind() == kindNumber {
		same += " OR " + c.near(c.d.double(a), c.d.double(b))
	}
	return comparedColumn{name, "NOT (" + same + ")", c.d.shown(a, here), c.d.shown(b, there)}
}

// near returns the condition that two doubles are within the tolerance. Halves,
// because the difference of two doubles may be outside a double's range, which
// MariaDB takes for an error.
func (c *comparer) near(a, b string) string {
	half := strconv.FormatFloat(c.o.Tolerance/2, 'e', -1, 64)
	distance := fmt.Sprintf("ABS(%s / 2 - %s / 2) <= %s * ABS(", a, b, half)
	return fmt.Sprintf("COALESCE(%s%s) OR %s%s), 0)", distance, a, distance, b)
}

// anyDiffers returns the condition that a row differs in any column.
func (c *comparer) anyDiffers() string {
	all := []string{"1 = 0"}
	for _, column := range c.columns {
		all = append(all, column.differs)
	}
	return "(" + strings.Join(all, " OR ") + ")"
}

// id returns the event id of row a or b.
func (c *comparer) id(row string) string { return row + "." + c.d.quote(IDColumn) }

// within returns the condition that a's event id is in ids, as literals.
func (c *comparer) within(ids idRange) string {
	from := " >= "
	if ids.after {
		from = " > "
	}
	text := appendHex([]byte(c.id("a")+from), string(ids.from))
	text = appendHex(append(text, " AND "+c.id("a")+" <= "...), string(ids.to))
	return string(text)
}

// beside returns the rows of table, those of other beside them as far as there
// are any: an outer join, so that table is the one that is walked through.
func (c *comparer) beside(table, other string) string {
	return fmt.Sprintf(" FROM %s a LEFT JOIN %s b ON %s = %s", table, other, c.id("b"), c.id("a"))
}

func (c *comparer) spanQuery() string {
	return fmt.Sprintf("SELECT MIN(%[1]s), MAX(%[1]s) FROM %[2]s a", c.id("a"), c.here)
}

// boundaryQuery asks for the id of the chunk's last row, if there are as many.
func (c *comparer) boundaryQuery(table string, ids idRange) string {
	return fmt.Sprintf("SELECT %[1]s FROM %[2]s a WHERE %[3]s ORDER BY %[1]s LIMIT 1 OFFSET %[4]d",
		c.id("a"), table, c.within(ids), c.chunk-1)
}

// compareQuery counts rows here, rows in both, those that differ, and the same for
// each column.
func (c *comparer) compareQuery(ids idRange) string {
	var b strings.Builder
	count := func(condition string) {
		fmt.Fprintf(&b, ", COUNT(CASE WHEN %s IS NOT NULL AND %s THEN 1 END)", c.id("b"), condition)
	}
	b.WriteString("SELECT COUNT(*), COUNT(" + c.id("b") + ")")
	count(c.anyDiffers())
	for _, column := range c.columns {
		count(column.differs)
	}
	return b.String() + c.beside(c.here, c.there) + " WHERE " + c.within(ids)
}

// thereQuery counts rows there and, unless the replay is partial, those in both.
func (c *comparer) thereQuery(ids idRange) string {
	if c.o.Partial {
		return "SELECT COUNT(*), 0 FROM " + c.there + " a WHERE " + c.within(ids)
	}
	return "SELECT COUNT(*), COUNT(" + c.id("b") + ")" + c.beside(c.there, c.here) + " WHERE " + c.within(ids)
}

func (c *comparer) onlyQuery(table, other string, ids idRange, limit int) string {
	return fmt.Sprintf("SELECT %[1]s%[2]s WHERE %[3]s AND %[4]s IS NULL ORDER BY %[1]s LIMIT %[5]d",
		c.id("a"), c.beside(table, other), c.within(ids), c.id("b"), limit)
}

func (c *comparer) differentQuery(ids idRange, limit int) string {
	fields := []string{c.id("a")}
	for _, column := range c.columns {
		fields = append(fields, column.differs, column.here, column.there)
	}
	return fmt.Sprintf("SELECT %s%s WHERE %s AND %s IS NOT NULL AND %s ORDER BY %s LIMIT %d", strings.Join(fields, ", "),
		c.beside(c.here, c.there), c.within(ids), c.id("b"), c.anyDiffers(), c.id("a"), limit)
}
