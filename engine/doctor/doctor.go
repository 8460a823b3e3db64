// Package doctor looks at everything that a pipeline needs before it runs: its
// servers, queues, tables, plugins, folders and address. It stands before an event's
// way, only reads, and asks each server through the package that alone knows it;
// what it finds it tells with the line that mends it.
package doctor

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/spec"
)

// Severity says what a finding means for a run.
type Severity string

// The severities, the mildest first.
const (
	OK      Severity = "ok"      // as it should be
	Info    Severity = "info"    // worth knowing, nothing to mend
	Warning Severity = "warning" // the pipeline runs, but perhaps not as meant
	Unknown Severity = "unknown" // cannot tell: a server does not answer
	Problem Severity = "problem" // the pipeline would not run, or would wait for ever
)

// Finding is one thing that was looked at. It holds no secret.
type Finding struct {
	Component string   `json:"component"` // such as "redis log" or "source plant1"
	Severity  Severity `json:"severity"`
	Found     string   `json:"found"`          // one line for people
	Mend      []string `json:"mend,omitempty"` // lines of a configuration, or commands; none for OK and Info
}

// Report is all that was found, in the order of an event's way.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Has reports whether any finding has severity s.
func (r Report) Has(s Severity) bool { return r.count(s) > 0 }

func (r Report) count(s Severity) int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Severity == s {
			n++
		}
	}
	return n
}

// DefaultTimeout is how long each server has to answer.
const DefaultTimeout = 5 * time.Second

// Options say what is looked at.
type Options struct {
	Pipeline *spec.Pipeline // a file without errors
	Listen   string         // host:port of the page and the API; default [httpapi.DefaultListen]
	Timeout  time.Duration  // for each server; default [DefaultTimeout]
}

// Check looks at everything at once and returns when each part has answered or has
// used up its time. It changes nothing: it declares no queue, creates no table, and
// builds no plugin.
func Check(ctx context.Context, o Options) Report {
	if o.Listen == "" {
		o.Listen = httpapi.DefaultListen
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &checker{Options: o}
	parts := []func(context.Context) []Finding{c.file, c.redis, c.amqp, c.mqtt, c.sql, c.plugins, c.folders, c.listen}
	return Report{Findings: slices.Concat(atOnce(parts, func(look func(context.Context) []Finding) []Finding { return look(ctx) })...)}
}

// checker looks at one pipeline.
type checker struct{ Options }

// patience bounds what one server may take.
func (c *checker) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Timeout)
}

// atOnce calls do on all at once and returns what it returned, in their order.
func atOnce[T, R any](all []T, do func(T) R) []R {
	out := make([]R, len(all))
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { out[i] = do(all[i]) })
	}
	wg.Wait()
	return out
}

// about collects what is found out about one component.
type about struct {
	component string
	findings  []Finding
}

func (a *about) add(s Severity, found string, mend ...string) {
	for i := range mend {
		mend[i] = line(mend[i])
	}
	a.findings = append(a.findings, Finding{a.component, s, line(found), mend})
}

// line makes one line of a text in which servers may have had a say.
func line(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 { // no terminal is steered by a server
			return ' '
		}
		return r
	}, text)
}
