package testserver

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ownVersion is where the source says which version it is.
var ownVersion = regexp.MustCompile(`const Version = "[^"]*"`)

// Plugin builds plugins/scale into dir as another version of itself. Each edit is a
// text of its source files and what stands there in this version. root is the
// module's folder.
func Plugin(t testing.TB, root, dir, version string, edits map[string]string) {
	t.Helper()
	source := filepath.Join(root, "plugins", "scale")
	files, err := filepath.Glob(filepath.Join(source, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for from, to := range edits {
		pairs = append(pairs, from, to)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = ownVersion.ReplaceAll(text, []byte(`const Version = "`+version+`"`))
		edited := filepath.Join(t.TempDir(), filepath.Base(file))
		if err := os.WriteFile(edited, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[file] = edited
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	listFile := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(listFile, list, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", listFile, "-o", filepath.Join(dir, "scale@"+version), "./plugins/scale")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building scale@%s: %v\n%s", version, err, out)
	}
}
