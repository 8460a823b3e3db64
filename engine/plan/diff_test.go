package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

// pipelineOf reads a pipeline in short: "a; d<a; m<d key; rows<m sink". A node with
// nothing before it is a source; words behind the inputs say what it is and has.
func pipelineOf(t testing.TB, short string) (*spec.Pipeline, *plan.Plan) {
	t.Helper()
	p := &spec.Pipeline{Name: "p", Lanes: 2}
	for text := range strings.SplitSeq(short, ";") {
		words := strings.Fields(text)
		id, inputs, _ := strings.Cut(words[0], "<")
		n := spec.Node{ID: id}
		if inputs != "" {
			n.Inputs, n.Transform = strings.Split(inputs, ","), "json"
		} else {
			n.Source = "amqp"
		}
		for _, w := range words[1:] {
			switch w {
			case "key":
				n.Key = "device"
			case "sink":
				n.Transform, n.Sink = "", "sql"
			case "mqtt":
				n.Transform, n.Sink = "", "mqtt"
			case "chart":
				n.Transform, n.Sink = "", "chart"
			case "plugin":
				n.Transform, n.Plugin = "", "scale@^1"
			case spec.Earliest, spec.Now:
				n.Start = w
			default: // an option
				n.With = map[string]any{"option": w}
			}
		}
		p.Nodes = append(p.Nodes, n)
	}
	made, diags := plan.Make(p)
	if made == nil {
		t.Fatalf("%s: %v", short, diags)
	}
	return p, made
}

func compared(t testing.TB, old, next string) *plan.Diff {
	t.Helper()
	p, pp := pipelineOf(t, old)
	q, qp := pipelineOf(t, next)
	return plan.Compare(p, q, pp, qp)
}

// shortly writes what is to be done: parts that do not stay, and places.
func shortly(d *plan.Diff) string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, c := range d.Old {
		if c.Change != plan.Kept {
			add("%s %s", c.Change, c.ID)
		}
	}
	for _, c := range d.New {
		if c.Change == plan.Added {
			add("added %s", c.ID)
		}
	}
	for _, r := range d.Finish {
		add("%s finishes %s", r.Part, r.Stream)
	}
	for _, a := range d.Align {
		add("%s meet in %s", strings.Join(a.Parts, "+"), a.Stream)
	}
	for _, m := range d.Moves {
		where := m.Start
		if len(m.From) > 0 {
			where = "as " + strings.Join(m.From, "+")
		}
		add("%s reads %s %s", m.Part, m.Stream, where)
	}
	for _, r := range d.Forget {
		add("%s leaves %s", r.Part, r.Stream)
	}
	return strings.Join(list, ", ")
}

// TestDiff: what is ended and begun, and where readers go on.
func TestDiff(t *testing.T) {
	const line = "a; d<a; m<d; rows<m sink"
	for _, c := range []struct{ name, old, next, want string }{
		{"nothing", line, line, ""},
		{"a place to start at is of no account later", line, "a; d<a; m<d; rows<m sink now", ""},
		{"an option of a transform begins its stage anew", line, "a; d<a; m<d x; rows<m sink", "restarted d"},
		{"an option of a sink begins it anew", line, "a; d<a; m<d; rows<m sink x", "restarted rows"},
		{"an option of a source begins it anew", line, "a x; d<a; m<d; rows<m sink", "restarted a"},
		{"a key that was none is in the stage", line, "a; d<a; m<d key; rows<m sink", "restarted d"},
		{"a new sink begins now", line, line + "; more<m sink now", "added more, more reads m now"},
		{"a new sink begins at the oldest event", line, line + "; more<m sink earliest", "added more, more reads m earliest"},
		{"a sink that goes leaves its place", line + "; more<m sink", line, "removed more, more leaves m"},
		{"a new branch begins where its new sink says", line, line + "; o<a; more<o sink earliest", "added o, added more, o reads journal earliest, more reads o now"},
		{"a new branch without a word begins now", line, "a; d<a; m<d; o<a; rows<m,o sink", "restarted rows, added o, o reads journal now, rows reads o now"},
		{"a branch that goes is forgotten unfinished", line + "; o<a; more<o sink", line, "removed o, removed more, o leaves journal, more leaves o"},
		{"a chart has no place", line, line + "; live<m chart", "added live"},
		{"a new source", line, "a; b; d<a,b; m<d; rows<m sink", "restarted d, added b"},
		{"what a source has brought in is finished before it goes", "a; b; d<a,b; m<d; rows<m sink", line, "removed b, restarted d, d finishes journal"},
		{"a source under another name", line, "b; d<b; m<d; rows<m sink", "removed a, restarted d, added b, d finishes journal"},
		{"a rename in the middle: what rests is finished, then the new stream", line, "a; d<a; o<d; rows<o sink", "restarted d, restarted rows, rows finishes m, rows reads o now, rows leaves m"},
		{"a rename of the stage's first node takes the place over", line, "a; e<a; m<e; rows<m sink", "removed d, added e, e reads journal as d, d leaves journal"},
		{"a sink under another name is a new one", line, "a; d<a; m<d; more<m sink now", "removed rows, added more, more reads m now, rows leaves m"},
		{"a node between a stream and its sink takes the sink's place", "a; d<a; m<d key; rows<m sink", "a; d<a; m<d key; o<m; rows<o sink", "restarted rows, added o, o reads m as rows, rows reads o now, rows leaves m"},
		{"a node taken out again leaves its place to the sink", "a; d<a; m<d key; o<m; rows<o sink", "a; d<a; m<d key; rows<m sink", "removed o, restarted rows, rows finishes o, rows reads m as o, o leaves m, rows leaves o"},
		{"a stage cut in two", "a; d<a; m<d; rows<m sink", "a; d<a key; m<d; rows<m sink", "restarted d, added m, m reads d now"},
		{"two stages made one", "a; d<a key; m<d; rows<m sink", line, "restarted d, removed m, m finishes d, m leaves d"},
		{"branches joined by a node meet", "a; b; d<a; e<b; rows<d,e sink", "a; b; d<a; e<b; m<d,e; rows<m sink",
			"restarted d, removed e, restarted rows, rows finishes d, rows finishes e, d+e meet in journal, rows reads m now, e leaves journal, rows leaves d, rows leaves e"},
		{"branches parted again begin at one place", "a; b; d<a; e<b; m<d,e; rows<m sink", "a; b; d<a; e<b; rows<d,e sink",
			"restarted d, restarted rows, added e, rows finishes m, e reads journal as d, rows reads d now, rows reads e now, rows leaves m"},
		{"two branches replaced by one meet", "a; d<a; e<a; rows<d,e sink", "a; m<a; rows<m sink",
			"removed d, removed e, restarted rows, added m, rows finishes d, rows finishes e, d+e meet in journal, m reads journal as d+e, rows reads m now, d leaves journal, e leaves journal, rows leaves d, rows leaves e"},
		{"a sink that stops reading one of two finishes it", "a; d<a; e<a; rows<d,e sink; more<e sink", "a; d<a; e<a; rows<d sink; more<e sink", "restarted rows, rows finishes e, rows leaves e"},
		{"a plugin that goes forgets its state", "a; d<a; m<d plugin; rows<m sink", "a; d<a; rows<d sink", "restarted d, restarted rows, rows finishes m, rows reads d now, rows leaves m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := compared(t, c.old, c.next)
			if got := shortly(d); got != c.want {
				t.Errorf("%s -> %s:\ngot  %s\nwant %s", c.old, c.next, got, c.want)
			}
			if len(d.Refused) > 0 || d.Changes() != (c.want != "") {
				t.Errorf("refused %q, changes %t", d.Refused, d.Changes())
			}
		})
	}
	if d := compared(t, "a; d<a; m<d plugin; rows<m sink", "a; d<a; o<d plugin; rows<o sink"); !slices.Equal(d.States, []string{"o", "m"}) {
		t.Errorf("states of %v are forgotten; want those of the plugins that go and come", d.States)
	}
}

// TestDiffExplains: each node says why it is begun anew.
func TestDiffExplains(t *testing.T) {
	why := func(old, next string) string {
		var list []string
		for _, n := range compared(t, old, next).Nodes {
			if n.Change != plan.Kept {
				list = append(list, fmt.Sprintf("%s %s (%s)", n.ID, n.Change, strings.Join(n.Why, "; ")))
			}
		}
		return strings.Join(list, ", ")
	}
	for _, c := range []struct{ old, next, want string }{
		{"a; d<a; m<d; rows<m sink", "a; d<a; m<d x key; rows<m sink", "d restarted (runs in one stage with m, which changes), m restarted (key none -> device; with.option)"},
		{"a; d<a; m<d; rows<m sink", "a; d<a; m<d plugin; rows<m sink", "d restarted (runs in one stage with m, which changes), m restarted (plugin json -> scale@^1)"},
		{"a; d<a; m<d; rows<m sink", "a; d<a; o<d; rows<o sink", "d restarted (runs in one stage with o, which is added), o added (), rows restarted (inputs [m] -> [o]; reads m to its end first), m removed ()"},
		{"a; b; d<a; e<b; m<d,e; rows<m sink", "a; b; d<a; e<b; rows<d,e sink", "d restarted (what it hands on rests in a stream now), e restarted (ran in one stage with d; goes on in journal where d stood), rows restarted (inputs [m] -> [d, e]; reads m to its end first), m removed ()"},
		{"a; d<a key; m<d; rows<m sink", "a; d<a; m<d; rows<m sink", "d restarted (key device -> none; what it hands on rests in no stream any more), m restarted (an input rests in a stream now, or does not any more; reads d to its end first)"},
		{"a; d<a; rows<d sink", "a; d<a; rows<d sink; more<d sink earliest", "more added (reads d from the oldest event on)"},
	} {
		if got := why(c.old, c.next); got != c.want {
			t.Errorf("%s -> %s:\ngot  %s\nwant %s", c.old, c.next, got, c.want)
		}
	}
}

// TestDiffRefuses: what cannot be changed under way is named, all of it at once, with
// what to do.
func TestDiffRefuses(t *testing.T) {
	old, oldPlan := pipelineOf(t, "a; d<a; rows<d sink")
	next, nextPlan := pipelineOf(t, "a; d<a; rows<d mqtt; more<d sink; far<d sink now")
	old.Connections = map[string]spec.Connection{"s": {SQL: &spec.SQLConnection{DSN: spec.Embedded}}}
	next.Connections = map[string]spec.Connection{"s": {SQL: &spec.SQLConnection{DSN: "u:geheim@tcp(h)/d"}}}
	next.Name, next.Lanes, next.Durability, next.Plugins.Dir, next.Log.MaxBytes = "q", 8, spec.Strict, "x", 1
	got := strings.Join(plan.Compare(old, next, oldPlan, nextPlan).Refused, "\n")
	for _, want := range []string{
		`name: p becomes q: another name is another pipeline; stop this engine`, "lanes: 2 becomes 8", "durability:", "plugins:", "log.max_bytes:",
		"connections: what is embedded", `node "rows": sink sql becomes sink mqtt: give the new one another id`,
		"sink \"more\" is new: say `start: earliest`",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not told: %s", want)
		}
	}
	if strings.Contains(got, "geheim") || strings.Contains(got, `"far"`) {
		t.Errorf("refused:\n%s", got)
	}
	node, nodePlan := pipelineOf(t, "a; rows<a; d<rows sink now")
	if got := plan.Compare(old, node, oldPlan, nodePlan).Refused; len(got) != 3 {
		t.Errorf("a sink that becomes a transform, and back: %q", got)
	}
}

// TestDiffOfSettings: what parts are built with begins them anew, what nobody has
// built with does not.
func TestDiffOfSettings(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*spec.Pipeline)
		want   string
	}{
		{"a description", func(p *spec.Pipeline) { p.Description = "x" }, ""},
		{"units", func(p *spec.Pipeline) { p.Unit.MaxEvents = 7 }, "restarted d, restarted rows"},
		{"compression", func(p *spec.Pipeline) { p.Log.Compression = "zstd" }, "restarted a, restarted d"},
		{"the longest message", func(p *spec.Pipeline) { p.Limits.Message = 7 }, "restarted a"},
		{"the longest key", func(p *spec.Pipeline) { p.Limits.Key = 7 }, "restarted a, restarted d"},
		{"a server", func(p *spec.Pipeline) {
			p.Connections = map[string]spec.Connection{"s": {SQL: &spec.SQLConnection{DSN: "u:new@tcp(h)/d"}}}
		}, "restarted rows"},
	} {
		with := func() (*spec.Pipeline, *plan.Plan) {
			p, made := pipelineOf(t, "a; d<a; rows<d sink")
			p.Connections = map[string]spec.Connection{"s": {SQL: &spec.SQLConnection{DSN: "u:old@tcp(h)/d"}}}
			p.Node("rows").With = &struct{ Connection string }{"s"}
			return p, made
		}
		old, oldPlan := with()
		next, nextPlan := with()
		c.change(next)
		d := plan.Compare(old, next, oldPlan, nextPlan)
		if got := shortly(d); got != c.want || len(d.Refused) > 0 {
			t.Errorf("%s: %s, refused %q; want %s", c.name, got, d.Refused, c.want)
		}
	}
}
