package feed

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// Times says which times readings get.
type Times int

// The ways to choose times.
const (
	Original Times = iota // those of the data set, moved on by its span with each replay
	Now                   // the moment of sending, rising by at least 1 ms from row to row
)

// Data yields messages in order.
type Data interface {
	// Next returns the messages of the next step and the number of records
	// (readings, rows) in them; [io.EOF] at the end. now is the moment of sending.
	Next(now time.Time) (messages []node.Message, records int, err error)
	// Total returns the number of records that Next will yield in all, -1 if it
	// does not end.
	Total() int
}

// ReplayOptions says how often and with which times a data set is replayed.
type ReplayOptions struct {
	Times Times
	Loop  bool
	// Run distinguishes the message ids of this replay from those of any other;
	// default: the moment of its start.
	Run string
}

// clock gives each step its time and each message its id.
type clock struct {
	ReplayOptions
	last time.Time
	n    int
}

func newClock(o ReplayOptions) clock {
	if o.Run == "" {
		o.Run = strconv.FormatInt(time.Now().UnixMilli(), 36)
	}
	return clock{ReplayOptions: o}
}

func (c *clock) id(name string) string {
	c.n++
	return fmt.Sprintf("%s-%s-%06d", name, c.Run, c.n)
}

// now returns a time of millisecond resolution that is later than the last.
func (c *clock) now(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Millisecond)
	if !now.After(c.last) {
		now = c.last.Add(time.Millisecond)
	}
	c.last = now
	return now
}

// Replay yields the rows of a [Plant] as its messages.
type Replay struct {
	plant *Plant
	clock clock
	next  int
	round int
}

var _ Data = (*Replay)(nil)

// Replay returns the plant's messages from its first row on.
func (p *Plant) Replay(o ReplayOptions) *Replay { return &Replay{plant: p, clock: newClock(o)} }

// Next implements [Data]; a step is one row.
func (r *Replay) Next(now time.Time) ([]node.Message, int, error) {
	if r.next == len(r.plant.rows) {
		if !r.clock.Loop {
			return nil, 0, io.EOF
		}
		r.next, r.round = 0, r.round+1
	}
	row := r.plant.rows[r.next]
	r.next++
	at := row.at.Add(time.Duration(r.round) * r.plant.span)
	if r.clock.Times == Now {
		at = r.clock.now(now)
	}
	if len(row.readings) == 0 { // a station's row may lack every value
		return nil, 0, nil
	}
	return r.plant.shape(r.plant, r.clock.id(r.plant.Name), at, row), len(row.readings), nil
}

// Total implements [Data].
func (r *Replay) Total() int {
	if r.clock.Loop {
		return -1
	}
	n := 0
	for _, row := range r.plant.rows {
		n += len(row.readings)
	}
	return n
}

// Several takes a step of each data set in turn, leaving out those that ended.
type Several struct {
	Parts []Data
	turn  int
	ended int
}

var _ Data = (*Several)(nil)

// Next implements [Data].
func (s *Several) Next(now time.Time) ([]node.Message, int, error) {
	for s.ended < len(s.Parts) {
		i := s.turn % len(s.Parts)
		s.turn++
		if s.Parts[i] == nil {
			continue
		}
		messages, records, err := s.Parts[i].Next(now)
		if err != io.EOF {
			return messages, records, err
		}
		s.Parts[i] = nil
		s.ended++
	}
	return nil, 0, io.EOF
}

// Total implements [Data]. It is meant for before the first Next.
func (s *Several) Total() int {
	total := 0
	for _, p := range s.Parts {
		n := p.Total()
		if n < 0 {
			return -1
		}
		total += n
	}
	return total
}
