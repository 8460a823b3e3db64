package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ConfigError is a problem of one place of the configuration. Several of them
// are returned together with [errors.Join].
type ConfigError struct {
	Path string // below with:, such as "rules[2].factor"; "": the whole
	Text string // what was found and what was expected
}

func (e *ConfigError) Error() string {
	if e.Path == "" {
		return e.Text
	}
	return e.Path + ": " + e.Text
}

// Duration is a length of time in a configuration, written as 500ms, 10s or 1h30m.
type Duration time.Duration

// UnmarshalJSON reads it from a text.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return &ConfigError{Text: fmt.Sprintf("%s is no duration, such as 500ms, 10s or 1h30m", b)}
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return &ConfigError{Text: fmt.Sprintf("%q is no duration, such as 500ms, 10s or 1h30m", text)}
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Milliseconds returns the whole milliseconds of d, in which events have their times.
func (d Duration) Milliseconds() int64 { return time.Duration(d).Milliseconds() }

// decodeConfig reads a JSON object into c and lets it check itself.
func decodeConfig(config []byte, c any) error {
	if len(bytes.TrimSpace(config)) == 0 || string(config) == "null" {
		config = []byte("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return describeJSON(err)
	}
	if v, ok := c.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// describeJSON says what encoding/json found in the words of the file.
func describeJSON(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &ConfigError{Path: wrong.Field, Text: fmt.Sprintf("is a %s, want %s", wrong.Value, wrong.Type)}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return &ConfigError{Path: strings.Trim(name, `"`), Text: "unknown field"}
	}
	return &ConfigError{Text: err.Error()}
}

// configErrors flattens what Open returned into one error per place.
func configErrors(err error) []*ConfigError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []*ConfigError
		for _, e := range joined.Unwrap() {
			list = append(list, configErrors(e)...)
		}
		return list
	}
	if one, ok := errors.AsType[*ConfigError](err); ok {
		return []*ConfigError{one}
	}
	return []*ConfigError{{Text: err.Error()}}
}
