package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/plugins/sdk"
)

// Config is the node's with: block.
type Config struct {
	Field        string  `json:"field"`         // the number; default "value"
	Window       int     `json:"window"`        // readings that count, 2..10000; default 100 unless half_life is given
	HalfLife     float64 `json:"half_life"`     // instead of window: after so many readings one weighs half; 0.5 or more
	WarmUp       int     `json:"warm_up"`       // readings of a key before any is scored; default 30, or window if that is less
	Threshold    float64 `json:"threshold"`     // an anomaly is further away than this; default 3
	MinDeviation float64 `json:"min_deviation"` // the standard deviation counts as at least this, in the reading's unit; default 0
	Learn        string  `json:"learn"`         // all (default), or normal: anomalies are not learned
	ScoreField   string  `json:"score_field"`   // default "score"
	AnomalyField string  `json:"anomaly_field"` // default "anomaly"
}

const maxWindow = 10_000

// Validate fills in the defaults and reports every bad place of the configuration at
// once.
func (c *Config) Validate() error {
	c.defaults()
	var errs []error
	check := func(ok bool, path, format string, args ...any) {
		if !ok {
			errs = append(errs, &sdk.ConfigError{Path: path, Text: fmt.Sprintf(format, args...)})
		}
	}
	check(c.HalfLife == 0 || c.Window == 0, "half_life", "window is given, too; want one of them")
	check(c.HalfLife == 0 || c.HalfLife >= 0.5, "half_life", "%v is below 0.5", c.HalfLife)
	check(c.HalfLife != 0 || c.Window >= 2 && c.Window <= maxWindow, "window", "%d is outside 2..%d", c.Window, maxWindow)
	check(c.WarmUp >= 2 && (c.Window == 0 || c.WarmUp <= c.Window), "warm_up", "%d is below 2, or above window", c.WarmUp)
	check(c.Threshold > 0, "threshold", "%v is not above 0", c.Threshold)
	check(c.MinDeviation >= 0, "min_deviation", "%v is negative", c.MinDeviation)
	check(c.Learn == "all" || c.Learn == "normal", "learn", "%q is none of all, normal", c.Learn)
	check(c.ScoreField != c.AnomalyField && c.ScoreField != c.Field && c.AnomalyField != c.Field, "score_field", "field, score_field and anomaly_field must differ")
	return errors.Join(errs...)
}

func (c *Config) defaults() {
	defaultTo(&c.Field, "value")
	defaultTo(&c.ScoreField, "score")
	defaultTo(&c.AnomalyField, "anomaly")
	defaultTo(&c.Learn, "all")
	defaultTo(&c.Threshold, 3)
	if c.HalfLife == 0 {
		defaultTo(&c.Window, 100)
	}
	if c.WarmUp == 0 {
		if c.WarmUp = 30; c.Window > 0 {
			c.WarmUp = min(c.WarmUp, c.Window)
		}
	}
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// scorer is the running form of a Config.
type scorer struct {
	*Config
	alpha float64 // weight of the newest reading; 0: a window
}

func open(c *Config) (sdk.StateFunc[moments], error) {
	s := &scorer{Config: c}
	if c.HalfLife > 0 {
		s.alpha = 1 - math.Exp2(-1/c.HalfLife)
	}
	return s.reading, nil
}

// largest is the largest number whose square and sums of it are still finite.
const largest = 1e150

// reading scores a reading by those before it, and learns it. One without a number to
// score is handed on and not learned.
func (s *scorer) reading(e *sdk.Event, m *moments) error {
	number, ok, err := e.Number(s.Field)
	if err != nil {
		return err
	}
	score, anomaly := event.Null, false
	if usable := ok && math.Abs(number) <= largest; usable { // false for NaN
		score, anomaly = s.score(m, number)
		if !anomaly || s.Learn == "all" {
			s.learn(m, number)
		}
	}
	e.Set(s.ScoreField, score)
	e.Set(s.AnomalyField, event.Bool(anomaly))
	return nil
}

// score is null while there are too few readings, and for one that leaves a mean with
// no deviation at all: it is an anomaly without a distance.
func (s *scorer) score(m *moments, number float64) (event.Value, bool) {
	if m.n < uint64(s.WarmUp) {
		return event.Null, false
	}
	from, deviation := number-m.mean, max(m.deviation(), s.MinDeviation)
	if from == 0 {
		return event.Float(0), false
	}
	z := from / deviation
	if math.IsInf(z, 0) {
		return event.Null, true
	}
	return event.Float(z), math.Abs(z) > s.Threshold
}

func (s *scorer) learn(m *moments, number float64) {
	if s.alpha > 0 {
		m.weigh(number, s.alpha)
	} else {
		m.slide(number, s.Window)
	}
}
