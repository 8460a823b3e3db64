package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestLanesFitIntoTheirTime adds up the shares of the lanes that `task test` runs one
// after another. No run uses up all of them: the build needs its ten minutes only where
// nothing was ever built, and all of it is to end within 45 minutes.
func TestLanesFitIntoTheirTime(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Taskfile.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	lanes := regexp.MustCompile(`\.CI}} lane ([a-z]+) ([0-9a-z]+) -- `).FindAllSubmatch(text, -1)
	for _, lane := range lanes {
		share, err := time.ParseDuration(string(lane[2]))
		if err != nil {
			t.Errorf("lane %s: %v", lane[1], err)
		}
		sum += share
	}
	if len(lanes) < 7 || sum > 50*time.Minute {
		t.Errorf("%d lanes take up to %s; want at least 7 in at most 50m", len(lanes), sum)
	}
}
