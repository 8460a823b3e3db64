package pluginhost

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// apply puts the limits on a process that has just been started, and on all that it
// starts. What it does before, for a fraction of a millisecond, is not limited; what
// it took then counts.
func (l limits) apply(pid int) error {
	for _, limit := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"memory", unix.RLIMIT_DATA, uint64(l.memory)},
		{"open files", unix.RLIMIT_NOFILE, uint64(l.files)},
		{"file size", unix.RLIMIT_FSIZE, uint64(l.fileSize)},
		{"core dump", unix.RLIMIT_CORE, 0},
	} {
		r := unix.Rlimit{Cur: limit.value, Max: limit.value}
		if err := unix.Prlimit(pid, limit.resource, &r, nil); err != nil {
			return fmt.Errorf("limiting %s of process %d: %w", limit.name, pid, err)
		}
	}
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // the kernel's number: 20 less the nice value
	if err == nil {
		err = unix.Setpriority(unix.PRIO_PGRP, pid, 20-own+l.nice)
	}
	if err != nil {
		return fmt.Errorf("lowering the priority of process %d: %w", pid, err)
	}
	return nil
}

// machineTasks returns how many threads the machine has, 0 if it does not say.
func machineTasks() int {
	text, err := os.ReadFile("/proc/loadavg") // "0.20 0.18 0.12 1/80 11206"
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "/")
	total, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(total) // 0 as above
	return n
}

// groupSize counts the processes of a group.
func groupSize(group int) int {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what can be read counts
	n := 0
	for _, name := range names {
		if name[0] >= '0' && name[0] <= '9' && groupOf(name) == group {
			n++
		}
	}
	return n
}

// groupOf returns the group of process pid, 0 if it is gone.
func groupOf(pid string) int {
	stat, err := os.ReadFile("/proc/" + pid + "/stat") // "12 (name) S 1 12 ...": state, parent, group
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 3 {
		return 0
	}
	group, _ := strconv.Atoi(fields[2]) // 0 as above
	return group
}
