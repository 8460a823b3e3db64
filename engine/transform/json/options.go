// Package jsontransform is the built-in transform `json`: it decodes a JSON
// payload into records, one for an object, one per element for an array. It
// stands between the journal and everything that needs fields. It keeps every
// digit of a number and rejects what it cannot represent; it converts nothing.
package jsontransform

import (
	"fmt"

	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/transform/shape"
)

// Default limits.
const (
	DefaultMaxDepth   = 64
	DefaultMaxRecords = 100_000
	DefaultMaxFields  = 4096
	DefaultMaxBytes   = 16 << 20
)

// Options are the `with:` of a json node. Zero limits mean the defaults.
type Options struct {
	// Path names the object or array that holds the records, field by field with
	// dots: data.items. Default: the whole payload.
	Path string `yaml:"path,omitempty" jsonschema:"description=where the records are: data.items"`
	// Scalar names the field that a bare number, string, bool or null becomes.
	// Default: bare values are rejected.
	Scalar string `yaml:"scalar,omitempty" jsonschema:"description=field that a bare value becomes"`
	// Flatten joins the names of nested objects' fields with this text. Default:
	// nested objects stay JSON text, as nested arrays always do.
	Flatten string `yaml:"flatten,omitempty" jsonschema:"description=text that joins the names of nested fields"`

	// Set sets fields by expressions that see the decoded record.
	Set map[string]string `yaml:"set,omitempty" jsonschema:"description=field and the expression that gives its value"`
	// Time names the field with the event time.
	Time string `yaml:"time,omitempty" jsonschema:"description=field that holds the event time"`
	// TimeFormats are tried in order: auto (default), rfc3339, epoch, epoch_s,
	// epoch_ms, epoch_us, epoch_ns or strftime.
	TimeFormats []string `yaml:"time_formats,omitempty" jsonschema:"description=how the event time is written"`
	// Zone is the IANA zone of times without one, default UTC.
	Zone string `yaml:"zone,omitempty" jsonschema:"description=zone of times that carry none"`

	MaxDepth   int        `yaml:"max_depth,omitempty" jsonschema:"minimum=1,maximum=1000,default=64"`           // of nesting
	MaxRecords int        `yaml:"max_records,omitempty" jsonschema:"minimum=1,maximum=10000000,default=100000"` // in one payload
	MaxFields  int        `yaml:"max_fields,omitempty" jsonschema:"minimum=1,maximum=65535,default=4096"`       // in one record
	MaxBytes   spec.Bytes `yaml:"max_bytes,omitempty" jsonschema:"description=largest payload (default 16MiB)"` // of one payload
}

// Type describes the transform to the pipeline reader.
var Type = spec.NodeType{
	Kind:      spec.Transform,
	Name:      "json",
	Doc:       "Decodes JSON payloads into records: an object is one record, an array one per element.",
	NewConfig: func() any { return newOptions() },
	Reads:     spec.Payload,
	Writes:    spec.Record,
}

func newOptions() *Options {
	return &Options{MaxDepth: DefaultMaxDepth, MaxRecords: DefaultMaxRecords, MaxFields: DefaultMaxFields, MaxBytes: DefaultMaxBytes}
}

// Check reports every problem of the options.
func (o *Options) Check() []spec.FieldError {
	errs := o.shape().Check()
	for _, b := range []struct {
		field   string
		n, most int64
	}{
		{"max_depth", int64(o.MaxDepth), 1000},
		{"max_records", int64(o.MaxRecords), 10_000_000},
		{"max_fields", int64(o.MaxFields), 65_535},
		{"max_bytes", int64(o.MaxBytes), 1 << 30},
	} {
		if b.n < 0 || b.n > b.most {
			errs = append(errs, spec.FieldError{Field: b.field, Message: fmt.Sprintf("%d is outside 1..%d", b.n, b.most)})
		}
	}
	if _, err := splitPath(o.Path); err != nil {
		errs = append(errs, spec.FieldError{Field: "path", Message: err.Error(), Hint: "write field names with dots between them: data.items"})
	}
	return errs
}

func (o *Options) shape() shape.Config {
	return shape.Config{Set: o.Set, Time: o.Time, TimeFormats: o.TimeFormats, Zone: o.Zone}
}

// withDefaults returns a copy in which zero limits are the defaults.
func (o *Options) withDefaults() Options {
	out, d := *o, newOptions()
	for _, f := range []struct{ at, def *int }{
		{&out.MaxDepth, &d.MaxDepth}, {&out.MaxRecords, &d.MaxRecords}, {&out.MaxFields, &d.MaxFields},
	} {
		if *f.at == 0 {
			*f.at = *f.def
		}
	}
	if out.MaxBytes == 0 {
		out.MaxBytes = d.MaxBytes
	}
	return out
}
