package main

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// moments is the state of a key: mean and spread of its readings, by Welford's
// recurrences, which subtract only numbers near each other. There are two forms. With
// values it is the moving window of these; without, all readings count, the older the
// less.
//
//	Welford, "Note on a method for calculating corrected sums of squares and products",
//	Technometrics 4 (1962); Finch, "Incremental calculation of weighted mean and
//	variance" (2009) for the second form.
type moments struct {
	n      uint64    // readings learned; of a window those in it
	mean   float64   //
	spread float64   // of a window the sum of squared distances from mean, else the variance
	drift  uint64    // steps of the window since spread was computed anew
	values []float64 // the window, oldest first
}

// slide learns v into a window of size readings. A step adds one and takes one out,
// which leaves a rounding error each time; after size steps mean and spread are
// computed anew, so that errors do not add up.
func (m *moments) slide(v float64, size int) {
	if len(m.values) == 0 {
		*m = moments{} // what was learned in the other form has no values to take out
	}
	if len(m.values) < size {
		m.values = append(m.values, v)
		m.n = uint64(len(m.values))
		from := v - m.mean
		m.mean += from / float64(m.n)
		m.spread += from * (v - m.mean)
		return
	}
	surplus := len(m.values) - size // of a window that was larger once
	old := m.values[surplus]
	m.values = append(slices.Delete(m.values, 0, surplus+1), v)
	m.n = uint64(size)
	if m.drift++; surplus > 0 || m.drift >= m.n {
		m.anew()
		return
	}
	before := m.mean
	m.mean += (v - old) / float64(m.n)
	m.spread = max(0, m.spread+(v-old)*(v-m.mean+old-before))
}

// anew computes mean and spread of the window in two passes.
func (m *moments) anew() {
	m.mean, m.spread, m.drift = 0, 0, 0
	for i, v := range m.values {
		m.mean += (v - m.mean) / float64(i+1)
	}
	for _, v := range m.values {
		m.spread += (v - m.mean) * (v - m.mean)
	}
}

// weigh learns v with weight alpha; the first readings weigh alike, so that the mean of
// few is their mean and not the first one.
func (m *moments) weigh(v, alpha float64) {
	if len(m.values) > 0 { // learned in a window before
		m.spread /= float64(len(m.values))
		m.values, m.drift = nil, 0
	}
	m.n++
	weight := max(alpha, 1/float64(m.n))
	from := v - m.mean
	step := weight * from
	m.mean += step
	m.spread = (1 - weight) * (m.spread + from*step)
}

// deviation is the standard deviation: of a window the corrected one (n-1), else that
// of the weighted readings.
func (m *moments) deviation() float64 {
	if len(m.values) == 0 {
		return math.Sqrt(m.spread)
	}
	if m.n < 2 {
		return 0
	}
	return math.Sqrt(m.spread / float64(m.n-1))
}

// MarshalBinary writes n and drift as uvarints, then mean, spread and the values, 8
// bytes each, little-endian; nothing if nothing is learned.
func (m *moments) MarshalBinary() ([]byte, error) {
	if m.n == 0 {
		return nil, nil
	}
	b := make([]byte, 0, 2*binary.MaxVarintLen64+8*(2+len(m.values)))
	b = binary.AppendUvarint(b, m.n)
	b = binary.AppendUvarint(b, m.drift)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.mean))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.spread))
	for _, v := range m.values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b, nil
}

var errMoments = errors.New("it is no state of zscore")

// UnmarshalBinary reads what MarshalBinary has written.
func (m *moments) UnmarshalBinary(b []byte) error {
	*m = moments{}
	if len(b) == 0 {
		return nil
	}
	for _, number := range []*uint64{&m.n, &m.drift} {
		var size int
		if *number, size = binary.Uvarint(b); size <= 0 {
			return errMoments
		}
		b = b[size:]
	}
	if len(b) < 16 || len(b)%8 != 0 {
		return errMoments
	}
	m.mean, m.spread = float(b), float(b[8:])
	for b = b[16:]; len(b) > 0; b = b[8:] {
		m.values = append(m.values, float(b))
	}
	return nil
}

func float(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
