package filesink

import (
	"fmt"
	"path/filepath"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/spec"
)

// Formats of the files.
const (
	JSONLines = "jsonl" // one JSON object a line
	CSV       = "csv"   // RFC 4180 with a header line
)

// Formulas says what becomes of a text in a CSV file that a spreadsheet would run.
const (
	Escape = "escape" // an apostrophe is put before it
	Keep   = "keep"   // it is written as it is
)

// IDField is the first column of a CSV file and the first member of a JSON line: the
// event's id as 32 hex digits.
const IDField = "event_id"

// Defaults and bounds of [Options].
const (
	DefaultRotateBytes = 64 << 20
	DefaultRotateEvery = 24 * time.Hour
	minRotateBytes     = 4 << 10
)

// Type describes the sink to the pipeline reader.
var Type = spec.NodeType{
	Kind: spec.Sink, Name: "file", Reads: spec.Record,
	Doc:       "Writes each record as one line of a CSV or JSON lines file, exactly once; a finished file appears in one step.",
	NewConfig: func() any { return NewOptions() },
}

// Options is the `with:` of a file sink.
type Options struct {
	Path        string        `yaml:"path" jsonschema:"required,description=folder of the files\\, made if it is not there; a relative one begins at the working directory"`
	Name        string        `yaml:"name,omitempty" jsonschema:"description=first part of the files' names; default: the node's id"`
	Format      string        `yaml:"format,omitempty" jsonschema:"enum=jsonl,enum=csv,default=jsonl,description=one JSON object a line\\, or CSV with a header line"`
	Columns     []Column      `yaml:"columns,omitempty" jsonschema:"description=columns after event_id\\, in order; csv needs them\\, jsonl writes the whole record without them"`
	EventID     *bool         `yaml:"event_id,omitempty" jsonschema:"default=true,description=each line begins with the event's id"`
	Delimiter   string        `yaml:"delimiter,omitempty" jsonschema:"default=\\,,description=of csv: one character between two values"`
	Formulas    string        `yaml:"formulas,omitempty" jsonschema:"enum=escape,enum=keep,default=escape,description=of csv: a text that a spreadsheet would run as a formula gets an apostrophe in front\\, or is kept as it is; numbers are never touched"`
	RotateBytes spec.Bytes    `yaml:"rotate_bytes,omitempty" jsonschema:"default=64MiB,description=a file is finished before it grows larger\\, from 4KiB; the events of one unit stay together"`
	RotateEvery time.Duration `yaml:"rotate_every,omitempty" jsonschema:"default=24h,description=a file is finished at the next multiple of this since the Unix epoch in UTC\\, such as each full hour\\, from 1s"`
}

// Column is one value of a line.
type Column struct {
	Name string `yaml:"name" jsonschema:"required,description=name in the header line or of the object's member"`
	// From is an expression over the event; default: the record's field of the
	// column's name.
	From string `yaml:"from,omitempty" jsonschema:"description=expression over the event; default: the record's field of the same name"`
	// Nullable, default true, says whether a missing value leaves the place empty; if
	// false it makes the event a dead letter.
	Nullable *bool `yaml:"nullable,omitempty" jsonschema:"default=true,description=false: an event without this value is rejected"`
}

var _ spec.Checker = (*Options)(nil)

// NewOptions returns options with their defaults.
func NewOptions() *Options {
	return &Options{
		Format: JSONLines, Delimiter: ",", Formulas: Escape, RotateBytes: DefaultRotateBytes, RotateEvery: DefaultRotateEvery,
	}
}

// fileName is what a file's name may begin with; a dot in front would hide it.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)

// Check reports every wrong option at once.
func (o *Options) Check() []spec.FieldError {
	var errs []spec.FieldError
	add := func(field, hint, format string, args ...any) {
		errs = append(errs, spec.FieldError{Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)})
	}
	if o.Path == "" {
		add("path", "name the folder that receives the files", "is missing")
	}
	if o.Name != "" && (!fileName.MatchString(o.Name) || filepath.Base(o.Name) != o.Name) {
		add("name", "", "%q is no name of a file: want letters, digits, _ . and -, at most 100", o.Name)
	}
	if o.Format != JSONLines && o.Format != CSV {
		add("format", "", "%q is neither jsonl nor csv", o.Format)
	}
	if o.Formulas != Escape && o.Formulas != Keep {
		add("formulas", "", "%q is neither escape nor keep", o.Formulas)
	}
	if r, n := utf8.DecodeRuneInString(o.Delimiter); n != len(o.Delimiter) || r == utf8.RuneError || r == '"' || r < 0x20 && r != '\t' {
		add("delimiter", `such as "," or ";"`, "%q is not one character between two values", o.Delimiter)
	}
	if o.RotateBytes < minRotateBytes {
		add("rotate_bytes", "", "%d is below %d", o.RotateBytes, minRotateBytes)
	}
	if o.RotateEvery < time.Second {
		add("rotate_every", "", "%s is below 1s", o.RotateEvery)
	}
	return append(errs, o.checkColumns()...)
}

func (o *Options) checkColumns() []spec.FieldError {
	var errs []spec.FieldError
	if len(o.Columns) == 0 && o.Format == CSV {
		errs = append(errs, spec.FieldError{Field: "columns", Message: "a csv file needs columns", Hint: "list at least one column with its name"})
	}
	seen := map[string]int{}
	if o.withID() {
		seen[IDField] = -1
	}
	for i, c := range o.Columns {
		at := fmt.Sprintf("columns[%d]", i)
		first, known := seen[c.Name]
		switch {
		case c.Name == "":
			errs = append(errs, spec.FieldError{Field: at + ".name", Message: "is missing"})
		case known && first < 0:
			errs = append(errs, spec.FieldError{Field: at + ".name", Message: fmt.Sprintf("%q is the first column already", c.Name), Hint: "leave it out, or add event_id: false"})
		case known:
			errs = append(errs, spec.FieldError{Field: at + ".name", Message: fmt.Sprintf("%q is already columns[%d]", c.Name, first)})
		default:
			seen[c.Name] = i
		}
		if _, err := compile(c); err != nil {
			errs = append(errs, spec.FieldError{Field: at + ".from", Message: err.Error()})
		}
	}
	return errs
}

func (o *Options) withID() bool { return o.EventID == nil || *o.EventID }

func (c *Column) nullable() bool { return c.Nullable == nil || *c.Nullable }
