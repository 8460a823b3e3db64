package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/plugins/sdk"
)

// Config is the node's with: block.
type Config struct {
	Field       string       `json:"field"`        // the number; default "value"
	Absolute    float64      `json:"absolute"`     // passes what moved by more than this, in the reading's unit
	Percent     float64      `json:"percent"`      // or by more than this part of the last value that passed
	MaxSilence  sdk.Duration `json:"max_silence"`  // or when the last one that passed is this long ago; default never
	MinInterval sdk.Duration `json:"min_interval"` // but never sooner after it than this; default at any time
}

// Validate reports every bad place of the configuration at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &sdk.ConfigError{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	notNegative := func(path string, number float64) {
		if number < 0 {
			bad(path, "it is negative; want 0 or more")
		}
	}
	notNegative("absolute", c.Absolute)
	notNegative("percent", c.Percent)
	notNegative("max_silence", float64(c.MaxSilence))
	notNegative("min_interval", float64(c.MinInterval))
	if c.MaxSilence > 0 && c.MinInterval > c.MaxSilence {
		bad("min_interval", "it is longer than max_silence, which would never count")
	}
	return errors.Join(errs...)
}

// passed is the state of a key: the last reading that passed.
type passed struct {
	Some  bool    `json:"some"`  // there is one
	Value float64 `json:"value"` // its number, if it has one
	Gap   string  `json:"gap"`   // what it has instead: null, NaN, +Inf or -Inf
	At    int64   `json:"at"`    // when it was, ms since the Unix epoch
}

// band is the running form of a Config.
type band struct {
	Config
	silence, interval int64 // ms; 0: none
}

func open(c *Config) (sdk.StateFunc[passed], error) {
	b := &band{Config: *c, silence: c.MaxSilence.Milliseconds(), interval: c.MinInterval.Milliseconds()}
	if b.Field == "" {
		b.Field = "value"
	}
	return b.pass, nil
}

func (b *band) pass(e *sdk.Event, last *passed) error {
	number, ok, err := e.Number(b.Field)
	if err != nil {
		return err
	}
	now := passed{Some: true, Value: number, Gap: gapOf(number, ok), At: e.Moment()}
	if now.Gap != "" {
		now.Value = 0
	}
	if !b.wanted(last, &now) {
		e.Drop()
		return nil
	}
	*last = now
	return nil
}

// gapOf names a reading that has no number to compare with.
func gapOf(number float64, ok bool) string {
	switch {
	case !ok:
		return "null"
	case math.IsNaN(number):
		return "NaN"
	case math.IsInf(number, 0):
		return fmt.Sprintf("%+v", number)
	}
	return ""
}

// wanted decides by the order of the table in the README.
func (b *band) wanted(last, now *passed) bool {
	if !last.Some {
		return true
	}
	ago := now.At - last.At // below 0 for a reading that comes late
	if b.interval > 0 && ago >= 0 && ago < b.interval {
		return false
	}
	return b.moved(last, now) || b.silence > 0 && ago >= b.silence
}

func (b *band) moved(last, now *passed) bool {
	if now.Gap != "" || last.Gap != "" {
		return now.Gap != last.Gap
	}
	by := math.Abs(now.Value - last.Value)
	if b.Absolute == 0 && b.Percent == 0 {
		return by > 0
	}
	return b.Absolute > 0 && by > b.Absolute || b.Percent > 0 && by > b.Percent/100*math.Abs(last.Value)
}
