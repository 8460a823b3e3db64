package pluginhost

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// capMemory limits the private writable memory of a process. A Go program that
// wants more dies of it, and the machine's other programs do not.
func capMemory(pid int, bytes int64) error {
	limit := unix.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil); err != nil {
		return fmt.Errorf("limiting memory of process %d: %w", pid, err)
	}
	return nil
}
