package feed

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// layouts of times in data files, tried in order; a time without zone is UTC.
var layouts = []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04"}

// parseTime reads a time as text or as milliseconds since the epoch, and tells
// which.
func parseTime(value json.RawMessage) (at time.Time, number bool, err error) {
	s := text(value)
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), true, nil
	}
	for _, layout := range layouts {
		if at, err = time.Parse(layout, s); err == nil {
			return at.UTC(), false, nil
		}
	}
	return time.Time{}, false, fmt.Errorf("%q is neither RFC 3339, \"YYYY-MM-DD hh:mm:ss\" nor milliseconds since 1970", s)
}

// measure finds out how long the data set spans, so that a further replay begins
// after the one before.
func (f *File) measure() error {
	var first, last time.Time
	for i, r := range f.records {
		at, _, err := f.timeOf(r)
		if err != nil {
			return fmt.Errorf("%s: record %d: %w", f.o.Path, i+1, err)
		}
		if i == 0 || at.Before(first) {
			first = at
		}
		if i == 0 || at.After(last) {
			last = at
		}
	}
	f.span = last.Sub(first)
	f.span += max(f.span/time.Duration(len(f.records)), time.Millisecond)
	return nil
}

func (f *File) timeOf(r record) (time.Time, bool, error) {
	value := r.get(f.o.TimeField)
	if value == nil {
		return time.Time{}, false, fmt.Errorf("no field %q", f.o.TimeField)
	}
	at, number, err := parseTime(value)
	if err != nil {
		return at, number, fmt.Errorf("field %q: %w", f.o.TimeField, err)
	}
	return at, number, nil
}

// move returns a copy of r with the time that this replay gives it.
func (f *File) move(r record, now time.Time) (record, error) {
	at, number, err := f.timeOf(r)
	if err != nil {
		return nil, err
	}
	at = at.Add(time.Duration(f.round) * f.span)
	if f.clock.Times == Now {
		at = f.clock.now(now)
	}
	value := strconv.Quote(at.Format(timeFormat))
	if number {
		value = strconv.FormatInt(at.UnixMilli(), 10)
	}
	out := make(record, len(r))
	copy(out, r)
	for i := range out {
		if out[i].name == f.o.TimeField {
			out[i].value = json.RawMessage(value)
		}
	}
	return out, nil
}
