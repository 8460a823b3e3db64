package doctor

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/spec"
)

// file says what was read; what is wrong with a file is told before any of this.
func (c *checker) file(context.Context) []Finding {
	p := c.Pipeline
	a := about{component: "file"}
	a.add(OK, fmt.Sprintf("%s: pipeline %s, %s, %s, durability %s", p.File, p.Name, count(len(p.Nodes), "node"), count(p.Lanes, "lane"), p.Durability))
	return a.findings
}

// connections returns the names of the file's connections of a kind, sorted.
func (c *checker) connections(kind string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Pipeline.Connections)), func(name string) bool {
		return c.Pipeline.Connections[name].Kind() != kind
	})
}

// optionsOf returns the nodes whose options are of type T, with these.
func optionsOf[T any](p *spec.Pipeline) map[string]T {
	out := map[string]T{}
	for i := range p.Nodes {
		if o, ok := p.Nodes[i].With.(T); ok {
			out[p.Nodes[i].ID] = o
		}
	}
	return out
}

// embedded is what there is to say of a stand-in.
func embedded(component string) []Finding {
	a := about{component: component}
	a.add(Info, "embedded: in the engine's process, gone when it ends")
	return a.findings
}

// maxClock is how far two clocks may be apart. Retention, watermarks and the times
// of charts are told by them.
const maxClock = time.Second

// clock warns of a server's clock that is certainly off.
func (a *about) clock(ahead, uncertain time.Duration) {
	if ahead.Abs()-uncertain <= maxClock {
		return
	}
	how := "ahead of"
	if ahead < 0 {
		how = "behind"
	}
	a.add(Warning, fmt.Sprintf("its clock is %s %s this machine's", ahead.Abs().Round(100*time.Millisecond), how),
		"timedatectl set-ntp true  # on both machines")
}

// plainWord is a text that a shell takes as it stands.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-]+$`)

// shell quotes a text for a command line.
func shell(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// count writes "1 lane" or "2 lanes".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 || v == float64(int64(v)) {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
