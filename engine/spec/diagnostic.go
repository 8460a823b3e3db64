package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a diagnostic means for the file.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the file cannot run
	Warning Severity = "warning" // it runs, but perhaps not as meant; lint shows it
	Note    Severity = "note"    // worth knowing, such as memory to provide; lint shows it
)

// Diagnostic is one problem of a pipeline file at its place.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line,omitempty"`   // from 1; 0: the file as a whole
	Column   int      `json:"column,omitempty"` // in characters, from 1
	Code     string   `json:"code"`             // short machine-readable name of the rule
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"` // how to mend it
}

// String writes the diagnostic as "file:line:col: error: message (hint)".
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", d.Line, d.Column)
	}
	fmt.Fprintf(&b, ": %s: %s", d.Severity, d.Message)
	if d.Hint != "" {
		fmt.Fprintf(&b, " (%s)", d.Hint)
	}
	return b.String()
}

// HasErrors reports whether any diagnostic is an error.
func HasErrors(diags []Diagnostic) bool {
	return slices.ContainsFunc(diags, func(d Diagnostic) bool { return d.Severity == Error })
}

// sorted orders diagnostics by place and drops exact repeats.
func sorted(diags []Diagnostic) []Diagnostic {
	slices.SortStableFunc(diags, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(diags)
}
