package eventtime

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// layout is a compiled strftime format.
type layout struct {
	steps []step
	loc   *time.Location
}

// step is one directive by its letter, or with letter 0 one byte that stands for
// itself.
type step struct{ letter, literal byte }

// letters are the strftime directives that can be read back.
const letters = "YymbBdejHIpMSfzs"

// directive reads one directive. Day, month, hour and the like take one or two
// digits, so that "1.2.2026" needs no letter of its own.
func (r *reader) directive(letter byte, c *civil) bool {
	switch letter {
	case 'Y':
		return r.fixed(4, &c.year)
	case 'y':
		return r.fixed(2, &c.year) && c.century()
	case 'm':
		return r.upTo(2, &c.month)
	case 'b':
		return r.word(shortMonths, &c.month)
	case 'B':
		return r.word(months, &c.month)
	case 'd', 'e':
		r.blanks(letter == 'e')
		return r.upTo(2, &c.day)
	case 'j':
		return r.upTo(3, &c.dayOfYear) && c.dayOfYear > 0
	case 'H', 'I':
		return r.upTo(2, &c.hour)
	case 'p':
		return r.word(halves, &c.half)
	case 'M':
		return r.upTo(2, &c.minute)
	case 'S':
		return r.upTo(2, &c.sec)
	case 'f':
		return r.fraction(&c.milli)
	case 'z':
		return r.i < len(r.s) && r.zone(c)
	default: // s
		c.hasEpoch = true
		return r.count(&c.epoch)
	}
}

var (
	months = []string{"january", "february", "march", "april", "may", "june", "july",
		"august", "september", "october", "november", "december"}
	halves      = []string{"am", "pm"}
	shortMonths = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
)

// compile reads a strftime format and checks that it says which day it is.
func compile(text string, loc *time.Location) (*layout, error) {
	if !strings.Contains(text, "%") {
		return nil, errors.New("neither a known word (auto, rfc3339, epoch, epoch_s, epoch_ms, epoch_us, epoch_ns) nor a strftime format such as %d.%m.%Y")
	}
	l := &layout{loc: loc}
	var seen string
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			l.steps = append(l.steps, step{literal: text[i]})
			continue
		}
		i++
		if i == len(text) {
			return nil, errors.New("ends in %")
		}
		s, err := newStep(text[i])
		if err != nil {
			return nil, err
		}
		seen += string(text[i])
		l.steps = append(l.steps, s)
	}
	return l, complete(seen)
}

func newStep(c byte) (step, error) {
	switch {
	case c == '%':
		return step{literal: '%'}, nil
	case strings.IndexByte(letters, c) < 0:
		return step{}, fmt.Errorf("%%%c is not known; known are %%%% and %%%s", c, strings.Join(strings.Split(letters, ""), " %"))
	}
	return step{letter: c}, nil
}

// complete reports what a format with these directives leaves open.
func complete(seen string) error {
	has := func(any string) bool { return strings.ContainsAny(seen, any) }
	switch {
	case has("s"):
		return nil
	case !has("Yy"):
		return errors.New("has no year (%Y)")
	case has("j"):
	case !has("mbB"):
		return errors.New("has no month (%m)")
	case !has("de"):
		return errors.New("has no day (%d)")
	}
	if has("I") != has("p") {
		return errors.New("%I and %p need each other")
	}
	return nil
}

func (l *layout) read(s string) (int64, error) {
	r, c := reader{s: s}, civil{}
	for _, step := range l.steps {
		ok := false
		if step.letter == 0 {
			ok = r.byte(step.literal)
		} else {
			ok = r.directive(step.letter, &c)
		}
		if !ok {
			return 0, errNoTime
		}
	}
	if r.i != len(s) {
		return 0, errNoTime
	}
	return c.millis(l.loc)
}

// century puts two-digit years into 1969..2068, as POSIX does.
func (c *civil) century() bool {
	c.year += 1900
	if c.year < 1969 {
		c.year += 100
	}
	return true
}

func (r *reader) blanks(allowed bool) {
	for allowed && r.byte(' ') {
	}
}

// word reads one of words, in any case, as its index from 1.
func (r *reader) word(words []string, into *int) bool {
	rest := r.s[r.i:]
	for n, w := range words {
		if len(rest) >= len(w) && strings.EqualFold(rest[:len(w)], w) {
			r.i += len(w)
			*into = n + 1
			return true
		}
	}
	return false
}

// count reads a whole number of up to twelve digits with an optional minus.
func (r *reader) count(into *int64) bool {
	neg := r.byte('-')
	n := 0
	if !r.upTo(12, &n) {
		return false
	}
	*into = int64(n)
	if neg {
		*into = -*into
	}
	return true
}
