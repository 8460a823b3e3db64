package testserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk is a file system of its own, a few megabytes of memory, that a test may
// fill. Its methods may be called from any goroutine of the test.
type Disk struct {
	// Dir is where it is mounted.
	Dir string
	t   testing.TB
}

// SmallDisk mounts a disk of that many bytes and unmounts it with the test, after
// the servers that were started later. Who may not mount skips the test.
func SmallDisk(t testing.TB, bytes int64) *Disk {
	t.Helper()
	d := &Disk{t.TempDir(), t}
	err := syscall.Mount("millrace-test", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", bytes))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("no disk of its own for this test: mount: %v", err)
	}
	if err != nil {
		t.Fatalf("disk: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.Dir, 0); err != nil {
			t.Errorf("disk: unmount: %v", err)
		}
	})
	return d
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// Fill takes all room but leave bytes.
func (d *Disk) Fill(leave int64) {
	d.t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(d.Dir, &stat); err != nil {
		d.t.Fatalf("disk: %v", err)
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		d.t.Fatalf("disk: %v", err)
	}
	defer f.Close()
	room := int64(stat.Bavail)*stat.Bsize - leave
	for block := make([]byte, 1<<20); room > 0 && err == nil; room -= int64(len(block)) {
		block = block[:min(room, int64(len(block)))]
		_, err = f.Write(block)
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) { // another may have taken the rest
		d.t.Errorf("disk: fill: %v", err)
	}
}

// Free gives back what Fill has taken.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		d.t.Errorf("disk: free: %v", err)
	}
}
