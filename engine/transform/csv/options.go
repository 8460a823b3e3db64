// Package csvtransform is the built-in transform `csv`: it decodes delimited
// text in any common encoding into records, one per row, or one per measured
// cell of a wide row. It stands between the journal and everything that needs
// fields. It rejects what it cannot read row by row; it calculates nothing.
package csvtransform

import (
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/transform/shape"
)

// Default limits.
const (
	DefaultMaxRecords = 100_000
	DefaultMaxColumns = 4096
	DefaultMaxBytes   = 16 << 20
)

// Options are the `with:` of a csv node. Zero values mean the defaults.
type Options struct {
	// Header says that the first row of each payload names the columns. Later rows
	// equal to it are skipped. With Columns the header is skipped and they count.
	Header bool `yaml:"header,omitempty" jsonschema:"description=the first row of each payload names the columns"`
	// Columns names the columns in order. Needed without Header.
	Columns []string `yaml:"columns,omitempty" jsonschema:"description=names of the columns in order"`

	Delimiter string `yaml:"delimiter,omitempty" jsonschema:"description=one ASCII character or the word tab (default a comma)"`
	Quote     string `yaml:"quote,omitempty" jsonschema:"description=one ASCII character or the word none (default double quotes)"`
	Comment   string `yaml:"comment,omitempty" jsonschema:"description=lines that begin with this text are skipped"`
	Decimal   string `yaml:"decimal,omitempty" jsonschema:"enum=point,enum=comma,default=point"`
	Thousands string `yaml:"thousands,omitempty" jsonschema:"description=one character between groups of three digits"`
	// Encoding is an IANA or WHATWG name, default utf-8. A byte order mark is skipped.
	Encoding string `yaml:"encoding,omitempty" jsonschema:"description=such as utf-8 or iso-8859-1 or euc-kr or utf-16"`

	// Types gives columns a type: string (default), number (exact), int, float,
	// decimal, bool, time.
	Types map[string]string `yaml:"types,omitempty" jsonschema:"description=column and its type: string number int float decimal bool time"`
	// Nulls are the texts that mean no value, default the empty text alone.
	Nulls    []string `yaml:"nulls,omitempty" jsonschema:"description=texts that mean no value (default the empty text)"`
	Trim     bool     `yaml:"trim,omitempty" jsonschema:"description=trim blanks of string cells"`
	Required []string `yaml:"required,omitempty" jsonschema:"description=columns that must have a value"`
	// RowName names the unnamed first cell that rows have more than the header.
	RowName string `yaml:"row_name,omitempty" jsonschema:"description=name of the unnamed first cell that rows have more than the header"`
	Ragged  string `yaml:"ragged,omitempty" jsonschema:"enum=reject,enum=pad,default=reject"`
	Repeats string `yaml:"repeats,omitempty" jsonschema:"enum=keep,enum=reject,default=keep"`
	Melt    *Melt  `yaml:"melt,omitempty"`

	// Set sets fields by expressions that see the decoded record.
	Set map[string]string `yaml:"set,omitempty" jsonschema:"description=field and the expression that gives its value"`
	// Time names the column or field with the event time.
	Time string `yaml:"time,omitempty" jsonschema:"description=field that holds the event time"`
	// TimeFrom are columns that are joined by one blank each to the field Time.
	TimeFrom []string `yaml:"time_from,omitempty" jsonschema:"description=columns whose texts joined by blanks are the event time"`
	// TimeFormats are tried in order: auto (default), rfc3339, epoch, epoch_s,
	// epoch_ms, epoch_us, epoch_ns or strftime.
	TimeFormats []string `yaml:"time_formats,omitempty" jsonschema:"description=how times are written"`
	// Zone is the IANA zone of times without one, default UTC.
	Zone string `yaml:"zone,omitempty" jsonschema:"description=zone of times that carry none"`

	MaxRecords int        `yaml:"max_records,omitempty" jsonschema:"minimum=1,maximum=10000000,default=100000"` // rows of one payload
	MaxColumns int        `yaml:"max_columns,omitempty" jsonschema:"minimum=1,maximum=65535,default=4096"`      // cells of one row
	MaxBytes   spec.Bytes `yaml:"max_bytes,omitempty" jsonschema:"description=largest payload (default 16MiB)"`
}

// Melt turns a wide row into one record per measured cell.
type Melt struct {
	// ID names the columns that every record of the row carries; the column of the
	// event time is always one.
	ID []string `yaml:"id,omitempty" jsonschema:"description=columns that every record of the row carries"`
	// Columns are the measured ones, default all others. Their type is number
	// unless `types` gives another. Cells without a value give no record.
	Columns []string          `yaml:"columns,omitempty" jsonschema:"description=measured columns (default all others)"`
	Metric  string            `yaml:"metric,omitempty" jsonschema:"description=field for the name of the column (default metric)"`
	Value   string            `yaml:"value,omitempty" jsonschema:"description=field for the cell (default value)"`
	Unit    string            `yaml:"unit,omitempty" jsonschema:"description=field for the unit (default unit)"`
	Units   map[string]string `yaml:"units,omitempty" jsonschema:"description=column and its unit"`
	Names   map[string]string `yaml:"names,omitempty" jsonschema:"description=column and the metric it stands for"`
}

// Type describes the transform to the pipeline reader.
var Type = spec.NodeType{
	Kind:      spec.Transform,
	Name:      "csv",
	Doc:       "Decodes delimited text into records: one per row, or with melt one per measured cell.",
	NewConfig: func() any { return newOptions() },
	Reads:     spec.Payload,
	Writes:    spec.Record,
}

func newOptions() *Options {
	return &Options{MaxRecords: DefaultMaxRecords, MaxColumns: DefaultMaxColumns, MaxBytes: DefaultMaxBytes}
}

func (o *Options) shape() shape.Config {
	return shape.Config{Set: o.Set, Time: o.Time, TimeFormats: o.TimeFormats, Zone: o.Zone}
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// withDefaults returns a copy in which zero values are the defaults.
func (o *Options) withDefaults() Options {
	out := *o
	out.MaxRecords = orDefault(out.MaxRecords, DefaultMaxRecords)
	out.MaxColumns = orDefault(out.MaxColumns, DefaultMaxColumns)
	out.MaxBytes = orDefault(out.MaxBytes, DefaultMaxBytes)
	out.Delimiter = orDefault(out.Delimiter, ",")
	out.Quote = orDefault(out.Quote, `"`)
	if out.Nulls == nil {
		out.Nulls = []string{""}
	}
	if out.Melt != nil {
		m := *out.Melt
		m.Metric = orDefault(m.Metric, "metric")
		m.Value = orDefault(m.Value, "value")
		m.Unit = orDefault(m.Unit, "unit")
		out.Melt = &m
	}
	return out
}
