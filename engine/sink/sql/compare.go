package sqlsink

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/node"
	"gorm.io/gorm"
)

// The kinds of a [RowDifference].
const (
	KindDifferent = "different"  // the row is in both tables, with differing values
	KindOnlyHere  = "only_here"  // the row is in the sink's table alone
	KindOnlyThere = "only_there" // the row is in the live table alone
)

// defaultSample is how many rows a comparison shows if nothing is said.
const defaultSample = 10

// shownLimit is how many characters of a value a comparison shows.
const shownLimit = 500

// compareChunk is how many rows one statement of a comparison reads of the table
// that it walks through, so that none comes near the driver's time limit.
const compareChunk = 10_000

// CompareOptions say what counts as a difference.
type CompareOptions struct {
	// Tolerance is by how much two numbers of a float, double or decimal column may
	// differ and still count as equal, as a part of the larger one's magnitude:
	// 0 (exact) up to but not including 1. With it, decimals are compared as doubles.
	Tolerance float64
	// Partial says that the replay left events out by a filter, so that rows which
	// only the live table has mean nothing.
	Partial bool
	// Sample bounds the rows in Comparison.Sample; 10 if 0, none if negative.
	Sample int
}

// Comparison is what [Sink.Compare] found. "Here" is the sink's own table, "there"
// the live one.
type Comparison struct {
	RowsHere int64 `json:"rows_here"`
	// RowsThere counts only the rows whose event id lies between the least and the
	// greatest one here, both included. Ids begin with the event time, so these are
	// the events of the time that was replayed.
	RowsThere int64 `json:"rows_there"`
	OnlyHere  int64 `json:"only_here"`
	// OnlyThere is within the range of RowsThere; nil with CompareOptions.Partial.
	OnlyThere *int64 `json:"only_there,omitempty"`
	// Different counts the rows in both tables in which a configured column differs.
	Different int64 `json:"different"`
	// Columns are those with differences, in the order of the sink's columns.
	Columns []ColumnDifference `json:"columns"`
	// Sample shows rows that differ, then rows only here, then rows only there, each
	// kind by rising event id, as many in all as CompareOptions.Sample says.
	Sample []RowDifference `json:"sample"`
}

// ColumnDifference says in how many rows of both tables a column differs.
type ColumnDifference struct {
	Name      string `json:"name"`
	Different int64  `json:"different"`
}

// RowDifference is one row that is not the same in both tables.
type RowDifference struct {
	EventID string `json:"event_id"` // hexadecimal
	Kind    string `json:"kind"`     // KindDifferent, KindOnlyHere or KindOnlyThere
	// Columns maps each differing column of a KindDifferent row to its values here
	// and there as text, nil for NULL, binary values in hexadecimal digits, at most
	// 500 characters of each.
	Columns map[string][2]*string `json:"columns,omitempty"`
}

// Compare compares the sink's table, a replay's shadow, with the table live of the
// same database: all rows here with those there whose event id lies between the
// least and the greatest one here. A row that a replay should have stored before
// its first or after its last row is therefore not missed, and without any row
// here all counts are 0; an event id without an event time begins with zeros and
// widens the range down to the first row. A row there counts as only there also if
// its event reached the journal outside of what was replayed.
//
// Values are compared in the columns that the sink fills: NULL is equal to NULL
// alone, text byte by byte, numbers by value. Both tables are seen as they are at
// one moment, and writers are not held up; the work is done in the database in
// bounded statements along the primary keys, so that rows of the live table
// outside the range are not read. An error is Fatal if live does not exist, lacks
// a column, or is the sink's own table; Away means that Compare may be called
// again.
func (s *Sink) Compare(ctx context.Context, live string, o CompareOptions) (*Comparison, error) {
	return s.compare(ctx, live, o, compareChunk)
}

func (s *Sink) compare(ctx context.Context, live string, o CompareOptions, chunk int) (*Comparison, error) {
	c, err := s.newComparer(ctx, live, o)
	if err == nil {
		c.chunk = chunk
		err = s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			c.tx = tx.Statement.ConnPool
			return c.run(ctx)
		}, s.dialect.snapshot())
	}
	if err != nil {
		return nil, s.classify(fmt.Errorf("sink %q: compare %s with %s: %w", s.cfg.Node, s.cfg.Options.Table, live, err))
	}
	return c.result(), nil
}

// newComparer checks what can be compared.
func (s *Sink) newComparer(ctx context.Context, live string, o CompareOptions) (*comparer, error) {
	if !(o.Tolerance >= 0 && o.Tolerance < 1) {
		return nil, node.AsFatal(fmt.Errorf("tolerance: %v is outside 0..1", o.Tolerance))
	}
	if live == s.cfg.Options.Table {
		return nil, node.AsFatal(errors.New("it is the same table"))
	}
	if o.Sample == 0 {
		o.Sample = defaultSample
	}
	found, err := s.dialect.describe(ctx, s.db, live)
	if err != nil {
		return nil, fmt.Errorf("describe table %s: %w", live, err)
	}
	columns := s.schema.Load().columns
	if problems := incomparable(live, found, columns); len(problems) > 0 {
		return nil, node.AsFatal(fmt.Errorf("%w: %s", ErrDrift, strings.Join(problems, "; ")))
	}
	c := &comparer{d: s.dialect, o: o, here: s.dialect.quote(s.cfg.Options.Table), there: s.dialect.quote(live)}
	for _, t := range columns {
		c.columns = append(c.columns, c.column(t.name, t.typ.family, found.column(t.name).typ.family))
	}
	c.differing = make([]int64, len(columns))
	return c, nil
}

// incomparable lists what the live table lacks.
func incomparable(live string, found *tableInfo, columns []target) []string {
	if found == nil {
		return []string{live + ": no such table"}
	}
	out := found.keyProblems()
	for _, t := range columns {
		if found.column(t.name) == nil {
			out = append(out, fmt.Sprintf("%s.%s: no such column", live, t.name))
		}
	}
	return out
}

// comparer is one comparison under way.
type comparer struct {
	d           dialect
	o           CompareOptions
	tx          gorm.ConnPool
	here, there string // the tables' quoted names
	columns     []comparedColumn
	chunk       int

	out       Comparison
	onlyThere int64
	differing []int64 // per column
	samples   struct{ different, here, there []RowDifference }
}

// run counts and samples, chunk by chunk.
func (c *comparer) run(ctx context.Context) error {
	ids, err := c.span(ctx)
	if err != nil || ids.from == nil {
		return err
	}
	if err := c.walk(ctx, c.here, ids, c.compareRows); err != nil {
		return err
	}
	return c.walk(ctx, c.there, ids, c.searchThere)
}

func (c *comparer) result() *Comparison {
	out := &c.out
	out.Columns, out.Sample = []ColumnDifference{}, []RowDifference{}
	for i, n := range c.differing {
		if n > 0 {
			out.Columns = append(out.Columns, ColumnDifference{c.columns[i].name, n})
		}
	}
	if !c.o.Partial {
		out.OnlyThere = &c.onlyThere
	}
	out.Sample = append(append(append(out.Sample, c.samples.different...), c.samples.here...), c.samples.there...)
	out.Sample = out.Sample[:min(len(out.Sample), max(c.o.Sample, 0))]
	return out
}

// idRange is a range of event ids that includes to, and from unless after is set.
type idRange struct {
	from, to []byte
	after    bool
}

// span returns the range of the event ids here; from is nil if there are none.
func (c *comparer) span(ctx context.Context) (idRange, error) {
	var r idRange
	err := c.tx.QueryRowContext(ctx, c.spanQuery()).Scan(&r.from, &r.to)
	return r, err
}

// walk calls do for consecutive parts of ids that hold at most chunk rows of
// table each.
func (c *comparer) walk(ctx context.Context, table string, ids idRange, do func(context.Context, idRange) error) error {
	for {
		part := ids
		err := c.tx.QueryRowContext(ctx, c.boundaryQuery(table, ids)).Scan(&part.to)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := do(ctx, part); err != nil || bytes.Equal(part.to, ids.to) {
			return err
		}
		ids.from, ids.after = part.to, true
	}
}

// compareRows compares the rows here in ids with those there.
func (c *comparer) compareRows(ctx context.Context, ids idRange) error {
	counts := make([]int64, 3+len(c.columns))
	if err := c.counts(ctx, c.compareQuery(ids), counts); err != nil {
		return err
	}
	only, different := counts[0]-counts[1], counts[2]
	c.out.RowsHere += counts[0]
	c.out.OnlyHere += only
	c.out.Different += different
	for i, n := range counts[3:] {
		c.differing[i] += n
	}
	if room := c.o.Sample - len(c.samples.different); different > 0 && room > 0 {
		if err := c.sampleDifferent(ctx, ids, room); err != nil {
			return err
		}
	}
	return c.sampleOnly(ctx, &c.samples.here, only, KindOnlyHere, c.here, c.there, ids)
}

// searchThere looks for the rows there in ids that are not here.
func (c *comparer) searchThere(ctx context.Context, ids idRange) error {
	var counts [2]int64
	if err := c.counts(ctx, c.thereQuery(ids), counts[:]); err != nil {
		return err
	}
	c.out.RowsThere += counts[0]
	if c.o.Partial {
		return nil
	}
	only := counts[0] - counts[1]
	c.onlyThere += only
	return c.sampleOnly(ctx, &c.samples.there, only, KindOnlyThere, c.there, c.here, ids)
}

// sampleOnly adds rows of table that are not in other to into, which has n of them
// in ids.
func (c *comparer) sampleOnly(ctx context.Context, into *[]RowDifference, n int64, kind, table, other string, ids idRange) error {
	room := c.o.Sample - len(*into)
	if n == 0 || room <= 0 {
		return nil
	}
	return c.query(ctx, c.onlyQuery(table, other, ids, room), func(scan func(...any) error) error {
		var id []byte
		err := scan(&id)
		*into = append(*into, RowDifference{EventID: hex.EncodeToString(id), Kind: kind})
		return err
	})
}

func (c *comparer) sampleDifferent(ctx context.Context, ids idRange, room int) error {
	return c.query(ctx, c.differentQuery(ids, room), func(scan func(...any) error) error {
		var id []byte
		differs := make([]bool, len(c.columns))
		values := make([][2]*string, len(c.columns))
		into := []any{&id}
		for i := range c.columns {
			into = append(into, &differs[i], &values[i][0], &values[i][1])
		}
		err := scan(into...)
		row := RowDifference{EventID: hex.EncodeToString(id), Kind: KindDifferent, Columns: map[string][2]*string{}}
		for i := range c.columns {
			if differs[i] {
				row.Columns[c.columns[i].name] = values[i]
			}
		}
		c.samples.different = append(c.samples.different, row)
		return err
	})
}

// counts reads the one row of numbers that query gives.
func (c *comparer) counts(ctx context.Context, query string, into []int64) error {
	fields := make([]any, len(into))
	for i := range into {
		fields[i] = &into[i]
	}
	return c.tx.QueryRowContext(ctx, query).Scan(fields...)
}

// query calls each with every row's Scan.
func (c *comparer) query(ctx context.Context, query string, each func(scan func(...any) error) error) (err error) {
	rows, err := c.tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
