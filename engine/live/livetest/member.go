package livetest

import (
	"bytes"
	"strconv"
	"time"
)

func sum(all []member, until int) Seen {
	var s Seen
	for _, m := range all {
		s.Frames += m.frames
		s.Sights = append(s.Sights, m.sights...)
		if m.gone {
			s.Gone++
		} else if m.points == until {
			s.Whole++
		}
	}
	return s
}

// member is one reader.
type member struct {
	points, frames int
	skipped        int  // frames since the last that was noted
	heard, gone    bool // something has come, or the end; it ended too early
	sights         []Sight
	rest           []byte // of an event that is not whole
}

var eventEnd = []byte("\n\n")

// take takes what the connection has brought; b is used no more when it returns.
func (m *member) take(b []byte) {
	if len(m.rest) > 0 {
		m.rest = append(m.rest, b...)
		b = m.rest
	}
	for {
		block, behind, whole := bytes.Cut(b, eventEnd)
		if !whole {
			break
		}
		m.event(block)
		b = behind
	}
	m.rest = append(m.rest[:0], b...)
}

// event takes one event. Points of a history count, too, but it is no frame. Lengths of
// chunks may stand between events.
func (m *member) event(block []byte) {
	for list := block; ; {
		var found bool
		if _, list, found = bytes.Cut(list, []byte(`"v":[`)); !found {
			break
		}
		if values, _, _ := bytes.Cut(list, []byte("]")); len(values) > 0 {
			m.points += bytes.Count(values, []byte(",")) + 1
		}
	}
	_, data, found := bytes.Cut(block, []byte(`data: {"series":`))
	if !found {
		return
	}
	m.frames++
	if m.skipped++; m.skipped%10 == 0 {
		m.note(data)
	}
}

func (m *member) note(data []byte) {
	now := time.Now()
	values := bytes.TrimRight(data, "]}")
	newest := values[bytes.LastIndexAny(values, "[,")+1:]
	if v, err := strconv.ParseFloat(string(newest), 64); err == nil {
		m.sights = append(m.sights, Sight{v, now})
	}
}
