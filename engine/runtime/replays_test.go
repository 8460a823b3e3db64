package runtime

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/replay"
	"github.com/millrace/millrace/engine/spec"
)

// two is a pipeline with two sources and two ways to sinks.
const two = `kind: pipeline
version: 1
name: two
connections: { q: { amqp: { urls: embedded } }, log: { redis: { url: embedded } }, s: { sql: { dsn: embedded } }, far: { redis: { url: "redis://127.0.0.1:1/0" } } }
nodes:
  - { id: a, source: amqp, with: { connection: q, queue: a, identity: message_id } }
  - { id: b, source: amqp, with: { connection: q, queue: b, identity: message_id } }
  - { id: one, transform: json, inputs: [a] }
  - { id: both, transform: select, inputs: [one, other], key: device, with: { drop: [x] } }
  - { id: other, transform: json, inputs: [b] }
  - { id: rows, sink: sql, inputs: [both], with: { connection: s, table: t } }
  - { id: raw, sink: sql, inputs: [other], with: { connection: s, table: u } }
  - { id: live, sink: chart, inputs: [both] }
log: { connection: log }
`

func engineOf(t *testing.T, text string) *Engine {
	t.Helper()
	p, diags := spec.Parse("two.yaml", []byte(text), catalog.Builtin(), os.LookupEnv)
	if p == nil {
		t.Fatal(diags)
	}
	made, _ := plan.Make(p)
	e, err := New(Config{Pipeline: p, Plan: made, EngineID: "e", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestPlanOfAReplay: what a replay leaves out of its file's plan.
func TestPlanOfAReplay(t *testing.T) {
	e := engineOf(t, two)
	for name, c := range map[string]struct {
		req  replay.Request
		want string // nodes, sinks and charts that are left
	}{
		"shadow fills tables and charts": {replay.Request{Mode: replay.Shadow}, "both live one other raw rows"},
		"live fills no chart":            {replay.Request{Mode: replay.Live}, "both one other raw rows"},
		"none compares tables":           {replay.Request{Mode: replay.None}, "both one other raw rows"},
		"one sink alone":                 {replay.Request{Mode: replay.Live, Sinks: []string{"raw"}}, "other raw"},
		"from one source":                {replay.Request{Mode: replay.Live, Node: "a"}, "both one rows"},
		"through a node":                 {replay.Request{Mode: replay.Live, Node: "both"}, "both one other rows"},
		"to a sink":                      {replay.Request{Mode: replay.None, Node: "raw"}, "other raw"},
	} {
		t.Run(name, func(t *testing.T) {
			c.req.File, c.req.Text = "two.yaml", two
			_, made, err := e.planOf(&c.req)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, s := range made.Stages {
				for _, n := range s.Nodes {
					left = append(left, n.ID)
				}
			}
			for _, s := range made.Sinks {
				left = append(left, s.ID)
			}
			for _, s := range made.Charts {
				left = append(left, s.ID)
			}
			slices.Sort(left)
			if got := strings.Join(left, " "); got != c.want {
				t.Errorf("left: %s; want %s", got, c.want)
			}
		})
	}
}

func TestPlanOfAReplayIsRefused(t *testing.T) {
	e := engineOf(t, two)
	for name, c := range map[string]struct {
		change func(text string) string
		req    replay.Request
		want   []string
	}{
		"a file with errors":  {func(s string) string { return s + "nodez: 1\n" }, replay.Request{Mode: replay.None}, []string{"two.yaml:", "nodez"}},
		"another pipeline":    {func(s string) string { return strings.Replace(s, "name: two", "name: three", 1) }, replay.Request{Mode: replay.None}, []string{`"three"`, `"two"`}},
		"other lanes":         {func(s string) string { return s + "lanes: 2\n" }, replay.Request{Mode: replay.None}, []string{"lanes: 2"}},
		"no such node":        {nil, replay.Request{Mode: replay.Live, Node: "x", Sinks: []string{"y"}}, []string{`"x"`, `"y"`}},
		"a node off the way":  {nil, replay.Request{Mode: replay.Live, Node: "live"}, []string{"no sink is left"}},
		"a live one renamed":  {func(s string) string { return strings.ReplaceAll(s, "one", "uno") }, replay.Request{Mode: replay.Live}, []string{`"uno"`, `"one"`, "--sinks shadow"}},
		"a live one less way": {func(s string) string { return strings.Replace(s, "inputs: [one, other]", "inputs: [one]", 1) }, replay.Request{Mode: replay.Live, Sinks: []string{"rows"}}, []string{`"other"`}},
	} {
		t.Run(name, func(t *testing.T) {
			c.req.File, c.req.Text = "two.yaml", two
			if c.change != nil {
				c.req.Text = c.change(two)
			}
			_, _, err := e.planOf(&c.req)
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %s", err, want)
				}
			}
		})
	}
	renamed := replay.Request{File: "two.yaml", Text: strings.ReplaceAll(two, "one", "uno"), Mode: replay.Shadow}
	if _, _, err := e.planOf(&renamed); err != nil {
		t.Errorf("a shadow replay through other nodes: %v", err)
	}
}
