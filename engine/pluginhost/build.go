package pluginhost

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/millrace/millrace/engine/pluginhost/registry"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// sources are the folders, beside the plugin's own, that its binary is made of;
// relative to the source folder's parent.
var sources = []string{"plugins/sdk", "engine/event", "engine/node", "schemas/plugin", "go.mod"}

// stale reports whether name should be built: its source and a Go toolchain are
// there, and no binary is younger than the source.
func (h *Host) stale(name string, found []registry.File) bool {
	if h.cfg.SourceDir == "-" {
		return false
	}
	if mains, _ := filepath.Glob(filepath.Join(h.cfg.SourceDir, name, "*.go")); len(mains) == 0 {
		return false
	}
	if _, err := exec.LookPath("go"); err != nil {
		return false
	}
	newest := newestSource(h.cfg.SourceDir, name)
	for _, c := range found {
		if c.ModTime.After(newest) {
			return false
		}
	}
	return true
}

// newestSource returns the time of the last change of what name is built from.
// Only times are looked at: asking the go command costs half a second each start.
func newestSource(dir, name string) time.Time {
	var newest time.Time
	visit := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return nil // a folder that is not there counts for nothing
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".mod" {
			return nil
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return nil
	}
	_ = filepath.WalkDir(filepath.Join(dir, name), visit) // visit returns no error
	for _, source := range sources {
		_ = filepath.WalkDir(filepath.Join(dir, "..", source), visit)
	}
	return newest
}

// build compiles name from source into the folder, under the version that the
// program says it has.
func (h *Host) build(ctx context.Context, name string) error {
	started := time.Now()
	h.cfg.Logger.Info("building plugin from source", "plugin", name)
	dir, err := filepath.Abs(h.cfg.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	program := filepath.Join(temp, name)
	// The compiler's flags are those of the engine's own build, -trimpath above
	// all: with others the go command compiles every dependency again.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "./"+name)
	cmd.Dir = h.cfg.SourceDir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building it from %s: %w\n%s", filepath.Join(h.cfg.SourceDir, name), err, clip(string(out), 4000))
	}
	version, err := h.askVersion(ctx, program, name)
	if err != nil {
		return err
	}
	if err := os.Rename(program, filepath.Join(dir, name+"@"+version)); err != nil {
		return err
	}
	if _, err := h.registry.Replace(name, version); err != nil {
		return err
	}
	h.cfg.Logger.Info("plugin built", "plugin", name+"@"+version, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// askVersion runs a program that was just built for its name and version.
func (h *Host) askVersion(ctx context.Context, program, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.StartTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, pluginv1.DescribeArg)
	cmd.Env = h.cfg.environment(0)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking it for its version: %w", err)
	}
	var says struct{ Name, Version string }
	if err := json.Unmarshal(out, &says); err != nil {
		return "", fmt.Errorf("asking it for its version: it says %q", clip(string(out), 200))
	}
	if says.Name != name {
		return "", fmt.Errorf("the program in folder %q calls itself %q", name, says.Name)
	}
	if _, err := semver.StrictNewVersion(says.Version); err != nil {
		return "", fmt.Errorf("its version %q: %w", says.Version, err)
	}
	return says.Version, nil
}

// clip shortens what somebody else wrote.
func clip(text string, most int) string {
	text = strings.TrimSpace(text)
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
