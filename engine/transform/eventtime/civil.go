package eventtime

import "time"

// civil is a time as people write it, checked field by field.
type civil struct {
	year, month, day  int
	hour, minute, sec int
	milli             int
	zoned             bool
	offset            int // seconds east of UTC, if zoned
	half              int // 1: am, 2: pm, 0: 24-hour clock
	dayOfYear         int // 0: month and day count
	epoch             int64
	hasEpoch          bool
}

var daysBefore = [...]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

func leap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int) int {
	if month == 2 && leap(year) {
		return 29
	}
	return daysBefore[month] - daysBefore[month-1]
}

// days counts days from 1970-01-01 to the given day of the proleptic Gregorian
// calendar; year is at least 1.
func days(year, month, day int) int64 {
	y := int64(year - 1)
	n := y*365 + y/4 - y/100 + y/400 + int64(daysBefore[month-1]) + int64(day)
	if month > 2 && leap(year) {
		n++
	}
	return n - daysTo1970
}

const daysTo1970 = 719163 // from 0001-01-01, counted as day 1, to 1970-01-01

// millis checks every field and returns ms since the Unix epoch. Times without a
// zone are read in loc.
func (c *civil) millis(loc *time.Location) (int64, error) {
	if c.hasEpoch {
		return bounded(float64(c.epoch)*1000 + float64(c.milli))
	}
	if !c.settle() {
		return 0, errNoTime
	}
	if !c.zoned && loc != time.UTC {
		t := time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.sec, 0, loc)
		return t.UnixMilli() + int64(c.milli), nil
	}
	secs := days(c.year, c.month, c.day)*86400 + int64(c.hour*3600+c.minute*60+c.sec-c.offset)
	return bounded(float64(secs*1000 + int64(c.milli)))
}

// settle resolves the twelve-hour clock and the day of the year, and reports
// whether the date and the time of day exist.
func (c *civil) settle() bool {
	if c.half != 0 {
		if c.hour < 1 || c.hour > 12 {
			return false
		}
		c.hour = c.hour%12 + 12*(c.half-1)
	}
	if c.dayOfYear > 0 && !c.fromDayOfYear() {
		return false
	}
	return c.year >= 1 && c.year <= 9999 && c.month >= 1 && c.month <= 12 &&
		c.day >= 1 && c.day <= daysIn(c.year, c.month) &&
		c.hour <= 23 && c.minute <= 59 && c.sec <= 59
}

func (c *civil) fromDayOfYear() bool {
	left := c.dayOfYear
	for m := 1; m <= 12; m++ {
		if n := daysIn(c.year, m); left > n {
			left -= n
			continue
		}
		c.month, c.day = m, left
		return true
	}
	return false
}

// readRFC3339 reads "2006-01-02T15:04:05.999Z07:00": "T" may be "t" or one blank,
// seconds, their fraction and the zone may be missing; without a zone the time
// is one of loc.
func readRFC3339(s string, loc *time.Location) (int64, error) {
	var c civil
	r := reader{s: s}
	ok := r.fixed(4, &c.year) && r.byte('-') && r.fixed(2, &c.month) && r.byte('-') && r.fixed(2, &c.day)
	if ok && r.i < len(s) {
		ok = (r.byte('T') || r.byte('t') || r.byte(' ')) &&
			r.fixed(2, &c.hour) && r.byte(':') && r.fixed(2, &c.minute) && r.seconds(&c) && r.zone(&c)
	}
	if !ok || r.i != len(s) {
		return 0, errNoTime
	}
	return c.millis(loc)
}

// seconds reads ":05.999", all of it optional.
func (r *reader) seconds(c *civil) bool {
	if !r.byte(':') {
		return true
	}
	if !r.fixed(2, &c.sec) {
		return false
	}
	if r.byte('.') || r.byte(',') {
		return r.fraction(&c.milli)
	}
	return true
}

// zone reads "Z", "+01:00", "+0100" or "+01", or nothing.
func (r *reader) zone(c *civil) bool {
	if r.i == len(r.s) {
		return true
	}
	c.zoned = true
	if r.byte('Z') || r.byte('z') {
		return true
	}
	sign := 1
	if !r.byte('+') {
		if !r.byte('-') {
			return false
		}
		sign = -1
	}
	var h, m int
	if !r.fixed(2, &h) {
		return false
	}
	if r.byte(':') || r.i < len(r.s) && isDigit(r.s[r.i]) {
		if !r.fixed(2, &m) {
			return false
		}
	}
	c.offset = sign * (h*3600 + m*60)
	return h <= 23 && m <= 59
}

// reader walks over a time's text.
type reader struct {
	s string
	i int
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (r *reader) byte(c byte) bool {
	if r.i < len(r.s) && r.s[r.i] == c {
		r.i++
		return true
	}
	return false
}

// fixed reads exactly n digits.
func (r *reader) fixed(n int, into *int) bool {
	if len(r.s)-r.i < n {
		return false
	}
	v := 0
	for _, c := range []byte(r.s[r.i : r.i+n]) {
		if !isDigit(c) {
			return false
		}
		v = v*10 + int(c-'0')
	}
	r.i += n
	*into = v
	return true
}

// upTo reads one to n digits.
func (r *reader) upTo(n int, into *int) bool {
	k := 0
	for k < n && r.i+k < len(r.s) && isDigit(r.s[r.i+k]) {
		k++
	}
	return k > 0 && r.fixed(k, into)
}

// fraction reads one or more digits after the decimal point, cut to ms.
func (r *reader) fraction(milli *int) bool {
	n, ms := 0, 0
	for ; r.i < len(r.s) && isDigit(r.s[r.i]); r.i++ {
		if n < 3 {
			ms = ms*10 + int(r.s[r.i]-'0')
		}
		n++
	}
	for k := n; k < 3; k++ {
		ms *= 10
	}
	*milli = ms
	return n > 0
}
