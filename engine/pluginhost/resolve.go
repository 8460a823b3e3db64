package pluginhost

import (
	"context"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// ErrNotFound marks a reference that no binary satisfies.
var ErrNotFound = registry.ErrNotFound

// Binary is one plugin program.
type Binary = registry.Binary

// CheckName returns an error unless a plugin can have the name.
func CheckName(name string) error {
	if !registry.ValidName(name) {
		return fmt.Errorf("plugin %q: a name is small letters, digits, - and _, begins with a letter and has at most 63", name)
	}
	return nil
}

// Resolve finds the highest version in the folder that ref, NAME@CONSTRAINT or
// NAME alone, allows and that may run, and pins it. If the plugin's source is there
// and newer than every binary of it, or no binary fits, it is built first, which
// takes seconds. An error of a version that is missing lists those that exist and
// wraps [ErrNotFound].
func (h *Host) Resolve(ref string) (Binary, error) {
	prog, err := h.open(context.Background(), ref)
	if err != nil {
		return Binary{}, err
	}
	return prog.Binary, prog.Close()
}

// open finds the program that ref means, and builds it if need be.
func (h *Host) open(ctx context.Context, ref string) (*registry.Program, error) {
	name, constraint, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	h.building.Lock()
	defer h.building.Unlock()
	found, err := h.registry.Files(name)
	if err == nil && h.stale(name, found) {
		_, err = h.build(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", ref, err)
	}
	prog, err := h.registry.Choose(name, constraint, h.warnOnce)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", ref, err)
	}
	return prog, nil
}

func parseRef(ref string) (string, *semver.Constraints, error) {
	name, want, found := strings.Cut(ref, "@")
	if err := CheckName(name); err != nil {
		return "", nil, err
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
