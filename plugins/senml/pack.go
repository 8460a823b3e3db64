package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Limits of the format (RFC 8428).
const (
	version     = 10      // section 4.4: the one that this decoder knows
	absolute    = 1 << 28 // section 4.5.3: seconds; a smaller time counts from now
	maxMillis   = 1 << 53 // beyond, a float64 of seconds says nothing about ms
	maxRecords  = 100_000 // of a pack, this decoder's own
	nameSymbols = "-:./_" // section 4.5.1: beside letters and digits
)

// measurement is a resolved record: it stands for itself.
type measurement struct {
	name, unit string
	millis     int64
	number     *float64 // of value and sum the one that is there; else value is not nil
	value      any      // string, bool or []byte
	sum        *float64
}

// base is what the records so far have said for those to come.
type base struct {
	name, unit       string
	time, value, sum float64
}

// raw is a record as it was sent.
type raw map[string]json.RawMessage

// parse reads a pack, record by record: what is too long is refused before it is all
// in memory.
func parse(payload []byte) ([]raw, error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	if start, err := dec.Token(); err != nil || start != json.Delim('[') {
		return nil, errors.Join(errors.New("a pack is an array of objects"), err)
	}
	var records []raw
	for dec.More() {
		var r raw
		if err := dec.Decode(&r); err != nil {
			return nil, fmt.Errorf("record %d: %w", len(records), err)
		}
		if len(records) == maxRecords {
			return nil, fmt.Errorf("more than %d records", maxRecords)
		}
		records = append(records, r)
	}
	if len(records) == 0 {
		return nil, errors.New("a pack has at least one record")
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("the pack has no end: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the pack")
	}
	return records, nil
}

// absorb takes the base fields of r over.
func (b *base) absorb(r raw) error {
	known := float64(version)
	err := errors.Join(r.text("bn", &b.name), r.text("bu", &b.unit), r.number("bt", &b.time), r.number("bv", &b.value), r.number("bs", &b.sum), r.number("bver", &known))
	if err == nil && known > version {
		err = fmt.Errorf("field \"bver\": version %v, known is %d", known, version)
	}
	return err
}

// resolve makes a measurement of r. ok is false if it has base fields alone.
func (b *base) resolve(r raw, nowMillis int64) (m *measurement, ok bool, err error) {
	if err := r.understood(); err != nil {
		return nil, false, err
	}
	if r.onlyBase() {
		return nil, false, nil
	}
	m = &measurement{unit: b.unit}
	var name string
	var seconds float64
	err = errors.Join(r.text("n", &name), r.text("u", &m.unit), r.number("t", &seconds), r.optional("s", &m.sum), r.value(m))
	if err != nil {
		return nil, false, err
	}
	if m.number != nil {
		*m.number += b.value
	}
	if m.sum != nil {
		*m.sum += b.sum
	}
	m.name = b.name + name
	m.millis, err = millis(b.time+seconds, nowMillis)
	return m, true, errors.Join(err, checkName(m.name), m.finite())
}

// millis returns a time in ms since the Unix epoch.
func millis(seconds float64, nowMillis int64) (int64, error) {
	ms := math.Round(seconds * 1000)
	if seconds < absolute {
		ms += float64(nowMillis)
	}
	if math.IsNaN(ms) || math.Abs(ms) > maxMillis {
		return 0, fmt.Errorf("a time of %v s is out of range", seconds)
	}
	return int64(ms), nil
}

func (m *measurement) finite() error {
	for _, f := range []*float64{m.number, m.sum} {
		if f != nil && (math.IsNaN(*f) || math.IsInf(*f, 0)) {
			return errors.New("a value and its base together are no finite number")
		}
	}
	return nil
}

func checkName(name string) error {
	if name == "" {
		return errors.New("neither a name nor a base name")
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune(nameSymbols, rune(c))) {
			return fmt.Errorf("name %.100q has %q at %d", name, c, i)
		}
	}
	return nil
}

// understood refuses fields that must be understood and are not (section 4.4).
func (r raw) understood() error {
	for label := range r {
		if strings.HasSuffix(label, "_") {
			return fmt.Errorf("field %.100q must be understood, and is not known", label)
		}
	}
	return nil
}

var baseLabels = []string{"bn", "bt", "bu", "bv", "bs", "bver"}

func (r raw) onlyBase() bool {
	for label := range r {
		if !slices.Contains(baseLabels, label) {
			return false
		}
	}
	return len(r) > 0
}

// value reads the one value of a record; a sum alone will do.
func (r raw) value(m *measurement) error {
	var text, data *string
	var flag *bool
	err := errors.Join(r.optional("v", &m.number), r.optional("vs", &text), r.optional("vb", &flag), r.optional("vd", &data))
	if err != nil {
		return err
	}
	n := 0
	if m.number != nil {
		n++
	}
	if text != nil {
		m.value, n = *text, n+1
	}
	if flag != nil {
		m.value, n = *flag, n+1
	}
	if data != nil {
		bytes, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(*data, "="))
		if err != nil {
			return fmt.Errorf("field \"vd\": %w", err)
		}
		m.value, n = bytes, n+1
	}
	switch {
	case n > 1:
		return errors.New("more than one of v, vs, vb and vd")
	case n == 0 && m.sum == nil:
		return errors.New("none of v, vs, vb, vd and s")
	}
	return nil
}

func (r raw) text(label string, into *string) error { return r.read(label, into, "a text") }

func (r raw) number(label string, into *float64) error { return r.read(label, into, "a number") }

func (r raw) read(label string, into any, want string) error {
	text, ok := r[label]
	if !ok {
		return nil
	}
	if string(text) == "null" || json.Unmarshal(text, into) != nil {
		return fmt.Errorf("field %q is %.100s, want %s", label, text, want)
	}
	return nil
}

// optional reads a field into a new value, if it is there.
func (r raw) optional(label string, into any) error {
	if string(r[label]) == "null" {
		return fmt.Errorf("field %q is null", label)
	}
	if text, ok := r[label]; ok {
		if err := json.Unmarshal(text, into); err != nil {
			return fmt.Errorf("field %q is %.100s, which is of another kind or size", label, text)
		}
	}
	return nil
}
