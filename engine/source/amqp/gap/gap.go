// Package gap finds what is missing from the numbers that producers give their
// messages. A purged queue, or a mirror that became leader without having all
// messages, loses them without an error anywhere: the gap in the numbers is the
// only trace. It knows nothing of queues or messages.
package gap

import (
	"slices"
	"strings"
)

// Bounds on what a detector remembers.
const (
	maxGaps      = 1000 // gaps of a producer; the oldest are forgotten, and counted
	maxProducers = 1000
)

// Gap is a run of numbers that have not been seen.
type Gap struct {
	Producer string `json:"producer"`
	From     uint64 `json:"from"` // first missing
	To       uint64 `json:"to"`   // last missing
}

// Count is how many numbers are missing.
func (g Gap) Count() uint64 { return g.To - g.From + 1 }

// Detector follows the numbers of any number of producers. Numbers grow by one; a
// number may come again, and one that was missing may come late and closes its gap.
// Its zero value is ready. It is used from one goroutine at a time.
type Detector struct {
	producers map[string]*track
	forgotten uint64
}

// track is one producer's numbers: all up to last have come but for the gaps.
type track struct {
	last uint64
	gaps []Gap // in order, apart from each other
}

// See takes the next number of a producer and returns the gap that it opens, if it
// does. The first number of a producer opens none: where it began is not known.
func (d *Detector) See(producer string, n uint64) (Gap, bool) {
	if d.producers == nil {
		d.producers = map[string]*track{}
	}
	t := d.producers[producer]
	if t == nil {
		if len(d.producers) < maxProducers {
			d.producers[producer] = &track{last: n}
		}
		return Gap{}, false
	}
	if n <= t.last {
		t.fill(n)
		return Gap{}, false
	}
	before := t.last
	t.last = n
	if n == before+1 {
		return Gap{}, false
	}
	g := Gap{producer, before + 1, n - 1}
	t.gaps = append(t.gaps, g)
	if len(t.gaps) > maxGaps {
		d.forgotten += t.gaps[0].Count()
		t.gaps = t.gaps[1:]
	}
	return g, true
}

// fill takes n out of the gaps.
func (t *track) fill(n uint64) {
	i, found := slices.BinarySearchFunc(t.gaps, n, func(g Gap, n uint64) int {
		switch {
		case n < g.From:
			return 1
		case n > g.To:
			return -1
		}
		return 0
	})
	if !found {
		return // a repeat, or from before the first
	}
	g := t.gaps[i]
	var parts []Gap
	if n > g.From {
		parts = append(parts, Gap{g.Producer, g.From, n - 1})
	}
	if n < g.To {
		parts = append(parts, Gap{g.Producer, n + 1, g.To})
	}
	t.gaps = slices.Replace(t.gaps, i, i+1, parts...)
}

// Gaps returns what is missing now, by producer and number.
func (d *Detector) Gaps() []Gap {
	var all []Gap
	for _, t := range d.producers {
		all = append(all, t.gaps...)
	}
	slices.SortStableFunc(all, func(a, b Gap) int { return strings.Compare(a.Producer, b.Producer) })
	return all
}

// Missing is how many numbers are missing now, those of forgotten gaps included.
func (d *Detector) Missing() uint64 {
	n := d.forgotten
	for _, t := range d.producers {
		for _, g := range t.gaps {
			n += g.Count()
		}
	}
	return n
}
