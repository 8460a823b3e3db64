// Package eventtime finds the time of an event in a decoded field: text in any
// of a list of formats, or a number counted from the Unix epoch. Decoding
// transforms use it once per record. It does not guess between day-first and
// month-first dates: those need a format.
package eventtime

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones by name work on machines without a zone database

	"github.com/millrace/millrace/engine/event"
)

// Earliest and Latest bound what counts as a time, in ms since the Unix epoch:
// the years 1 to 9999, which is what databases and RFC 3339 can hold.
const (
	Earliest = -62135596800000
	Latest   = 253402300799999
)

// Bounds of the unit that [Auto] takes a number for: below the first it counts
// seconds (until the year 5138), then milliseconds, microseconds, nanoseconds.
const (
	maxSeconds = 1e11
	maxMillis  = 1e14
	maxMicros  = 1e17
)

// Auto is the format that a reader without formats uses.
const Auto = "auto"

var errNoTime = errors.New("not a time")

// Reader reads event times. It is safe for concurrent use.
type Reader struct {
	formats []format
	names   string
}

// format reads one way of writing a time. text and num may each be nil.
type format struct {
	text func(s string) (int64, error)
	num  func(f float64) float64 // counted units to ms
}

// New returns a reader of formats, tried in order; none means [Auto]. The words
// are auto (RFC 3339 with "T" or a blank, zone optional, or epoch), rfc3339,
// epoch (unit by size), epoch_s, epoch_ms, epoch_us and epoch_ns; anything else
// must be a strftime format. zone is the IANA name of the zone of times that
// carry none; "" is UTC. An hour that occurs twice or never (daylight saving) is
// read as [time.Date] does.
func New(formats []string, zone string) (*Reader, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w", zone, err)
	}
	if len(formats) == 0 {
		formats = []string{Auto}
	}
	r := &Reader{names: strings.Join(formats, ", ")}
	for _, name := range formats {
		f, err := newFormat(name, loc)
		if err != nil {
			return nil, fmt.Errorf("time format %q: %w", name, err)
		}
		r.formats = append(r.formats, f)
	}
	return r, nil
}

func newFormat(name string, loc *time.Location) (format, error) {
	rfc := func(s string) (int64, error) { return readRFC3339(s, loc) }
	switch name {
	case Auto:
		return format{text: rfc, num: guessUnit}, nil
	case "rfc3339":
		return format{text: rfc}, nil
	case "epoch":
		return format{num: guessUnit}, nil
	case "epoch_s":
		return format{num: func(f float64) float64 { return f * 1e3 }}, nil
	case "epoch_ms":
		return format{num: func(f float64) float64 { return f }}, nil
	case "epoch_us":
		return format{num: func(f float64) float64 { return f / 1e3 }}, nil
	case "epoch_ns":
		return format{num: func(f float64) float64 { return f / 1e6 }}, nil
	}
	l, err := compile(name, loc)
	if err != nil {
		return format{}, err
	}
	return format{text: l.read}, nil
}

func guessUnit(f float64) float64 {
	switch a := math.Abs(f); {
	case a < maxSeconds:
		return f * 1e3
	case a < maxMillis:
		return f
	case a < maxMicros:
		return f / 1e3
	default:
		return f / 1e6
	}
}

// Read returns the time that v stands for, in ms since the Unix epoch UTC;
// finer parts are cut off. Strings are read as [Reader.Text] does, numbers count
// from the epoch, a time is itself. Anything outside [Earliest]..[Latest] is an
// error.
func (r *Reader) Read(v event.Value) (int64, error) {
	switch v.Kind() {
	case event.KindTime:
		return v.AsInt(), nil
	case event.KindString:
		return r.Text(v.Text())
	case event.KindInt, event.KindFloat, event.KindDecimal:
		return r.number(v)
	default:
		return 0, fmt.Errorf("%s value: %w", v.Kind(), errNoTime)
	}
}

func (r *Reader) number(v event.Value) (int64, error) {
	f, _ := v.AsFloat()
	for i := range r.formats {
		if num := r.formats[i].num; num != nil {
			return bounded(math.Floor(num(f)))
		}
	}
	return 0, fmt.Errorf("number %s: no format among %s counts from the epoch", v.Format(), r.names)
}

// Text reads a time from text; blanks around it do not count.
func (r *Reader) Text(s string) (int64, error) {
	s = strings.TrimSpace(s)
	for i := range r.formats {
		f := &r.formats[i]
		if f.text != nil {
			if ms, err := f.text(s); err == nil {
				return ms, nil
			}
		}
		if f.num != nil && isNumber(s) {
			n, err := strconv.ParseFloat(s, 64)
			if err == nil {
				return bounded(math.Floor(f.num(n)))
			}
		}
	}
	return 0, fmt.Errorf("%q: %w in any of the formats %s", clip(s), errNoTime, r.names)
}

// isNumber keeps words that strconv reads (NaN, Inf, 0x1p4) from being times.
func isNumber(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return false
		}
	}
	return s != ""
}

func bounded(ms float64) (int64, error) {
	if !(ms >= Earliest && ms <= Latest) {
		return 0, fmt.Errorf("%g ms since 1970: %w between the years 1 and 9999", ms, errNoTime)
	}
	return int64(ms), nil
}

// clip keeps messages about unreadable text short.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
