package pluginhost_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/pluginhost"
)

func fakeBinaries(t *testing.T, names ...string) *pluginhost.Host {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/bin/true", filepath.Join(dir, "scale@3.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scale@4.0.0"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return pluginhost.New(pluginhost.Config{Dir: dir, SourceDir: "-"})
}

func TestResolve(t *testing.T) {
	host := fakeBinaries(t, "scale@1.0.0", "scale@1.4.2", "scale@1.10.0", "scale@2.0.0-rc.1", "scaler@9.0.0", "scale@v7.0.0", "scale@8")
	for ref, want := range map[string]string{
		"scale": "1.10.0", "scale@^1": "1.10.0", "scale@~1.4": "1.4.2", "scale@1.0.0": "1.0.0",
		"scale@>=2.0.0-0": "2.0.0-rc.1", "scaler@9": "9.0.0",
	} {
		bin, err := host.Resolve(ref)
		if err != nil || bin.Version != want || len(bin.Hash) != 64 || !filepath.IsAbs(bin.Path) {
			t.Errorf("%s: %+v, %v; want version %s", ref, bin, err, want)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	host := fakeBinaries(t, "scale@1.0.0", "scale@1.4.2")
	for ref, want := range map[string]string{
		"scale@^2":        "there is 1.4.2, 1.0.0",
		"scale@^3":        "there is 1.4.2, 1.0.0", // a symbolic link is none
		"scale@^4":        "there is 1.4.2, 1.0.0", // what cannot be executed is none
		"other":           "there is no version of other",
		"../scale@^1":     "a name is",
		"scale/x":         "a name is",
		"":                "a name is",
		"scale@../../x":   "version constraint",
		"scale@not a one": "version constraint",
	} {
		_, err := host.Resolve(ref)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", ref, err, want)
		}
		if strings.HasPrefix(want, "there is") && !errors.Is(err, pluginhost.ErrNotFound) {
			t.Errorf("%s: error %v does not wrap ErrNotFound", ref, err)
		}
	}
}

// TestPluginTakesWhatItsNodeGives: a decoder gets payloads, others get records, and
// the other way round nothing starts.
func TestPluginTakesWhatItsNodeGives(t *testing.T) {
	host := pluginhost.New(pluginhost.Config{Dir: filepath.Join(t.TempDir(), "bin"), SourceDir: "../../plugins"})
	with := map[string]any{"convert": []string{"F->C"}}
	for _, c := range []struct {
		ref, reads, want string
		with             map[string]any
	}{
		{"senml", "payload", "", nil}, {"scale", "record", "", with}, {"scale", "", "", with},
		{"senml", "record", "it takes payloads (application/senml+json", nil}, {"scale", "payload", "it takes records, not payloads", with},
	} {
		tr, err := host.Start(t.Context(), pluginhost.NodeConfig{Node: "n", Ref: c.ref, Reads: c.reads, With: c.with, Lanes: 1})
		if err == nil {
			err = tr.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: %v; want %q", c.ref, c.reads, err, c.want)
		}
	}
}

func TestPluginScaleIsBuiltFromSource(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program; left out by -short")
	}
	log := &logBuffer{}
	host := pluginhost.New(pluginhost.Config{Dir: filepath.Join(t.TempDir(), "bin"), SourceDir: "../../plugins", Logger: log.logger()})
	tr, err := host.Start(t.Context(), pluginhost.NodeConfig{
		Node: "celsius", Ref: "scale@^1", With: map[string]any{"convert": []string{"F->C"}}, Lanes: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	out := mustProcess(t, tr, batch(0, record(1, "value", 212, "unit", "F")))[0].Outputs[0]
	value, _ := out.Record.Get("value")
	unit, _ := out.Record.Get("unit")
	if value != event.Float(100) || unit.Text() != "C" || !strings.HasPrefix(out.Plugin, "scale@1.1.0#") {
		t.Errorf("value %v %v by %s, want 100 C", value, unit, out.Plugin)
	}
	if _, err := host.Resolve("scale@^1"); err != nil || strings.Count(log.String(), "building plugin") != 1 {
		t.Errorf("error %v; it was built more than once:\n%s", err, log)
	}
	if _, err := host.Resolve("scale@^2"); !errors.Is(err, pluginhost.ErrNotFound) {
		t.Errorf("error %v, want not found", err)
	}
}
