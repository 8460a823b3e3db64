// Package reload tells what became of a pipeline file that was applied again while
// its pipeline ran: the plan of the change, the outcome and its id. It also watches
// the file. What is done is done by package runtime.
package reload

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/plan"
)

// Outcome is how a reload ended.
type Outcome string

// The outcomes. But for Applied the pipeline runs on exactly as before.
const (
	Applied    Outcome = "applied"
	Unchanged  Outcome = "unchanged"   // the file means what runs already
	Planned    Outcome = "planned"     // a dry run
	Refused    Outcome = "refused"     // the file is wrong, or cannot be applied under way: nothing was ended for it
	RolledBack Outcome = "rolled_back" // it failed half-way; what had been ended goes on as it was
)

// What may cause a reload.
const (
	BySignal = "signal"
	ByWatch  = "watch"
	ByAPI    = "api"
)

// Result is one reload.
type Result struct {
	ID      string            `json:"id"`
	Time    time.Time         `json:"time"` // when it began
	Trigger string            `json:"trigger"`
	File    string            `json:"file"`
	Outcome Outcome           `json:"outcome"`
	Error   string            `json:"error,omitempty"` // why, one problem a line
	Nodes   []plan.NodeChange `json:"nodes"`           // in the new file's order, removed ones behind
	Notes   []string          `json:"notes,omitempty"` // what else there is to know
	Seconds float64           `json:"seconds"`         // that it took
	Paused  float64           `json:"paused_seconds"`  // that the part which stood still longest did
}

// Failed reports whether what was asked for was not done.
func (r *Result) Failed() bool { return r.Outcome == Refused || r.Outcome == RolledBack }

// Count returns how many nodes change so.
func (r *Result) Count(c plan.Change) (n int) {
	for _, node := range r.Nodes {
		if node.Change == c {
			n++
		}
	}
	return n
}

// Write explains the result. The text is for people; its form may change.
func (r *Result) Write(w io.Writer) error {
	fmt.Fprintf(w, "reload %s of %s: %s", r.ID, r.File, strings.ReplaceAll(string(r.Outcome), "_", " "))
	if r.Outcome == Applied {
		fmt.Fprintf(w, " in %.2f s, no part stood still for longer than %.2f s", r.Seconds, r.Paused)
	}
	fmt.Fprintln(w)
	longest := 0
	for _, n := range r.Nodes {
		longest = max(longest, len(n.ID))
	}
	for _, n := range r.Nodes {
		line := fmt.Sprintf("  %-9s  %-9s  %-*s  %s", n.Change, n.Kind, longest, n.ID, strings.Join(n.Why, "; "))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	if r.Error != "" {
		fmt.Fprintf(w, "  error: %s\n", strings.ReplaceAll(r.Error, "\n", "\n         "))
	}
	if !r.Failed() {
		return nil
	}
	if _, err := fmt.Fprintln(w, "  the pipeline runs on as before"); err != nil {
		return fmt.Errorf("reload %s: %w", r.ID, err)
	}
	return nil
}
