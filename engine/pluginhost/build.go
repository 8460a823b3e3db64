package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/millrace/millrace/engine/pluginhost/registry"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// language is a way to make a program of a plugin's folder.
type language struct {
	name    string
	main    string   // pattern of files whose presence tells the language
	tool    string   // without this program in PATH nothing is built by itself
	pkg     string   // Debian's package of it
	endings []string // of the files that a program is made of
	tests   string   // pattern of those that are tests
	// shared are folders and files, beside the plugin's own, that a program is made
	// of; relative to the source folder's parent.
	shared []string
	build  func(h *Host, ctx context.Context, name, program string) error
}

// languages returns those that there are; the first whose main files are in a folder
// is the folder's.
func languages() []language { return []language{goLanguage(), pythonLanguage()} }

func goLanguage() language {
	return language{
		name: "go", main: "*.go", tool: "go", pkg: "golang", endings: []string{".go", ".mod"}, tests: "*_test.go",
		shared: []string{"plugins/sdk", "engine/event", "engine/node", "schemas/plugin", "go.mod"},
		build:  (*Host).buildGo,
	}
}

func pythonLanguage() language {
	return language{
		name: "python", main: "main.py", tool: "python3", pkg: "python3-grpcio", endings: []string{".py"}, tests: "test_*.py",
		shared: []string{"plugins/" + pythonSDK},
		build:  (*Host).buildPython,
	}
}

// languageOf returns the language of the source in dir; ok is false if there is
// none.
func languageOf(dir string) (lang language, ok bool) {
	for _, lang := range languages() {
		if mains, err := filepath.Glob(filepath.Join(dir, lang.main)); err == nil && len(mains) > 0 {
			return lang, true
		}
	}
	return language{}, false
}

// stale reports whether name should be built: its source and the tool for it are
// there, and no binary is younger than the source.
func (h *Host) stale(name string, found []registry.File) bool {
	if h.cfg.SourceDir == "-" {
		return false
	}
	lang, ok := languageOf(filepath.Join(h.cfg.SourceDir, name))
	if !ok {
		return false
	}
	if _, err := exec.LookPath(lang.tool); err != nil {
		return false
	}
	newest := lang.newest(h.cfg.SourceDir, name)
	for _, c := range found {
		if c.ModTime.After(newest) {
			return false
		}
	}
	return true
}

// newest returns the time of the last change of what name is built from. Only
// times are looked at: asking the go command costs half a second each start.
func (l language) newest(dir, name string) time.Time {
	var newest time.Time
	visit := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !l.partOf(path) {
			return nil // a folder that is not there counts for nothing
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return nil
	}
	_ = filepath.WalkDir(filepath.Join(dir, name), visit) // visit returns no error
	for _, source := range l.shared {
		_ = filepath.WalkDir(filepath.Join(dir, "..", source), visit)
	}
	return newest
}

// partOf reports whether the file is part of a program; tests are not.
func (l language) partOf(path string) bool {
	base := filepath.Base(path)
	test, _ := filepath.Match(l.tests, base) // the patterns are sound
	return !test && slices.Contains(l.endings, filepath.Ext(base))
}

// Build makes the program of name anew from its source, whatever is in the folder,
// and puts it there under the version that the program says it has. It takes
// seconds; ctx ends it.
func (h *Host) Build(ctx context.Context, name string) (Binary, error) {
	if err := CheckName(name); err != nil {
		return Binary{}, err
	}
	h.building.Lock()
	defer h.building.Unlock()
	made, err := h.build(ctx, name)
	if err != nil {
		return Binary{}, fmt.Errorf("plugin %q: %w", name, err)
	}
	prog, err := h.registry.Open(made)
	if err != nil {
		return Binary{}, fmt.Errorf("plugin %q: %w", name, err)
	}
	return prog.Binary, prog.Close()
}

// build makes name from source, puts it into the folder and pins it.
func (h *Host) build(ctx context.Context, name string) (registry.Entry, error) {
	started := time.Now()
	lang, ok := languageOf(filepath.Join(h.cfg.SourceDir, name))
	if !ok {
		return registry.Entry{}, fmt.Errorf("there is no source in %s", filepath.Join(h.cfg.SourceDir, name))
	}
	h.cfg.Logger.Info("building plugin from source", "plugin", name, "language", lang.name)
	dir, err := filepath.Abs(h.cfg.Dir)
	if err != nil {
		return registry.Entry{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return registry.Entry{}, err
	}
	temp, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return registry.Entry{}, err
	}
	defer os.RemoveAll(temp)
	program := filepath.Join(temp, name)
	if err := lang.build(h, ctx, name, program); err != nil {
		return registry.Entry{}, err
	}
	version, err := h.askVersion(ctx, program, name)
	if err != nil {
		return registry.Entry{}, err
	}
	path := filepath.Join(dir, name+"@"+version.Original())
	if err := os.Rename(program, path); err != nil {
		return registry.Entry{}, err
	}
	made, err := h.registry.Replace(name, version.Original())
	if err != nil {
		return registry.Entry{}, err
	}
	h.cfg.Logger.Info("plugin built", "plugin", filepath.Base(path), "took", time.Since(started).Round(time.Millisecond))
	return made, nil
}

// buildGo compiles name. The compiler's flags are those of the engine's own build,
// -trimpath above all: with others the go command compiles every dependency
// again.
func (h *Host) buildGo(ctx context.Context, name, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "./"+name)
	cmd.Dir = h.cfg.SourceDir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building it from %s: %w\n%s", filepath.Join(h.cfg.SourceDir, name), err, clip(string(out), 4000))
	}
	return nil
}

// askVersion runs a program that was just built for its name and version.
func (h *Host) askVersion(ctx context.Context, program, name string) (*semver.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.StartTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, pluginv1.DescribeArg)
	cmd.Env = h.cfg.environment(0)
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("asking it for its version: %w\n%s", err, clip(string(failed.Stderr), 4000))
	}
	if err != nil {
		return nil, fmt.Errorf("asking it for its version: %w", err)
	}
	var says struct{ Name, Version string }
	if err := json.Unmarshal(out, &says); err != nil {
		return nil, fmt.Errorf("asking it for its version: it says %q", clip(string(out), 200))
	}
	if says.Name != name {
		return nil, fmt.Errorf("the program in folder %q calls itself %q", name, says.Name)
	}
	version, err := semver.StrictNewVersion(says.Version)
	if err != nil {
		return nil, fmt.Errorf("its version %q: %w", says.Version, err)
	}
	return version, nil
}

// clip shortens what somebody else wrote.
func clip(text string, most int) string {
	text = strings.TrimSpace(text)
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
