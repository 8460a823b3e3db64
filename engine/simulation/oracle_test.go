package simulation

import (
	"fmt"
	"slices"
	"strings"
)

// verdict is what the oracle found. It knows what the broker confirmed, the table's
// rows and the dead letters, and nothing of the engine.
type verdict struct {
	events, stored, dead                            int
	lost, doubled, foreign, disordered, misnumbered int
	first                                           string // what is wrong, an example
}

func (v *verdict) clean() bool {
	return v.lost+v.doubled+v.foreign+v.disordered+v.misnumbered == 0
}

func (v *verdict) String() string {
	return fmt.Sprintf("events %d, rows %d, dead letters %d, lost %d, doubled %d, foreign %d, out of order %d, misnumbered %d %s",
		v.events, v.stored, v.dead, v.lost, v.doubled, v.foreign, v.disordered, v.misnumbered, v.first)
}

func (v *verdict) add(n *int, format string, args ...any) {
	*n++
	if v.first == "" {
		v.first = fmt.Sprintf("("+format+")", args...)
	}
}

// settledIDs are the messages that have a row or a dead letter.
func (w *world) settledIDs() map[string]bool {
	ids := map[string]bool{}
	for _, r := range w.table.all() {
		ids[r.id] = true
	}
	for _, l := range w.redis.letters() {
		ids[l.id] = true
	}
	return ids
}

// judge counts: every confirmed message exactly one row or exactly one dead letter,
// and the right one of the two; nothing else; rows of a device in the order of
// arrival, numbered by the stage without a gap.
func (w *world) judge() verdict {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	v := verdict{events: len(f.confirmed)}
	rows, letters := w.table.all(), w.redis.letters()
	v.stored, v.dead = len(rows), len(letters)
	inRows, inLetters := map[string]int{}, map[string]int{}
	for _, r := range rows {
		inRows[r.id]++
	}
	for _, l := range letters {
		inLetters[l.id]++
	}
	for _, id := range f.confirmed {
		v.judgeOne(id, f.poison[id], inRows[id], inLetters[id])
		delete(inRows, id)
		delete(inLetters, id)
	}
	for _, id := range append(keysOf(inRows), keysOf(inLetters)...) {
		v.add(&v.foreign, "%s was never confirmed", id)
	}
	v.judgeOrder(f, rows)
	return v
}

// judgeOne looks at one message. One without an identity is kept at least once:
// nobody can tell that it came again.
func (v *verdict) judgeOne(id, poison string, rows, letters int) {
	bad := poison != ""
	switch {
	case rows+letters == 0, bad && letters == 0, !bad && rows == 0:
		v.add(&v.lost, "%s %s has %d rows and %d dead letters", id, poison, rows, letters)
	case rows+letters > 1 && poison != malformed:
		v.add(&v.doubled, "%s %s has %d rows and %d dead letters", id, poison, rows, letters)
	case bad && rows > 0:
		v.add(&v.foreign, "%s %s has %d rows", id, poison, rows)
	}
}

func (v *verdict) judgeOrder(f *feed, rows []row) {
	nth, numbered := map[string]int64{}, map[string]int64{}
	for _, id := range f.confirmed {
		if p := f.poison[id]; p == "" || p == unstorable { // the others never reach the number
			nth[f.device[id]]++
			numbered[id] = nth[f.device[id]]
		}
	}
	last := map[string]int{}
	for _, r := range rows {
		if n, ok := last[f.device[r.id]]; ok && f.number[r.id] < n {
			v.add(&v.disordered, "%s is behind m%03d", r.id, n)
		}
		last[f.device[r.id]] = f.number[r.id]
		if r.nth != numbered[r.id] || r.device != f.device[r.id] {
			v.add(&v.misnumbered, "%s is number %d of %s, it ought to be %d of %s", r.id, r.nth, r.device, numbered[r.id], f.device[r.id])
		}
	}
}

func keysOf(m map[string]int) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// results is what came out of a run, in a form that two runs can be compared by:
// rows by device in order, dead letters by node.
func (r *report) results() string {
	var lines []string
	for _, x := range r.rows {
		lines = append(lines, fmt.Sprintf("row %s %03d %s", x.device, x.nth, x.id))
	}
	for _, l := range r.letters {
		line := fmt.Sprintf("dead %s %s %s", l.node, l.code, l.id)
		if l.code != malformed || !slices.Contains(lines, line) { // see judgeOne
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
