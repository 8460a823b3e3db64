package chart

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/spec"
)

// Bounds of a [Look].
const (
	MaxThresholds = 16  // of one chart
	MaxBands      = 16  // of one chart
	MaxCharts     = 256 // with a look of their own
	MaxLabel      = 40  // characters
)

// Ways to draw a chart.
const (
	Line  = "line"  // from point to point
	Step  = "step"  // a value holds until the next one
	Area  = "area"  // a line, filled down to zero or to the lower edge
	Bar   = "bar"   // the mean of each stretch of time, from zero
	State = "state" // a row for each series, coloured by its value
	Value = "value" // the newest value of each series, large
	Table = "table" // a row for each series, in numbers
)

// Severities of a threshold or a band.
const (
	Fine  = "ok" // bands only
	Warn  = "warn"
	Alarm = "alarm"
)

// Sides of a threshold that it warns of.
const (
	Above = "above" // at the threshold and above it
	Below = "below" // at the threshold and below it
)

// Look is how a chart is drawn.
type Look struct {
	Draw       string      `yaml:"draw,omitempty" jsonschema:"description=How values are drawn; bar: the mean of each stretch of time; state: a row for each series\\, coloured by its value; value: large numbers; table: rows of numbers,enum=line,enum=step,enum=area,enum=bar,enum=state,enum=value,enum=table,default=line"`
	Thresholds []Threshold `yaml:"thresholds,omitempty" jsonschema:"description=Limits drawn as lines across the chart\\, at most 16,maxItems=16"`
	Bands      []Band      `yaml:"bands,omitempty" jsonschema:"description=Ranges of values drawn behind the lines\\, at most 16; with draw: state they name the states,maxItems=16"`
}

// Threshold is a limit of the values.
type Threshold struct {
	At       float64 `yaml:"at" json:"at" jsonschema:"required,description=The limit\\, in the unit of the values"`
	Label    string  `yaml:"label,omitempty" json:"label,omitempty" jsonschema:"description=What it is called\\, at most 40 characters,maxLength=40"`
	Severity string  `yaml:"severity" json:"severity" jsonschema:"required,description=What a value beyond it means,enum=warn,enum=alarm"`
	Side     string  `yaml:"side,omitempty" json:"side,omitempty" jsonschema:"description=Which values are beyond it; the limit itself is,enum=above,enum=below,default=above"`
}

// Band is a range of values: From and what is above it, up to but not with To.
type Band struct {
	From     float64 `yaml:"from" json:"from" jsonschema:"required,description=Lower end; it belongs to the band"`
	To       float64 `yaml:"to" json:"to" jsonschema:"required,description=Upper end; it does not belong to the band"`
	Label    string  `yaml:"label,omitempty" json:"label,omitempty" jsonschema:"description=What it is called\\, at most 40 characters,maxLength=40"`
	Severity string  `yaml:"severity" json:"severity" jsonschema:"required,description=What a value within it means,enum=ok,enum=warn,enum=alarm"`
}

// One is what a single chart of the node has otherwise than the node. What is left
// out is as the node says; an empty list of thresholds or bands means none.
type One struct {
	Title    string `yaml:"title,omitempty" jsonschema:"description=Heading of the chart; without it its value of the chart expression,maxLength=80"`
	Decimals *int   `yaml:"decimals,omitempty" jsonschema:"description=Digits after the point\\, 0 to 12,minimum=0,maximum=12"`
	Look     `yaml:",inline"`
}

// Of returns how the chart of this key is drawn, all members filled but Title, which
// is "" unless the chart has one of its own.
func (o *Options) Of(key string) One {
	one := o.Charts[key]
	if one.Decimals == nil {
		one.Decimals = o.Decimals
	}
	if one.Draw == "" {
		one.Draw = o.Draw
	}
	if one.Draw == "" {
		one.Draw = Line
	}
	if one.Thresholds == nil {
		one.Thresholds = o.Thresholds
	}
	if one.Bands == nil {
		one.Bands = o.Bands
	}
	return one
}

// checkLooks reports what is wrong with the node's look and those of its charts.
func (o *Options) checkLooks() []spec.FieldError {
	errs := o.Look.check("")
	if len(o.Charts) > 0 && o.Chart == "" {
		errs = append(errs, fieldError("charts", "needs chart, the expression that gives each chart its key"))
	}
	if n := len(o.Charts); n > MaxCharts {
		errs = append(errs, fieldError("charts", "%d charts are more than %d", n, MaxCharts))
	}
	for _, key := range slices.Sorted(maps.Keys(o.Charts)) {
		one, at := o.Charts[key], "charts."+key+"."
		if d := one.Decimals; d != nil && (*d < 0 || *d > 12) {
			errs = append(errs, fieldError(at+"decimals", "%d is outside 0..12", *d))
		}
		if n := utf8.RuneCountInString(one.Title); n > 2*MaxLabel {
			errs = append(errs, fieldError(at+"title", "%d characters are more than %d", n, 2*MaxLabel))
		}
		errs = append(errs, one.Look.check(at)...)
	}
	return errs
}

// check reports what is wrong with the look whose fields begin with prefix.
func (l Look) check(prefix string) []spec.FieldError {
	var errs []spec.FieldError
	ways := []string{"", Line, Step, Area, Bar, State, Value, Table}
	if !slices.Contains(ways, l.Draw) {
		errs = append(errs, fieldError(prefix+"draw", "%q is none of line, step, area, bar, state, value, table", l.Draw))
	}
	if n := len(l.Thresholds); n > MaxThresholds {
		errs = append(errs, fieldError(prefix+"thresholds", "%d thresholds are more than %d", n, MaxThresholds))
	}
	if n := len(l.Bands); n > MaxBands {
		errs = append(errs, fieldError(prefix+"bands", "%d bands are more than %d", n, MaxBands))
	}
	for i, t := range l.Thresholds {
		errs = append(errs, t.check(fmt.Sprintf("%sthresholds[%d].", prefix, i))...)
	}
	for i, b := range l.Bands {
		errs = append(errs, b.check(fmt.Sprintf("%sbands[%d].", prefix, i))...)
	}
	return errs
}

func (t Threshold) check(prefix string) []spec.FieldError {
	errs := checkLabel(prefix, t.Label)
	if !finite(t.At) {
		errs = append(errs, fieldError(prefix+"at", "%v is no number to draw", t.At))
	}
	if t.Severity != Warn && t.Severity != Alarm {
		errs = append(errs, fieldError(prefix+"severity", "%q is neither warn nor alarm", t.Severity))
	}
	if t.Side != "" && t.Side != Above && t.Side != Below {
		errs = append(errs, fieldError(prefix+"side", "%q is neither above nor below", t.Side))
	}
	return errs
}

func (b Band) check(prefix string) []spec.FieldError {
	errs := checkLabel(prefix, b.Label)
	if !finite(b.From) || !finite(b.To) || b.From >= b.To {
		errs = append(errs, fieldError(prefix+"to", "%v is not above from, %v", b.To, b.From))
	}
	if b.Severity != Fine && b.Severity != Warn && b.Severity != Alarm {
		errs = append(errs, fieldError(prefix+"severity", "%q is none of ok, warn, alarm", b.Severity))
	}
	return errs
}

func checkLabel(prefix, label string) []spec.FieldError {
	if n := utf8.RuneCountInString(label); n > MaxLabel {
		return []spec.FieldError{fieldError(prefix+"label", "%d characters are more than %d", n, MaxLabel)}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func fieldError(field, format string, args ...any) spec.FieldError {
	return spec.FieldError{Field: field, Message: fmt.Sprintf(format, args...)}
}
