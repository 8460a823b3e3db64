package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// ErrNotFound marks a reference that no binary satisfies.
var ErrNotFound = errors.New("no such plugin")

// Binary is one plugin program.
type Binary struct {
	Name    string
	Version string
	Path    string // absolute
	Hash    string // SHA-256 of the file, 64 hex digits
}

// String returns "name@version#hash8", as events and dead letters carry it.
func (b Binary) String() string { return b.Name + "@" + b.Version + "#" + b.Hash[:8] }

var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// Resolve finds the highest version in the folder that ref, NAME@CONSTRAINT or
// NAME alone, allows. If the plugin's source is there and newer than every binary
// of it, or no binary fits, it is built first, which takes seconds. An error of a
// version that is missing lists those that exist and wraps [ErrNotFound].
func (h *Host) Resolve(ref string) (Binary, error) {
	prog, err := h.open(context.Background(), ref)
	if err != nil {
		return Binary{}, err
	}
	return prog.Binary, prog.close()
}

// open finds the program that ref means, and builds it if need be.
func (h *Host) open(ctx context.Context, ref string) (*program, error) {
	name, constraint, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	h.building.Lock()
	defer h.building.Unlock()
	found, err := list(h.cfg.Dir, name)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", ref, err)
	}
	if h.stale(name, found) {
		if err := h.build(ctx, name); err != nil {
			return nil, fmt.Errorf("plugin %q: %w", ref, err)
		}
		if found, err = list(h.cfg.Dir, name); err != nil {
			return nil, fmt.Errorf("plugin %q: %w", ref, err)
		}
	}
	best := slices.IndexFunc(found, func(c candidate) bool { return constraint.Check(c.version) })
	if best < 0 {
		return nil, fmt.Errorf("plugin %q: %w in %s; %s", ref, ErrNotFound, h.cfg.Dir, existing(name, found))
	}
	prog, err := openProgram(name, found[best])
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", ref, err)
	}
	return prog, nil
}

func parseRef(ref string) (string, *semver.Constraints, error) {
	name, want, found := strings.Cut(ref, "@")
	if !validName.MatchString(name) {
		return "", nil, fmt.Errorf("plugin %q: a name is small letters, digits, - and _", ref)
	}
	if !found {
		want = "*"
	}
	constraint, err := semver.NewConstraint(want)
	if err != nil {
		return "", nil, fmt.Errorf("plugin %q: version constraint: %w", ref, err)
	}
	return name, constraint, nil
}

// candidate is one file NAME@VERSION of the folder.
type candidate struct {
	version *semver.Version
	path    string
	modTime time.Time
}

// list returns the versions of name in dir, highest first. What is not an
// executable regular file, a symbolic link above all, is passed over.
func list(dir, name string) ([]candidate, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []candidate
	for _, entry := range entries {
		version, ok := versionOf(entry.Name(), name)
		if !ok {
			continue
		}
		info, err := entry.Info() // of the entry itself, not of what a link points to
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o100 == 0 {
			continue
		}
		found = append(found, candidate{version, filepath.Join(dir, entry.Name()), info.ModTime()})
	}
	slices.SortFunc(found, func(a, b candidate) int { return b.version.Compare(a.version) })
	return found, nil
}

func versionOf(file, name string) (*semver.Version, bool) {
	text, ok := strings.CutPrefix(file, name+"@")
	if !ok {
		return nil, false
	}
	version, err := semver.StrictNewVersion(text)
	return version, err == nil
}

func existing(name string, found []candidate) string {
	if len(found) == 0 {
		return "there is no version of " + name
	}
	versions := make([]string, len(found))
	for i, c := range found {
		versions[i] = c.version.Original()
	}
	return "there is " + strings.Join(versions, ", ")
}
