package plants

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

func TestFilesAreWhatTheReadmesSay(t *testing.T) {
	names, err := fs.Glob(Files, "*/*.csv")
	if err != nil || len(names) != 5 {
		t.Fatalf("files = %v, %v; want five", names, err)
	}
	for _, name := range names {
		data, err := Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		readme, err := os.ReadFile(path.Join(path.Dir(name), "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
			t.Errorf("%s: its README does not hold its checksum", name)
		}
		if !strings.Contains(string(readme), "Licence:") {
			t.Errorf("%s: its README names no licence", name)
		}
		if rows := strings.Count(string(data), "\n"); rows != 3001 {
			t.Errorf("%s has %d lines, want 3001", name, rows)
		}
	}
}
