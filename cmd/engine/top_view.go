package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/status"
)

// topView is one view of an engine, as JSON and as text.
type topView struct {
	*status.Status
	Nodes   []topNode `json:"nodes"`
	problem string    // why the view is old
}

// topNode is a node with its rates; nil if they are not known.
type topNode struct {
	status.Node
	*status.Rate
}

func newTopView(before, now *status.Status) *topView {
	v := &topView{Status: now, Nodes: make([]topNode, len(now.Nodes))}
	rates := status.Rates(before, now)
	for i, n := range now.Nodes {
		v.Nodes[i].Node = n
		if rate, ok := rates[n.ID]; ok {
			v.Nodes[i].Rate = &rate
		}
	}
	return v
}

// draw returns the lines of the view, at most height of at most width characters.
// Lanes have a line each if all of them fit, otherwise readers have.
func (v *topView) draw(width, height int) []string {
	lines := append(v.head(width), v.stands(max(height/3, 3))...)
	nodes, readers := v.nodes(width), v.lanes(width)
	if len(lines)+len(nodes)+len(readers)+2 > height {
		readers = cut(v.readers(width), max(height/3, 3))
		nodes = cut(nodes, max(height-len(lines)-len(readers)-2, 3))
	}
	lines = append(append(lines, ""), nodes...)
	if len(v.Readers) > 0 {
		lines = append(append(lines, ""), readers...)
	}
	lines = cut(lines, height)
	for i := range lines {
		lines[i] = shorten(lines[i], width)
	}
	return lines
}

// cut leaves most lines, the last of which then says how many are left out.
func cut(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	more := len(lines) - most + 1
	return append(lines[:most-1:most-1], fmt.Sprintf("... %d more", more))
}

// wrap puts parts beside each other as far as width goes.
func wrap(parts []string, width int) []string {
	lines := parts[:1:1]
	for _, p := range parts[1:] {
		last := &lines[len(lines)-1]
		if len([]rune(*last))+gap+len([]rune(p)) > width {
			lines = append(lines, p)
			continue
		}
		*last += strings.Repeat(" ", gap) + p
	}
	return lines
}

func (v *topView) head(width int) []string {
	ready := "ready"
	if !v.Ready {
		ready = "NOT READY"
	}
	name := plain(v.Pipeline)
	if v.Generation != "live" {
		name += "@" + plain(v.Generation)
	}
	up := "up " + (time.Duration(v.Uptime) * time.Second).String()
	lines := append(wrap([]string{name, ready, up, "millrace " + plain(v.Version)}, width), wrap(v.log(), width)...)
	if v.problem != "" {
		return append([]string{"! " + plain(v.problem)}, lines...)
	}
	return lines
}

func (v *topView) log() []string {
	l := v.Log
	if l == nil {
		return []string{"log: not open yet"}
	}
	left := "does not grow"
	if l.HoursLeft != nil {
		left = fmt.Sprintf("full in %.1f h", *l.HoursLeft)
	}
	share := 100 * float64(l.Bytes) / max(float64(l.MaxBytes), 1)
	return []string{
		fmt.Sprintf("log %s of %s (%.0f %%)", bytesText(l.Bytes), bytesText(l.MaxBytes), share), left,
		"dead letters " + compact(float64(l.DeadLetters)),
	}
}

// stands says what stands still and why the engine is not ready, in at most most lines.
func (v *topView) stands(most int) []string {
	var lines []string
	for _, h := range v.Holds {
		place := h.Stage
		if h.Stream != "" {
			place += " " + h.Stream + "/" + strconv.Itoa(h.Lane)
		}
		lines = append(lines, "! "+plain(place)+": "+plain(h.Reason))
	}
	for _, r := range v.Reasons {
		held := func(h metrics.Hold) bool { return r == httpapi.Reason{Component: h.Stage, Reason: h.Reason} }
		if !slices.ContainsFunc(v.Holds, held) {
			lines = append(lines, "! "+plain(r.Component)+": "+plain(r.Reason))
		}
	}
	return cut(lines, most)
}

func (v *topView) nodes(width int) []string {
	columns := []column{
		{title: "NODE", left: true}, {title: "KIND", left: true, drop: 3}, {title: "IN/S"}, {title: "OUT/S"}, {title: "IN", drop: 1}, {title: "OUT", drop: 5},
		{title: "REJECTED", drop: 4}, {title: "RETRIES", drop: 2}, {title: "DEAD"},
	}
	rows := make([][]string, len(v.Nodes))
	for i, n := range v.Nodes {
		rows[i] = n.cells()
	}
	return table(columns, rows, width)
}

func (n *topNode) cells() []string {
	in, out := "-", "-"
	if n.Rate != nil {
		in, out = perSecond(n.Rate.In), perSecond(n.Rate.Out)
	}
	row := []string{plain(n.ID), plain(n.Kind), in, out}
	t := n.Totals
	if t == nil {
		return append(row, "-", "-", "-", "-", "-")
	}
	for _, total := range []uint64{t.In, t.Out, t.Rejected, t.Retries, t.DeadLetters} {
		row = append(row, compact(float64(total)))
	}
	return row
}

// lanes has a row for each lane of each reader.
func (v *topView) lanes(width int) []string {
	columns := []column{
		{title: "READER", left: true}, {title: "STREAM", left: true, drop: 1}, {title: "LANE"}, {title: "LAG"}, {title: "SECONDS"},
	}
	var rows [][]string
	for _, r := range v.Readers {
		for _, l := range r.Lanes {
			rows = append(rows, []string{plain(r.Reader), plain(r.Stream), strconv.Itoa(l.Lane), compact(float64(l.Events)), perSecond(l.Seconds)})
		}
	}
	return table(columns, rows, width)
}

// readers has a row for each reader, with the lane that is furthest behind.
func (v *topView) readers(width int) []string {
	columns := []column{
		{title: "READER", left: true}, {title: "STREAM", left: true, drop: 1}, {title: "LANES", drop: 2}, {title: "LAG"}, {title: "SECONDS"},
		{title: "WORST LANE", drop: 3},
	}
	rows := make([][]string, len(v.Readers))
	for i, r := range v.Readers {
		events, worst := r.Worst()
		rows[i] = []string{
			plain(r.Reader), plain(r.Stream), strconv.Itoa(len(r.Lanes)), compact(float64(events)), perSecond(worst.Seconds), strconv.Itoa(worst.Lane),
		}
	}
	return table(columns, rows, width)
}

// column is a column of a table.
type column struct {
	title string
	left  bool // its cells begin at the left
	drop  int  // which is left out first where there is not room for all, from 1; 0: none
}

const gap = 2 // characters between columns

// table lays rows out under their titles. Where width is too small for all columns
// some are left out, and then the first is cut.
func table(columns []column, rows [][]string, width int) []string {
	titles, widths := make([]string, len(columns)), make([]int, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	rows = append([][]string{titles}, rows...)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	shown := fit(columns, widths, width)
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = layOut(columns, shown, widths, row)
	}
	return lines
}

// fit chooses the columns for which there is room and makes the first one narrower
// if that is not enough.
func fit(columns []column, widths []int, width int) []int {
	shown, total := make([]int, len(columns)), -gap
	for i, w := range widths {
		shown[i] = i
		total += w + gap
	}
	for total > width {
		next := firstToDrop(columns, shown)
		if next < 0 {
			widths[0] = max(widths[0]-total+width, 1)
			break
		}
		total -= widths[shown[next]] + gap
		shown = slices.Delete(shown, next, next+1)
	}
	return shown
}

// firstToDrop returns the index in shown of the column to leave out next, -1 if
// none may be.
func firstToDrop(columns []column, shown []int) int {
	found := -1
	for at, i := range shown {
		if d := columns[i].drop; d > 0 && (found < 0 || d < columns[shown[found]].drop) {
			found = at
		}
	}
	return found
}

func layOut(columns []column, shown, widths []int, row []string) string {
	var b strings.Builder
	for at, i := range shown {
		if at > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		cell := shorten(row[i], widths[i])
		pad := strings.Repeat(" ", max(widths[i]-len([]rune(cell)), 0))
		if columns[i].left {
			b.WriteString(cell + pad)
		} else {
			b.WriteString(pad + cell)
		}
	}
	return strings.TrimRight(b.String(), " ")
}
