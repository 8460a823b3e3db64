// Package chart is the chart sink: its options in a pipeline file, and how a
// point (chart, series, time, value) is read from an event. A chart sink is no
// stage and has no position: package live follows its streams with cursors and
// draws from them. This package opens nothing and starts no goroutine.
package chart

import (
	"time"

	"github.com/millrace/millrace/engine/spec"
)

// Options are the `with:` of a chart sink. Chart, Series, Value, Time and Unit are
// expressions over the event; a bare name is the record's field.
type Options struct {
	Chart     string        `yaml:"chart,omitempty" jsonschema:"description=Expression: one chart for each distinct value; without it one chart named by the node"`
	Series    string        `yaml:"series,omitempty" jsonschema:"description=Expression: one line in the chart for each distinct value; without it one line"`
	Value     string        `yaml:"value,omitempty" jsonschema:"description=Expression: the number to draw,default=value"`
	Time      string        `yaml:"time,omitempty" jsonschema:"description=Expression: when it was measured; without it the event time"`
	Unit      string        `yaml:"unit,omitempty" jsonschema:"description=Expression: the unit of the value; a text in quotes is a fixed unit"`
	Title     string        `yaml:"title,omitempty" jsonschema:"description=Heading over the node's charts; without it the node id"`
	Decimals  *int          `yaml:"decimals,omitempty" jsonschema:"description=Digits after the point, 0 to 12; without it as the values need,minimum=0,maximum=12"`
	Window    time.Duration `yaml:"window,omitempty" jsonschema:"description=How much time a chart shows,default=10m"`
	MaxPoints int           `yaml:"max_points,omitempty" jsonschema:"description=Points kept for each line; older ones leave first,default=6000,minimum=2,maximum=1000000"`

	Look   `yaml:",inline"`
	Charts map[string]One `yaml:"charts,omitempty" jsonschema:"description=Charts by their value of chart that have a title\\, decimals\\, draw\\, thresholds or bands of their own"`
}

// Bounds and defaults of [Options].
const (
	DefaultWindow    = 10 * time.Minute
	DefaultMaxPoints = 6000
	MaxWindow        = 24 * time.Hour
	MaxMaxPoints     = 1_000_000
)

// Type describes the chart sink to the pipeline reader.
var Type = spec.NodeType{
	Kind:    spec.Sink,
	Name:    "chart",
	Follows: true,
	Doc:     "Draws records as moving charts on the live page and serves them at /api/v1/live.",
	Reads:   spec.Record,

	Expressions: []string{"chart", "series", "value", "time", "unit"},
	NewConfig: func() any {
		return &Options{Value: "value", Window: DefaultWindow, MaxPoints: DefaultMaxPoints}
	},
}

var _ spec.Checker = (*Options)(nil)

// Check reports every option out of its bounds.
func (o *Options) Check() []spec.FieldError {
	var errs []spec.FieldError
	add := func(field, format string, args ...any) { errs = append(errs, fieldError(field, format, args...)) }
	if o.Window < time.Second || o.Window > MaxWindow {
		add("window", "%s is outside 1s..%s", o.Window, MaxWindow)
	}
	if o.MaxPoints < 2 || o.MaxPoints > MaxMaxPoints {
		add("max_points", "%d is outside 2..%d", o.MaxPoints, MaxMaxPoints)
	}
	if o.Decimals != nil && (*o.Decimals < 0 || *o.Decimals > 12) {
		add("decimals", "%d is outside 0..12", *o.Decimals)
	}
	if o.Value == "" {
		add("value", "is empty; expected an expression such as `value`")
	}
	return append(errs, o.checkLooks()...)
}

// withDefaults fills what a program that builds Options by hand left out.
func (o Options) withDefaults() Options {
	if o.Value == "" {
		o.Value = "value"
	}
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.MaxPoints == 0 {
		o.MaxPoints = DefaultMaxPoints
	}
	return o
}
