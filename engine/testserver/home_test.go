package testserver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestSweepTakesOnlyWhatNobodyHolds(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"held", "left"} {
		if err := os.MkdirAll(filepath.Join(dir, "run", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := flock(filepath.Join(dir, "run", "held", "owner"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	if err := sweep(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run", "held")); err != nil {
		t.Errorf("a folder in use was swept: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run", "left")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder without an owner is left: %v", err)
	}
}

func TestFlockIsHeldByOneUntilClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := flock(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flock(path, false); !errors.Is(err, errHeld) {
		t.Fatalf("a second lock = %v, want errHeld", err)
	}
	first.Close()
	second, err := flock(path, true)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	second.Close()
}

func TestPortsAreGivenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		p, err := takePort()
		if err != nil {
			t.Fatal(err)
		}
		defer p.release()
		if seen[p.number] || p.number < firstPort || p.number >= lastPort {
			t.Fatalf("port %d: twice, or outside %d..%d", p.number, firstPort, lastPort)
		}
		seen[p.number] = true
	}
}
