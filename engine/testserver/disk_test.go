package testserver

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFaultDiskIsFullAndHasRoomAgain: what Fill leaves can be written, and no more.
func TestFaultDiskIsFullAndHasRoomAgain(t *testing.T) {
	d := SmallDisk(t, 4<<20)
	write := func(bytes int) error {
		return os.WriteFile(filepath.Join(d.Dir, "file"), make([]byte, bytes), 0o600)
	}
	d.Fill(64 << 10)
	if err := write(64 << 10); err != nil {
		t.Errorf("what Fill left: %v", err)
	}
	if err := write(128 << 10); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than Fill left: %v, want no space", err)
	}
	d.Free()
	if err := write(1 << 20); err != nil {
		t.Errorf("after Free: %v", err)
	}
}
