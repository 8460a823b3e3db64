package sqlsink

import (
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/spec"
)

// IDColumn is the name of every target table's first column and primary key: the
// event id, BINARY(16) in MariaDB and BLOB in SQLite.
const IDColumn = "event_id"

// maxRowsLimit bounds max_rows_per_insert; one statement is bounded in bytes as well.
const maxRowsLimit = 20000

// defaultRows is the default of max_rows_per_insert.
const defaultRows = 500

// Type describes the sink to the pipeline reader.
var Type = spec.NodeType{
	Kind:       spec.Sink,
	Name:       "sql",
	Doc:        "Stores each record as one row of a MariaDB or SQLite table, exactly once per event id.",
	NewConfig:  func() any { return &Options{MaxRowsPerInsert: defaultRows} },
	Reads:      spec.Record,
	Idempotent: true,
	Connection: "sql",
}

// Options is the `with:` of a sql sink.
type Options struct {
	Connection string   `yaml:"connection" jsonschema:"required,description=name of the sql connection"`
	Table      string   `yaml:"table" jsonschema:"required,description=target table; its primary key is event_id"`
	AutoCreate bool     `yaml:"auto_create,omitempty" jsonschema:"description=create the table if it does not exist"`
	Columns    []Column `yaml:"columns,omitempty" jsonschema:"description=columns after event_id; without any a table that exists is filled from the record's fields of the same names"`
	// MaxRowsPerInsert bounds the rows of one INSERT, 1..20000, default 500:
	// with more, statements outgrow the buffer that the driver keeps.
	MaxRowsPerInsert int `yaml:"max_rows_per_insert,omitempty" jsonschema:"minimum=1,maximum=20000,default=500,description=rows per INSERT statement"`
}

// Column maps a value of the event to a column of the table.
type Column struct {
	Name string `yaml:"name" jsonschema:"required,description=column name"`
	// From is an expression over the event; default: the record's field of the
	// column's name.
	From string `yaml:"from,omitempty" jsonschema:"description=expression over the event; default: the record's field of the same name"`
	// Type is the SQL type: string, varchar(N), text, double, float, bigint, int,
	// smallint, tinyint, bool, decimal(P,S), datetime(0..6), json, blob,
	// varbinary(N), binary(N). Without it the type of a table that exists is
	// taken; auto_create takes datetime(3) for times and varchar(191) for the rest.
	Type string `yaml:"type,omitempty" jsonschema:"description=SQL type such as varchar(64)\\, double\\, bigint\\, decimal(38\\,12)\\, datetime(3)\\, json; default: what the table has"`
	// Nullable, default true, says whether a missing value is stored as NULL; if
	// false it makes the row a dead letter.
	Nullable *bool `yaml:"nullable,omitempty" jsonschema:"default=true,description=false: an event without this value is rejected"`
}

// Check reports every wrong option at once.
func (o *Options) Check() []spec.FieldError {
	var errs []spec.FieldError
	if msg := badIdentifier(o.Table); msg != "" {
		errs = append(errs, spec.FieldError{Field: "table", Message: msg, Hint: "name the table that receives the rows"})
	}
	if o.MaxRowsPerInsert < 0 || o.MaxRowsPerInsert > maxRowsLimit {
		errs = append(errs, spec.FieldError{
			Field:   "max_rows_per_insert",
			Message: fmt.Sprintf("%d is outside 1..%d", o.MaxRowsPerInsert, maxRowsLimit),
		})
	}
	if len(o.Columns) == 0 && o.AutoCreate {
		errs = append(errs, spec.FieldError{
			Field: "columns", Message: "auto_create needs columns", Hint: "list at least one column with its name",
		})
	}
	return append(errs, o.checkColumns()...)
}

func (o *Options) checkColumns() []spec.FieldError {
	var errs []spec.FieldError
	seen := map[string]int{IDColumn: -1}
	for i, c := range o.Columns {
		at := fmt.Sprintf("columns[%d]", i)
		if first, ok := seen[foldName(c.Name)]; ok && c.Name != "" {
			errs = append(errs, spec.FieldError{Field: at + ".name", Message: repeated(c.Name, first)})
		}
		seen[foldName(c.Name)] = i
		if msg := badIdentifier(c.Name); msg != "" {
			errs = append(errs, spec.FieldError{Field: at + ".name", Message: msg})
		}
		if _, err := compileFrom(c); err != nil {
			errs = append(errs, spec.FieldError{Field: at + ".from", Message: err.Error()})
		}
		if _, err := parseType(c.Type); c.Type != "" && err != nil {
			errs = append(errs, spec.FieldError{
				Field: at + ".type", Message: err.Error(), Hint: "such as varchar(64), double, bigint, decimal(38,12), datetime(3), json",
			})
		}
	}
	return errs
}

func repeated(name string, first int) string {
	if first < 0 {
		return fmt.Sprintf("%q is always the first column; leave it out", name)
	}
	return fmt.Sprintf("%q is already columns[%d]", name, first)
}

// badIdentifier says why name cannot be a table's or a column's name, "" if it
// can: 1..64 characters, none of them a control character, no trailing space.
func badIdentifier(name string) string {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "is missing"
	case n > 64:
		return fmt.Sprintf("%q has %d characters, at most 64 are allowed", name, n)
	case !utf8.ValidString(name), name[len(name)-1] == ' ':
		return fmt.Sprintf("%q is no valid name", name)
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f || r > 0xffff {
			return fmt.Sprintf("%q holds a character that names cannot have", name)
		}
	}
	return ""
}

func (o *Options) rowsPerInsert() int {
	if o.MaxRowsPerInsert <= 0 {
		return defaultRows
	}
	return o.MaxRowsPerInsert
}

func (c *Column) nullable() bool { return c.Nullable == nil || *c.Nullable }
