package registry_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/Masterminds/semver/v3"

	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// put writes a program into the folder of r.
func put(t *testing.T, r *registry.Registry, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.Dir(), name), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func choose(t *testing.T, r *registry.Registry, constraint string) (version string, warnings int, err error) {
	t.Helper()
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Choose("scale", c, func(error) { warnings++ })
	if err != nil {
		return "", warnings, err
	}
	defer p.Close()
	return p.Version, warnings, nil
}

func wantChoice(t *testing.T, r *registry.Registry, constraint, want string) {
	t.Helper()
	if got, _, err := choose(t, r, constraint); got != want || err != nil {
		t.Fatalf("%s: chose %q, %v; want %s", constraint, got, err, want)
	}
}

func pin(t *testing.T, r *registry.Registry, version string) registry.Entry {
	t.Helper()
	e, err := r.Pin("scale", version)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestHighestVersionThatMayRunIsChosen(t *testing.T) {
	r := registry.New(t.TempDir())
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0", "2.0.0"} {
		put(t, r, "scale@"+v, v)
	}
	wantChoice(t, r, "^1", "1.2.0")
	pin(t, r, "1.1.0")
	for version, state := range map[string]registry.State{"1.2.0": registry.Quarantined, "1.1.0": registry.Held} {
		if err := r.Set("scale", version, state, "it crashed"); err != nil {
			t.Fatal(err)
		}
	}
	wantChoice(t, r, "^1", "1.0.0")
	_, _, err := choose(t, r, "~1.2")
	if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "1.2.0 (quarantined: it crashed)") {
		t.Fatalf("error %v; want what there is and why not", err)
	}
	if err := r.Set("scale", "1.2.0", registry.Ready, ""); err != nil {
		t.Fatal(err)
	}
	wantChoice(t, registry.New(r.Dir()), "^1", "1.2.0") // another process reads the same
}

func TestChangedFileIsRefusedAndItsPinnedCopyRuns(t *testing.T) {
	r := registry.New(t.TempDir())
	put(t, r, "scale@1.0.0", "good")
	good := pin(t, r, "1.0.0")
	put(t, r, "scale@1.0.0", "another one")
	if e, err := r.Pin("scale", "1.0.0"); !errors.Is(err, registry.ErrChanged) || e.Hash != good.Hash {
		t.Fatalf("%+v, %v; want the earlier entry and ErrChanged", e, err)
	}
	version, warnings, err := choose(t, r, "^1")
	if version != "1.0.0" || warnings != 1 || err != nil {
		t.Fatalf("chose %q with %d warnings, %v; want the copy with one", version, warnings, err)
	}
	p, err := r.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if text, _ := os.ReadFile(p.Path); string(text) != "good" {
		t.Fatalf("what would run is %q", text)
	}
	if e, err := r.Replace("scale", "1.0.0"); err != nil || e.Hash == good.Hash || e.State != registry.Ready {
		t.Fatalf("replaced: %+v, %v", e, err)
	}
}

func TestOverwrittenCopyIsNotOpened(t *testing.T) {
	r := registry.New(t.TempDir())
	put(t, r, "scale@1.0.0", "good")
	e := pin(t, r, "1.0.0")
	p, err := r.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := os.Chmod(p.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Path, []byte("evil"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err == nil {
		t.Error("the open program is still held for good")
	}
	if _, err := r.Open(e); err == nil {
		t.Error("the copy is opened all the same")
	}
}

func TestQuarantinedContentStaysSoUnderAnyDetour(t *testing.T) {
	r := registry.New(t.TempDir())
	put(t, r, "scale@1.0.0", "bad")
	bad := pin(t, r, "1.0.0")
	if err := r.Set("scale", "1.0.0", registry.Quarantined, "it crashed"); err != nil {
		t.Fatal(err)
	}
	put(t, r, "scale@1.0.0", "mended") // the version may be mended
	if e := pin(t, r, "1.0.0"); e.Hash == bad.Hash || e.State != registry.Ready {
		t.Fatalf("mended: %+v", e)
	}
	put(t, r, "scale@1.0.0", "bad")
	if e, err := r.Replace("scale", "1.0.0"); err != nil || e.Hash != bad.Hash || e.State != registry.Quarantined {
		t.Fatalf("the bad one again: %+v, %v; want it quarantined", e, err)
	}
	if _, _, err := choose(t, r, "^1"); !errors.Is(err, registry.ErrNotFound) {
		t.Fatalf("error %v, want not found", err)
	}
}

func TestLinksAndOddNamesAreNoPrograms(t *testing.T) {
	r := registry.New(t.TempDir())
	for _, name := range []string{"scale@1", "scale@v1.0.0", "Scale@1.0.0", "scale", "@1.0.0"} {
		put(t, r, name, name)
	}
	if err := os.Symlink("/bin/true", filepath.Join(r.Dir(), "scale@1.0.0")); err != nil {
		t.Fatal(err)
	}
	if files, err := r.Files(""); len(files) != 0 || err != nil {
		t.Fatalf("files %+v, %v; want none", files, err)
	}
	if _, err := r.Pin("scale", "1.0.0"); err == nil {
		t.Error("a symbolic link was pinned")
	}
}

func TestDamagedLockFileIsAnError(t *testing.T) {
	for _, text := range []string{"{", `{"format":9}`, `{"format":1,"plugins":[{"name":"../x","version":"1.0.0"}]}`} {
		r := registry.New(t.TempDir())
		put(t, r, "plugins.lock", text)
		put(t, r, "scale@1.0.0", "x")
		if _, _, err := choose(t, r, "^1"); err == nil || !strings.Contains(err.Error(), "plugins.lock") {
			t.Errorf("%s: error %v, want one that names the file", text, err)
		}
	}
}

func TestTwoEnginesPinAtOnce(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 8 {
		r := registry.New(dir)
		put(t, r, "scale@1.0."+string(rune('0'+i)), "x")
		group.Go(func() {
			if _, err := r.Pin("scale", "1.0."+string(rune('0'+i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if all, err := registry.New(dir).Entries("scale"); len(all) != 8 || err != nil {
		t.Fatalf("%d entries, %v; want 8: an update was lost", len(all), err)
	}
}
