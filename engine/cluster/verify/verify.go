// Package verify judges a snapshot of a cluster: 22 checks, each with what was
// expected, what was seen and the line that mends it. What a node does not tell is
// never taken for good: a missing field is a finding, and what cannot be known at
// all is said to be unknown.
package verify

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/cluster/canary"
	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

// Status is the outcome of a check.
type Status string

// The outcomes, from good to bad.
const (
	OK      Status = "ok"
	Skipped Status = "skipped" // by leave of who asked
	Unknown Status = "unknown" // cannot be told
	Finding Status = "finding"
)

// CanaryLimit is how soon a canary must arrive.
const CanaryLimit = 2 * time.Second

// skewLimit is how far clocks may be apart. Dates of HTTP are whole seconds.
const skewLimit = 2 * time.Second

// Item is one thing that is not as expected, or cannot be told.
type Item struct {
	Status   Status `json:"status"`
	Subject  string `json:"subject"` // node, queue, policy
	Expected string `json:"expected"`
	Seen     string `json:"seen"`
	Mend     string `json:"mend,omitempty"` // the line that mends it
}

// Check is one check with what it found.
type Check struct {
	ID     string `json:"id"` // C01 to C22
	Title  string `json:"title"`
	Status Status `json:"status"`
	Note   string `json:"note,omitempty"` // why it is ok without having looked
	Items  []Item `json:"items,omitempty"`
}

// Report is the outcome of all checks.
type Report struct {
	Cluster string  `json:"cluster"`
	Status  Status  `json:"status"`
	Checks  []Check `json:"checks"`
}

// Input is what is judged.
type Input struct {
	Snapshot   *snapshot.Snapshot
	Canary     map[string]canary.Result // by node; nil: not flown
	NoCanary   bool                     // and that is as it was asked
	CookieHash string                   // that every node must have; "" for no such
}

// judge judges one snapshot.
type judge struct {
	Input
	s *snapshot.Snapshot
	t *topology.Topology
	*Check
}

// checks are all of them in order.
var checks = []struct {
	title string
	run   func(*judge)
}{
	{"Erlang cookies are equal", (*judge).cookies},
	{"the planned nodes, all running, names resolve", (*judge).nodes},
	{"versions and feature flags", (*judge).versions},
	{"disc nodes", (*judge).storage},
	{"no partitions, as each node sees it", (*judge).partitions},
	{"no alarms", (*judge).alarms},
	{"partition handling", (*judge).partitionHandling},
	{"policies in effect", (*judge).policies},
	{"no ha- keys where they have no effect", (*judge).oldKeys},
	{"leaders on their owners", (*judge).leaders},
	{"copies complete, the replica's node among them", (*judge).copies},
	{"only complete mirrors become leaders", (*judge).promotion},
	{"queues, exchanges and bindings as planned", (*judge).objects},
	{"dead letters and limits", (*judge).limits},
	{"every queue has a state", (*judge).states},
	{"consumers", (*judge).consumers},
	{"connections are spread", (*judge).connections},
	{"listeners, TLS, guest", (*judge).listeners},
	{"certificates", (*judge).certificates},
	{"plugins", (*judge).plugins},
	{"clocks", (*judge).clocks},
	{"a canary through each node", (*judge).canaries},
}

// Run judges in. It takes no time and asks nobody.
func Run(in Input) Report {
	r := Report{Cluster: in.Snapshot.Topology.Name, Status: OK}
	for i, c := range checks {
		j := &judge{Input: in, s: in.Snapshot, t: in.Snapshot.Topology, Check: &Check{ID: fmt.Sprintf("C%02d", i+1), Title: c.title, Status: OK}}
		if j.s.From == "" {
			j.unknown("cluster", "an answer", "no node answers", "start the nodes, or mend the addresses in the file")
		} else {
			c.run(j)
		}
		slices.SortStableFunc(j.Items, func(a, b Item) int { return cmp.Compare(a.Subject, b.Subject) })
		r.Checks = append(r.Checks, *j.Check)
		r.Status = worse(r.Status, j.Status)
	}
	return r
}

var severity = []Status{OK, Skipped, Unknown, Finding}

func worse(a, b Status) Status {
	if slices.Index(severity, b) > slices.Index(severity, a) {
		return b
	}
	return a
}

// Fired returns the ids of the checks with a status.
func (r Report) Fired(status Status) []string {
	var ids []string
	for _, c := range r.Checks {
		if c.Status == status {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func (j *judge) note(format string, args ...any) { j.Note = fmt.Sprintf(format, args...) }

func (j *judge) item(status Status, subject, expected, seen, mend string) {
	j.Items = append(j.Items, Item{status, subject, expected, seen, mend})
	j.Status = worse(j.Status, status)
}

func (j *judge) bad(subject, expected, seen, mend string) {
	j.item(Finding, subject, expected, seen, mend)
}

func (j *judge) unknown(subject, expected, seen, mend string) {
	j.item(Unknown, subject, expected, seen, mend)
}

// blind notes that a part of the answers is missing and reports whether it is.
func (j *judge) blind(part string) bool {
	err, missing := j.s.Missing[part]
	if missing {
		j.unknown(part, "an answer", err.Error(), "give the administrator of the file the tag administrator")
	}
	return missing
}

// each calls f for every node that answers, with what it says about itself. A node
// that does not is the finding of [judge.nodes].
func (j *judge) each(f func(n *topology.Node, v *snapshot.View, self *management.Node)) {
	for i := range j.t.Nodes {
		n := &j.t.Nodes[i]
		if v := j.s.Views[n.Name]; v.Err == nil {
			if self := v.Self(n.Erlang); self != nil {
				f(n, v, self)
			} else {
				j.bad(n.Name, "it is among its own nodes", "it does not know "+n.Erlang, "node: in the cluster file must be what rabbitmqctl status shows")
			}
		}
	}
}

// server is the version of RabbitMQ of the node that spoke for all.
func (j *judge) server() string { return j.s.Views[j.s.From].Overview.RabbitMQ }

// eachQueue calls f for every planned queue that is there. One that is not is the
// finding of [judge.objects].
func (j *judge) eachQueue(f func(q *topology.Queue, seen *management.Queue)) {
	if j.blind("queues") {
		return
	}
	for i := range j.t.Queues {
		if seen := j.s.Queue(j.t.Queues[i].Name); seen != nil {
			f(&j.t.Queues[i], seen)
		}
	}
}

func told[T any](v *T) string {
	if v == nil {
		return "not told"
	}
	return fmt.Sprint(*v)
}
