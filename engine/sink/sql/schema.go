package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// target is one column that the sink fills.
type target struct {
	name     string
	get      getter
	typ      colType
	nullable bool
}

// schema is the target table as it was last found; it is replaced, never changed.
type schema struct {
	columns []target
	insert  string // INSERT INTO ... VALUES
	tail    string // what becomes of a row whose event id is stored already
}

// same reports whether both fill the table in the same way.
func (s *schema) same(as *schema) bool {
	return s.insert == as.insert && s.tail == as.tail && slices.EqualFunc(s.columns, as.columns, func(a, b target) bool {
		return a.typ == b.typ && a.nullable == b.nullable
	})
}

// ErrDrift marks a target table that is not what the pipeline needs. The text
// names each column, what was expected and found, and how to mend it.
var ErrDrift = errors.New("table does not fit")

// prepareTable creates the table if it may, and checks it.
func (s *Sink) prepareTable(ctx context.Context) error {
	found, err := s.dialect.describe(ctx, s.db, s.cfg.Options.Table)
	if err != nil {
		return s.classifyStart(fmt.Errorf("describe table %s: %w", s.cfg.Options.Table, err))
	}
	if found == nil {
		if err := s.makeTable(ctx); err != nil {
			return s.classifyStart(fmt.Errorf("create table %s: %w", s.cfg.Options.Table, err))
		}
	}
	return s.verify(ctx)
}

// makeTable creates the table as the configuration says, if it says so.
func (s *Sink) makeTable(ctx context.Context) error {
	if s.cfg.Like != "" {
		if made, err := s.copyTable(ctx); made || err != nil {
			return err
		}
	}
	if s.cfg.Options.AutoCreate {
		return s.createTable(ctx)
	}
	return nil
}

func (s *Sink) createTable(ctx context.Context) error {
	columns := make([]target, len(s.cfg.Options.Columns))
	for i, c := range s.cfg.Options.Columns {
		t, err := parseType(defaultType(c))
		if err != nil {
			return err // Check has refused it before
		}
		columns[i] = target{name: c.Name, typ: t, nullable: c.nullable()}
	}
	s.cfg.Logger.Info("creating table", "sink", s.cfg.Node, "table", s.cfg.Options.Table)
	return s.db.WithContext(ctx).Exec(s.dialect.createTable(s.cfg.Options.Table, columns)).Error
}

// defaultType is what auto_create takes for a column without a type.
func defaultType(c Column) string {
	switch {
	case c.Type != "":
		return c.Type
	case c.From == "time":
		return "datetime(3)"
	case c.From == "root_id":
		return "varchar(255)"
	case c.From == "record":
		return "json"
	}
	return "varchar(191)"
}

// verify compares the table with what the pipeline needs and adopts it. A table
// that was found good before must still take all that it took then.
func (s *Sink) verify(ctx context.Context) error {
	found, err := s.dialect.describe(ctx, s.db, s.cfg.Options.Table)
	if err != nil {
		return s.classify(fmt.Errorf("describe table %s: %w", s.cfg.Options.Table, err))
	}
	if problems := s.problems(found); len(problems) > 0 {
		s.drifts.Add(1)
		return node.AsFatal(fmt.Errorf("%w: %s; paused until it is mended", ErrDrift, drift(problems)))
	}
	adopted, err := s.adopt(found)
	if err != nil {
		return node.AsFatal(err)
	}
	s.schema.Store(adopted)
	s.verified.Store(time.Now().UnixNano())
	s.suspect.Store(false)
	return nil
}

// Problem is one thing that keeps a table from taking rows.
type Problem struct {
	Found string // what is wrong, beginning with the table or the column
	Mend  string // an SQL statement, or a line of the sink's options
}

// drift writes problems in one line.
func drift(problems []Problem) string {
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = p.Found
	}
	return strings.Join(texts, "; ")
}

// problems lists all that keeps the table from taking rows.
func (s *Sink) problems(found *tableInfo) []Problem {
	if found == nil {
		return []Problem{{fmt.Sprintf("%s: no such table: create it, or set auto_create: true", s.cfg.Options.Table), s.mendMissing()}}
	}
	var out []Problem
	if found.unfit != "" {
		out = append(out, Problem{found.name + ": " + found.unfit, s.mendKind(found)})
	}
	for _, text := range found.keyProblems() {
		out = append(out, Problem{text, s.mendKey(found)})
	}
	if id := found.column(IDColumn); id != nil && (id.typ.family != famBinary || id.typ.size < 16 || id.typ.fixed && id.typ.size != 16) {
		out = append(out, Problem{fmt.Sprintf("%s.%s: expected binary(16), found %s", found.name, IDColumn, id.typ), s.modify(IDColumn, "BINARY(16) NOT NULL")})
	}
	for _, c := range s.wanted(found) {
		out = append(out, s.columnProblems(c, found)...)
	}
	return append(out, s.unfilled(found)...)
}

// keyProblems says what keeps the table's rows from being told by their event id.
func (t *tableInfo) keyProblems() []string {
	if len(t.primaryKey) == 1 && foldName(t.primaryKey[0]) == IDColumn {
		return nil
	}
	return []string{fmt.Sprintf("%s: expected primary key (%s), found (%s): repeats could not be told: ALTER TABLE ... ADD PRIMARY KEY",
		t.name, IDColumn, strings.Join(t.primaryKey, ", "))}
}

// wanted returns the configured columns; without any, the table's own.
func (s *Sink) wanted(found *tableInfo) []Column {
	if len(s.cfg.Options.Columns) > 0 {
		return s.cfg.Options.Columns
	}
	var all []Column
	for _, c := range found.columns {
		if foldName(c.name) != IDColumn && !c.generated {
			all = append(all, Column{Name: c.name})
		}
	}
	return all
}

func (s *Sink) columnProblems(c Column, found *tableInfo) []Problem {
	at := found.name + "." + c.Name
	have := found.column(c.Name)
	if have == nil {
		return []Problem{{fmt.Sprintf("%s: expected %s, found no such column: ALTER TABLE ... ADD COLUMN, or drop it from columns", at, defaultType(c)), s.addColumn(c)}}
	}
	var out []Problem
	want, known := s.expected(c)
	switch {
	case have.generated:
		out = append(out, Problem{at + ": is computed by the database and cannot be filled: drop it from columns", dropFromColumns(c)})
	case have.typ.family == famOther:
		out = append(out, Problem{fmt.Sprintf("%s: found type %s, which the sink cannot fill", at, have.typ), s.modify(c.Name, s.columnDDL(c))})
	case known && !have.typ.takes(want):
		out = append(out, Problem{fmt.Sprintf("%s: expected %s, found %s: ALTER TABLE ... MODIFY COLUMN, or change type", at, want, have.typ), s.modify(c.Name, s.columnDDL(c))})
	case !known && have.typ.family == famTime && have.typ.scale < 3:
		out = append(out, Problem{fmt.Sprintf("%s: expected datetime(3), found %s, which cuts milliseconds: MODIFY COLUMN, or say so with type", at, have.typ), s.modify(c.Name, "DATETIME(3)"+nullDDL(have.nullable))})
	}
	if c.nullable() && c.Nullable != nil && !have.nullable {
		out = append(out, Problem{fmt.Sprintf("%s: expected nullable, found NOT NULL", at), s.modify(c.Name, s.dialect.typeDDL(have.typ)+nullDDL(true))})
	}
	return out
}

// expected returns the type that column c must take: the author's, else the one
// that the table had when it was last found good.
func (s *Sink) expected(c Column) (colType, bool) {
	if c.Type != "" {
		t, err := parseType(c.Type)
		return t, err == nil
	}
	if last := s.schema.Load(); last != nil {
		for _, t := range last.columns {
			if t.name == c.Name {
				return t.typ, true
			}
		}
	}
	return colType{}, false
}

// unfilled lists the table's columns that need a value and get none.
func (s *Sink) unfilled(found *tableInfo) []Problem {
	filled := map[string]bool{IDColumn: true}
	for _, c := range s.wanted(found) {
		filled[foldName(c.Name)] = true
	}
	var out []Problem
	for _, have := range found.columns {
		if !filled[foldName(have.name)] && !have.optional {
			out = append(out, Problem{fmt.Sprintf("%s.%s: is NOT NULL without a default and not in columns: add it, or give it a default",
				found.name, have.name), s.modify(have.name, s.dialect.typeDDL(have.typ)+nullDDL(true))})
		}
	}
	return out
}

// filled returns the type that decides how values are written: the table's own,
// except where MariaDB keeps the author's under another name, JSON as LONGTEXT and
// BOOLEAN as TINYINT.
func (s *Sink) filled(c Column, have colType) colType {
	if want, err := parseType(c.Type); err == nil && (want.family == famJSON || want.family == famBool) {
		return want
	}
	return have
}

// adopt makes the schema that fills the table as found.
func (s *Sink) adopt(found *tableInfo) (*schema, error) {
	out := &schema{}
	names := []string{s.dialect.quote(IDColumn)}
	for _, c := range s.wanted(found) {
		get, err := compileFrom(c)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		have := found.column(c.Name)
		out.columns = append(out.columns, target{c.Name, get, s.filled(c, have.typ), have.nullable && c.nullable()})
		names = append(names, s.dialect.quote(c.Name))
	}
	out.tail = s.dialect.conflict(found.otherKeys, s.overwrites(out.columns))
	out.insert = "INSERT INTO " + s.dialect.quote(s.cfg.Options.Table) + " (" + strings.Join(names, ", ") + ") VALUES "
	return out, nil
}

// overwrites returns the names of the columns in which a stored row takes new
// values.
func (s *Sink) overwrites(columns []target) []string {
	if !s.cfg.Overwrite {
		return nil
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}
