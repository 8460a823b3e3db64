package sqlsink

import (
	"fmt"
	"strings"
)

// mendMissing is a line of options where the sink can make the table, else the
// statement that does.
func (s *Sink) mendMissing() string {
	if len(s.cfg.Options.Columns) > 0 {
		return "auto_create: true"
	}
	lines := strings.Split(s.dialect.createTable(s.cfg.Options.Table, nil), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " ") + ";"
}

func (s *Sink) mendKind(found *tableInfo) string {
	if _, ok := s.dialect.(mariadb); ok && strings.HasPrefix(found.unfit, "its engine") {
		return s.alter("ENGINE=InnoDB")
	}
	return "table: NAME_OF_A_TABLE"
}

func (s *Sink) mendKey(found *tableInfo) string {
	change := "ADD PRIMARY KEY (" + s.dialect.quote(IDColumn) + ")"
	if len(found.primaryKey) > 0 {
		change = "DROP PRIMARY KEY, " + change
	}
	if found.column(IDColumn) == nil {
		change = fmt.Sprintf("ADD COLUMN %s BINARY(16) NOT NULL FIRST, %s", s.dialect.quote(IDColumn), change)
	}
	return s.change(change)
}

func (s *Sink) addColumn(c Column) string {
	return s.alter("ADD COLUMN " + s.dialect.quote(c.Name) + " " + s.columnDDL(c))
}

// columnDDL is what auto_create would make of c.
func (s *Sink) columnDDL(c Column) string {
	t, err := parseType(defaultType(c))
	if err != nil {
		return "TEXT" // Check has refused it before
	}
	return s.dialect.typeDDL(t) + nullDDL(c.nullable())
}

func (s *Sink) modify(column, definition string) string {
	return s.change("MODIFY COLUMN " + s.dialect.quote(column) + " " + definition)
}

// change alters what a table has. SQLite cannot: there, a new one takes its place.
func (s *Sink) change(how string) string {
	if _, ok := s.dialect.(sqliteFile); ok {
		table := s.dialect.quote(s.cfg.Options.Table)
		return fmt.Sprintf("ALTER TABLE %s RENAME TO %s; -- then create it anew and copy its rows", table, s.dialect.quote(s.cfg.Options.Table+"_old"))
	}
	return s.alter(how)
}

func (s *Sink) alter(how string) string {
	return "ALTER TABLE " + s.dialect.quote(s.cfg.Options.Table) + " " + how + ";"
}

func dropFromColumns(c Column) string {
	return fmt.Sprintf("columns: # without { name: %s }", c.Name)
}
