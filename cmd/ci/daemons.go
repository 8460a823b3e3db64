package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// daemonNames are the kernel's names of what the packages may leave running;
// Erlang's port mapper starts even where services may not.
var daemonNames = []string{"epmd", "beam.smp", "redis-server", "mariadbd", "mosquitto"}

// daemons returns the running processes of those names that have no living
// parent but init, by pid. A test's own server has its test as parent.
func daemons() map[int]string {
	found := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, name, parent, ok := parseStat(string(text))
		if ok && parent == 1 && slices.Contains(daemonNames, name) {
			found[pid] = name
		}
	}
	return found
}

// parseStat reads pid, name and parent of a line of proc(5)'s stat.
func parseStat(line string) (pid int, name string, parent int, ok bool) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return 0, "", 0, false
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 2 {
		return 0, "", 0, false
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(line[:open]))
	parent, err2 := strconv.Atoi(fields[1])
	return pid, line[open+1 : end], parent, err1 == nil && err2 == nil
}

// endDaemons ends by pid what has appeared since before.
func endDaemons(ctx context.Context, out io.Writer, before map[int]string) {
	after := daemons()
	for _, pid := range slices.Sorted(maps.Keys(after)) {
		if _, old := before[pid]; old {
			continue
		}
		fmt.Fprintf(out, "setup: ending %s (pid %d), which the installation left running\n", after[pid], pid)
		if err := asRoot(context.WithoutCancel(ctx), out, "kill", strconv.Itoa(pid)); err != nil {
			fmt.Fprintln(out, "setup:", err)
		}
	}
}
