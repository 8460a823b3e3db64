//go:build unix

package registry

import (
	"os"
	"syscall"
)

// lockWhole waits until no other process has f locked.
func lockWhole(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
