package live

import (
	"bytes"
	"strconv"
)

// wire is how events are told apart on a connection.
type wire uint8

const (
	wireSSE   wire = iota // server-sent events
	wireLines             // one JSON object a line
	wires                 // how many there are
)

// event appends one event whose data is JSON. id "" is left out.
func (w wire) event(dst []byte, name, id string, data []byte) []byte {
	return w.end(append(w.begin(dst, name, id), data...))
}

// begin appends what stands before JSON data, which has no line ends.
func (w wire) begin(dst []byte, name, id string) []byte {
	if w == wireLines {
		dst = append(append(append(dst, `{"event":"`...), name...), '"')
		if id != "" {
			dst = append(append(append(dst, `,"id":"`...), id...), '"')
		}
		return append(dst, `,"data":`...)
	}
	dst = append(append(dst, "event: "...), name...)
	if id != "" {
		dst = append(append(dst, "\nid: "...), id...)
	}
	return append(dst, "\ndata: "...)
}

// end appends what stands behind the data.
func (w wire) end(dst []byte) []byte {
	if w == wireLines {
		return append(dst, "}\n"...)
	}
	return append(dst, "\n\n"...)
}

// text appends one event whose data is text of any number of lines; a line of JSON
// holds it as a string.
func (w wire) text(dst []byte, name, id string, data []byte) []byte {
	if w == wireLines {
		return w.event(dst, name, id, marshal(string(data)))
	}
	dst = w.begin(dst, name, id)
	for i, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		if i > 0 {
			dst = append(dst, "\ndata: "...)
		}
		dst = append(dst, line...)
	}
	return w.end(dst)
}

// contentType is the media type of a stream.
func (w wire) contentType() string {
	if w == wireLines {
		return "application/x-ndjson"
	}
	return "text/event-stream; charset=utf-8"
}

// offset is a place as text: "ms-number".
func (p place) offset() string {
	return string(strconv.AppendUint(append(strconv.AppendUint(nil, p.ms, 10), '-'), p.seq, 10))
}
