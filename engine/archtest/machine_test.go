package archtest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// machinePatterns find what ties the tree to the place where it was written:
// folders of one machine, and addresses of package registries and mirrors,
// which lock files like to record.
var machinePatterns = []*regexp.Regexp{
	regexp.MustCompile(`(^|[^A-Za-z.0-9_])/(wo` + `rk|far` + `m|ro` + `ot|Us` + `ers)/`),
	regexp.MustCompile(`/ho` + `me/[a-z]`),
	regexp.MustCompile(`"resol` + `ved": *"https?://`),
	regexp.MustCompile(`https?://[^ "/]*(pro` + `xy|regis` + `try|mir` + `ror|deb)[.-][a-z]`),
}

func TestNothingNamesAMachineOrARegistry(t *testing.T) {
	files, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasPrefix(path, "testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if errors.Is(err, fs.ErrNotExist) || bytes.IndexByte(text, 0) >= 0 { // a binary file
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, p := range machinePatterns {
				if p.MatchString(line) {
					t.Errorf("%s:%d: %.120s", path, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
}

// TestTopLevelIsAsGiven keeps the tree's first look: these folders and files
// that belong to a root.
func TestTopLevelIsAsGiven(t *testing.T) {
	folders := map[string]bool{"engine": true, "plugins": true, "pipelines": true, "cmd": true, "schemas": true, "testdata": true, ".ci": true}
	files, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if top, _, nested := strings.Cut(path, "/"); nested && !folders[top] {
			t.Errorf("%s: %s is not a top-level folder of this project", path, top)
		}
	}
}
