package doctor

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Write writes the findings as aligned lines, each mend below what it mends, and
// last how many there are of each severity that is not fine.
func (r Report) Write(w io.Writer) error {
	wide := 0
	for _, f := range r.Findings {
		wide = max(wide, len(f.Component))
	}
	var out bytes.Buffer
	for _, f := range r.Findings {
		fmt.Fprintf(&out, "%-8s %-*s  %s\n", f.Severity, wide, f.Component, f.Found)
		for _, mend := range f.Mend {
			fmt.Fprintf(&out, "%-8s %-*s    mend: %s\n", "", wide, "", mend)
		}
	}
	fmt.Fprintf(&out, "\n%s\n", r.summary())
	_, err := w.Write(out.Bytes())
	return err
}

// summary is one line, such as "2 problems, 1 warning".
func (r Report) summary() string {
	var parts []string
	for _, s := range []Severity{Problem, Unknown, Warning} {
		if n := r.count(s); n > 0 && s == Unknown {
			parts = append(parts, fmt.Sprintf("%d unknown", n))
		} else if n > 0 {
			parts = append(parts, count(n, string(s)))
		}
	}
	if len(parts) == 0 {
		return "ready to run"
	}
	return strings.Join(parts, ", ")
}
