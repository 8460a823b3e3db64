package transformtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Mismatch is an event of an example that became something else than the example
// says.
type Mismatch struct {
	Event int // its place among the inputs, from 0
	// Lines compare line by line: "  " what both have, "- " what was expected and is
	// not there, "+ " what came instead.
	Lines []string
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("event %d: expected -, got +\n    %s", m.Event, strings.Join(m.Lines, "\n    "))
}

// difference compares what became of an event with what was expected; nil if that
// is all there.
func (o *Output) difference(r node.Result) []string {
	var got, want []string
	for k := range max(len(o.Outputs), len(r.Outputs)) {
		mark := fmt.Sprintf("output %d ", k)
		asked := everything
		if k < len(o.Outputs) {
			asked = &o.Outputs[k]
			want = append(want, asked.expected(mark)...)
		}
		if k < len(r.Outputs) {
			got = append(got, asked.found(mark, r.Outputs[k])...)
		}
	}
	for k := range max(len(o.Rejects), len(r.Rejects)) {
		w, g := o.reject(k), rejectOf(r, k)
		if w != nil && g != nil && strings.Contains(g.Text, w.Text) {
			w.Text = g.Text // a part of it is enough
		}
		want, got = append(want, rejectLine(w)...), append(got, rejectLine(g)...)
	}
	return compare(want, got)
}

func (o *Output) reject(k int) *node.Reject {
	if k >= len(o.Rejects) {
		return nil
	}
	return &node.Reject{Record: o.Rejects[k].Record, Code: o.Rejects[k].Code, Text: o.Rejects[k].Text}
}

func rejectOf(r node.Result, k int) *node.Reject {
	if k >= len(r.Rejects) {
		return nil
	}
	return &r.Rejects[k]
}

func rejectLine(r *node.Reject) []string {
	if r == nil {
		return nil
	}
	return []string{fmt.Sprintf("reject of record %d: %s: %s", r.Record, r.Code, r.Text)}
}

// everything asks for all of an output that nobody expected.
var everything = &Expected{Record: &Fields{}, Payload: new(string)}

// expected writes what x asks for, a line each.
func (x *Expected) expected(mark string) []string {
	lines := []string{mark + "event"}
	if x.Key != nil {
		lines = append(lines, fmt.Sprintf("%skey: %q", mark, *x.Key))
	}
	if x.Time != nil {
		lines = append(lines, mark+"time: "+moment(int64(*x.Time)))
	}
	if x.Payload != nil {
		lines = append(lines, fmt.Sprintf("%spayload: %q", mark, *x.Payload))
	}
	if x.Record != nil {
		lines = append(lines, fieldLines(mark, *x.Record)...)
	}
	return lines
}

// found writes of e what x asks for.
func (x *Expected) found(mark string, e *event.Event) []string {
	lines := []string{mark + "event"}
	if x.Key != nil {
		lines = append(lines, fmt.Sprintf("%skey: %q", mark, e.Key))
	}
	if x.Time != nil {
		lines = append(lines, mark+"time: "+moment(e.Time))
	}
	if x.Payload != nil && (e.Record == nil || x != everything) {
		lines = append(lines, fmt.Sprintf("%spayload: %q", mark, e.Payload))
	}
	if x.Record != nil && e.Record != nil {
		lines = append(lines, fieldLines(mark, e.Record.Fields)...)
	}
	return lines
}

func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

func fieldLines(mark string, fields []event.Field) []string {
	lines := []string{mark + "record"}
	for _, f := range fields {
		lines = append(lines, fmt.Sprintf("%srecord %s: %s %q", mark, f.Name, f.Value.Kind(), f.Value.Format()))
	}
	return lines
}

// compare returns nil if the lists are equal, else the shortest way from one to
// the other.
func compare(want, got []string) []string {
	if slices.Equal(want, got) {
		return nil
	}
	if len(want)*len(got) > maxTable {
		return slices.Concat(marked("- ", want), marked("+ ", got))
	}
	// common[i][j] is the number of lines that want[i:] and got[j:] share in order.
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if want[i] == got[j] {
				common[i][j] = 1 + common[i+1][j+1]
			}
		}
	}
	return walk(want, got, common)
}

// maxTable bounds the table of [compare], in numbers.
const maxTable = 1 << 20

func marked(mark string, lines []string) []string {
	var out []string
	for _, line := range lines {
		out = append(out, mark+line)
	}
	return out
}

func walk(want, got []string, common [][]int) []string {
	var lines []string
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			lines = append(lines, "  "+want[i])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, "- "+want[i])
			i++
		default:
			lines = append(lines, "+ "+got[j])
			j++
		}
	}
	return lines
}
