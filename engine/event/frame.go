package event

import "errors"

// ErrFormat marks bytes or text that are not what this package writes.
var ErrFormat = errors.New("malformed data")

// Frame is one stream entry: 1..N consecutive events of one lane.
type Frame struct {
	Watermark int64 // ms: no earlier event time follows in this lane; 0 if unknown
	Events    []*Event
}
