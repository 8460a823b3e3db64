package pluginhost

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// Prospect is what a reference would be resolved to.
type Prospect struct {
	Name    string
	Version string // of the binary; "" if none fits
	Path    string // of the binary; "" if none fits
	Source  string // folder of the source; "" if there is none
	Lacks   string // Debian package that would build the source; "" if it is there, or no source
	Builds  bool   // [Host.Resolve] would build it from source first
	// Versions are those that are there, fitting or not, the highest first.
	Versions []string
}

// Examine says what ref would be resolved to, without building, opening or
// starting anything. Its error is that of a reference that is wrong, or of a folder
// that cannot be read.
func (h *Host) Examine(ref string) (*Prospect, error) {
	name, constraint, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	found, err := h.registry.Files(name)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", ref, err)
	}
	p := &Prospect{Name: name, Builds: h.stale(name, found)}
	for _, c := range found {
		p.Versions = append(p.Versions, c.Version.Original())
	}
	if best := slices.IndexFunc(found, func(f registry.File) bool { return constraint.Check(f.Version) && h.registry.Allowed(f) }); best >= 0 {
		p.Version, p.Path = found[best].Version.Original(), found[best].Path
	}
	dir := filepath.Join(h.cfg.SourceDir, name)
	if lang, ok := languageOf(dir); ok {
		p.Source = dir
		if _, err := exec.LookPath(lang.tool); err != nil {
			p.Lacks = lang.pkg
		}
	}
	return p, nil
}
