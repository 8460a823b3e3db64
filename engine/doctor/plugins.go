package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/spec"
)

// plugins looks for the binary that each plugin node means.
func (c *checker) plugins(context.Context) []Finding {
	host := pluginhost.New(pluginhost.Config{Dir: c.Pipeline.Plugins.Dir})
	var out []Finding
	for i := range c.Pipeline.Nodes {
		n := &c.Pipeline.Nodes[i]
		if n.Kind() != spec.Plugin {
			continue
		}
		a := about{component: "plugin " + n.ID}
		if p, err := host.Examine(n.Plugin); err != nil {
			a.add(Problem, err.Error(), "chmod -R u+rwX "+shell(c.Pipeline.Plugins.Dir))
		} else {
			a.plugin(n.Plugin, c.Pipeline.Plugins.Dir, p)
		}
		out = append(out, a.findings...)
	}
	return out
}

// plugin tells what ref would become.
func (a *about) plugin(ref, dir string, p *pluginhost.Prospect) {
	switch {
	case p.Builds && p.Version == "":
		a.add(OK, fmt.Sprintf("%s is built from %s at the start, which takes a while", ref, p.Source))
	case p.Builds:
		a.add(OK, fmt.Sprintf("%s is built anew at the start: %s is newer than %s", ref, p.Source, p.Path))
	case p.Version != "":
		a.add(OK, fmt.Sprintf("%s is %s", ref, p.Path))
	case len(p.Versions) == 0:
		a.add(Problem, fmt.Sprintf("%s: there is no version of %s in %s", ref, p.Name, dir), build(dir, p))
	default:
		a.add(Problem, fmt.Sprintf("%s: of the versions in %s none fits: %s", ref, dir, strings.Join(p.Versions, ", ")),
			fmt.Sprintf("plugin: %s@^%s", p.Name, p.Versions[0]))
	}
}

func build(dir string, p *pluginhost.Prospect) string {
	if p.Lacks != "" {
		return fmt.Sprintf("apt-get install %s  # then it is built from %s", p.Lacks, p.Source)
	}
	return fmt.Sprintf("engine plugin build --bin %s %s", shell(dir), p.Name)
}
