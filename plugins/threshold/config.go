package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/plugins/sdk"
)

// Config is the node's with: block.
type Config struct {
	Field  string       `json:"field"`  // the number; default "value"
	Levels []Level      `json:"levels"` // the mildest first: 1..32
	Delay  sdk.Duration `json:"delay"`  // of levels that name none; default 0
	Emit   string       `json:"emit"`   // transitions (default): alarm records alone; all: every reading, with its level
}

// Level is one limit. A reading beyond it raises the level once that has lasted for
// Delay; the level stands until a reading is back behind Clear.
type Level struct {
	Name     string        `json:"name"`     // such as "high"; unique
	Above    *float64      `json:"above"`    // beyond is more than this
	Below    *float64      `json:"below"`    // or less than this; a level has one of the two
	Clear    *float64      `json:"clear"`    // the level ends at this or better; default the limit itself
	Delay    *sdk.Duration `json:"delay"`    // default that of the node
	Severity int           `json:"severity"` // of levels that stand at once the highest counts; default the place in the list, from 1
}

const maxLevels = 32

// Validate reports every bad place of the configuration at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &sdk.ConfigError{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	if len(c.Levels) == 0 || len(c.Levels) > maxLevels {
		bad("levels", "%d given; want 1..%d", len(c.Levels), maxLevels)
	}
	if c.Emit != "" && c.Emit != "transitions" && c.Emit != "all" {
		bad("emit", "%q is none of transitions, all", c.Emit)
	}
	if c.Delay < 0 {
		bad("delay", "it is negative")
	}
	seen := map[string]bool{}
	for i := range c.Levels {
		l, path := &c.Levels[i], fmt.Sprintf("levels[%d]", i)
		if l.Name == "" || seen[l.Name] {
			bad(path+".name", "%q is empty or a second one", l.Name)
		}
		seen[l.Name] = true
		l.validate(func(field, format string, args ...any) { bad(path+field, format, args...) })
	}
	return errors.Join(errs...)
}

func (l *Level) validate(bad func(field, format string, args ...any)) {
	if (l.Above == nil) == (l.Below == nil) {
		bad("", "it has above and below, or neither; want one of them")
		return
	}
	if l.Delay != nil && *l.Delay < 0 {
		bad(".delay", "it is negative")
	}
	if l.Severity < 0 {
		bad(".severity", "%d is negative", l.Severity)
	}
	if l.Clear == nil {
		return
	}
	if l.Above != nil && *l.Clear > *l.Above {
		bad(".clear", "%v is above the limit %v", *l.Clear, *l.Above)
	}
	if l.Below != nil && *l.Clear < *l.Below {
		bad(".clear", "%v is below the limit %v", *l.Clear, *l.Below)
	}
}

// limit is the running form of a Level. Limits below are turned around, so that beyond
// is always more.
type limit struct {
	name      string
	sign      float64 // 1 or -1: a reading times sign is compared
	at, clear float64 // times sign
	shown     float64 // the limit as the file has it
	delay     int64   // ms
	severity  int64
}

func (c *Config) limits() []limit {
	var list []limit
	for i, l := range c.Levels {
		m := limit{name: l.Name, sign: 1, delay: c.Delay.Milliseconds(), severity: int64(l.Severity)}
		if l.Above != nil {
			m.shown = *l.Above
		} else {
			m.sign, m.shown = -1, *l.Below
		}
		m.at = m.sign * m.shown
		m.clear = m.at
		if l.Clear != nil {
			m.clear = m.sign * *l.Clear
		}
		if l.Delay != nil {
			m.delay = l.Delay.Milliseconds()
		}
		if m.severity == 0 {
			m.severity = int64(i + 1)
		}
		list = append(list, m)
	}
	return list
}

func usable(number float64, ok bool) bool { return ok && !math.IsNaN(number) }
