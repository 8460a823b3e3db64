package metrics

import (
	"slices"
	"strings"

	vm "github.com/VictoriaMetrics/metrics"
)

// Totals counts what a node did since the engine began.
type Totals struct {
	In          uint64 `json:"in"`           // events that it took in; of a source, messages
	Out         uint64 `json:"out"`          // events that it handed on or stored
	Rejected    uint64 `json:"rejected"`     // records
	Retries     uint64 `json:"retries"`      // runs that were tried again
	DeadLetters uint64 `json:"dead_letters"` // events given up
}

// Totals returns what was counted of every node so far, by node id; a node that
// did nothing yet is not there. It reads counters only and waits for nothing.
func (r *Recorder) Totals() map[string]Totals {
	all := map[string]Totals{}
	add := func(f *family[*vm.Counter], label string, to func(*Totals) *uint64) {
		f.each(label, func(id string, c *vm.Counter) {
			t := all[id]
			*to(&t) += c.Get()
			all[id] = t
		})
	}
	in, out := func(t *Totals) *uint64 { return &t.In }, func(t *Totals) *uint64 { return &t.Out }
	add(r.ingested, "source", in)
	add(r.repeated, "source", in)
	add(r.ingested, "source", out)
	add(r.in, "node", in)
	add(r.out, "node", out)
	add(r.rejected, "node", func(t *Totals) *uint64 { return &t.Rejected })
	add(r.retries, "node", func(t *Totals) *uint64 { return &t.Retries })
	add(r.deadLetters, "node", func(t *Totals) *uint64 { return &t.DeadLetters })
	return all
}

// each calls do for every member with its value of label.
func (f *family[M]) each(label string, do func(value string, member M)) {
	at := slices.Index(f.labels, label)
	f.members.Range(func(key, member any) bool {
		do(strings.Split(key.(string), "\x00")[at], member.(M))
		return true
	})
}
