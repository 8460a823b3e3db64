package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
