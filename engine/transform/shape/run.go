package shape

import (
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Run is the working memory of one Process call of a decoding transform: for
// each input event Start, then Record or Reject for each of its records, then
// Finish. It belongs to one goroutine.
type Run struct {
	shape *Shape
	node  string
	slab  Slab

	in      *event.Event
	view    event.Event // in with the record at hand, as expressions see it
	record  event.Record
	outputs []*event.Event
	rejects []node.Reject
	times   memo
}

// Run begins a Process call of node nodeID.
func (s *Shape) Run(nodeID string) *Run { return &Run{shape: s, node: nodeID} }

// Start begins the input event in.
func (r *Run) Start(in *event.Event) {
	r.in, r.outputs, r.rejects = in, r.outputs[:0], nil
	if len(r.shape.set) > 0 {
		r.view = *in
		r.view.Record = &r.record
	}
}

// Record shapes one decoded record and derives its event. number is the record's
// within the input event, ordinal the one that its id is made from. fields is
// changed in place and may be reused after the call.
func (r *Run) Record(number, ordinal int, fields []event.Field) {
	r.record.Fields = fields
	fields, ms, bad := r.shape.apply(&r.view, fields, &r.times)
	if bad != nil {
		bad.Record = number
		r.Reject(*bad)
		return
	}
	out := r.in.Derive(r.node, ordinal, ms)
	out.Record = r.slab.Record(fields)
	r.outputs = append(r.outputs, out)
}

// Reject notes that a record cannot be used. What is wrong with one record
// becomes one reject, under the code of the first problem.
func (r *Run) Reject(bad node.Reject) {
	if n := len(r.rejects); n > 0 && r.rejects[n-1].Record == bad.Record {
		r.rejects[n-1].Text = Join(r.rejects[n-1].Text, bad.Text)
		return
	}
	r.rejects = append(r.rejects, bad)
}

// maxProblems bounds the bytes of text that [Join] adds to.
const maxProblems = 500

// Join adds a problem to the text of earlier ones, unless it is among them or
// they are long already.
func Join(problems, problem string) string {
	if len(problems) > maxProblems || strings.Contains(problems, problem) {
		return problems
	}
	return problems + "; " + problem
}

// Finish ends the input event. expect is how many more like it are to come.
func (r *Run) Finish(expect int) node.Result {
	return node.Result{Outputs: r.slab.Outputs(r.outputs, expect), Rejects: r.rejects}
}

// Refuse is the result of an event that cannot be used as a whole.
func Refuse(code, text string) node.Result {
	return node.Result{Rejects: []node.Reject{{Record: -1, Code: code, Text: text}}}
}

// memo remembers the last time text: the cells of one row, and often the records
// of one message, carry the same.
type memo struct {
	text string
	ms   int64
}

func (s *Shape) read(v event.Value, m *memo) (int64, error) {
	if v.Kind() != event.KindString {
		return s.clock.Read(v)
	}
	if m.text != "" && m.text == v.Text() {
		return m.ms, nil
	}
	ms, err := s.clock.Text(v.Text())
	if err == nil {
		m.text, m.ms = v.Text(), ms
	}
	return ms, err
}
