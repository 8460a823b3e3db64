package pluginhost_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/pluginhost"
)

// beHost is a host in a process of its own. It starts the plugin with a child,
// prints the plugin's process id and keeps four lanes busy until it is killed. From
// time to time an event does what does says.
func beHost(dir, name, does string) {
	ctx := context.Background()
	cfg := quick
	cfg.Dir, cfg.SourceDir, cfg.RestartBudget = dir, "-", 1_000_000
	tr, err := pluginhost.New(cfg).Start(ctx, pluginhost.NodeConfig{Node: "n", Ref: name, Lanes: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = tr.Process(ctx, batch(0, record(1, "do", "child")))
	_, _ = tr.Process(ctx, batch(0, record(1, "do", does)))
	fmt.Println(tr.PID())
	for lane := range 4 {
		go func() {
			for i := 0; ; i++ {
				events := manyRecords(50)
				if i%200 == 100*lane/2 {
					events[25] = record(25, "do", does)
				}
				_, _ = tr.Process(ctx, batch(lane, events...)) // what fails comes again in another unit
			}
		}()
	}
	select {}
}

// killHost starts a host with a plugin in dir, lets it work for a while, kills it
// and returns the plugin's process id.
func killHost(t *testing.T, dir, name, does string, after time.Duration) int {
	t.Helper()
	install(t, dir, name, "1.0.0")
	return killHostOf(t, dir, name, does, after)
}

// killHostOf is killHost with a plugin that is in dir already.
func killHostOf(t *testing.T, dir, name, does string, after time.Duration) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, hostArg, dir, name, does)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	<-time.After(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // it was killed
	if err != nil {
		t.Fatalf("host says %q", line)
	}
	return pid
}

// leftOf returns the living processes whose command line begins with dir: a
// plugin's does, and that of the children that it starts.
func leftOf(t testing.TB, dir string) (pids []int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		line, _ := os.ReadFile(path) // it may be gone
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		if strings.HasPrefix(string(line), dir) && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestPluginEndsWithItsHost kills a host under load 20 times, with a plugin that
// starts children, and in every other round one whose process crashes again and
// again, so that one is just being started or probed.
func TestPluginEndsWithItsHost(t *testing.T) {
	for round := range 20 {
		does := []string{"child", "crash"}[round%2]
		dir := t.TempDir()
		killHost(t, dir, "good", does, time.Duration(7*round)*time.Millisecond)
		until(t, fmt.Sprintf("round %d (%s): every process is gone", round, does), func() bool { return len(leftOf(t, dir)) == 0 })
	}
}

// endAll kills what a control has left behind.
func endAll(t *testing.T, dir string) {
	for _, pid := range leftOf(t, dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // started by this test
	}
	until(t, "everything is gone", func() bool { return len(leftOf(t, dir)) == 0 })
}

// lives reports whether pid is still there after a while.
func lives(pid int) bool {
	for end := time.Now().Add(500 * time.Millisecond); alive(pid) && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	return alive(pid)
}

// TestPluginWithoutWatchOutlivesItsHost is a control of the test above: nothing
// but the SDK's watch ends the process.
func TestPluginWithoutWatchOutlivesItsHost(t *testing.T) {
	dir := t.TempDir()
	pid := killHost(t, dir, "hostile", "nothing", 0)
	if !lives(pid) {
		t.Error("it is gone: what ended it?")
	}
	endAll(t, dir)
}

// inGroup tells processes of the group that leader leads, or led.
func inGroup(leader int) func(pid int) bool {
	return func(pid int) bool {
		group, err := syscall.Getpgid(pid)
		return err == nil && group == leader
	}
}

// TestPluginChildOfItsOwnSessionOutlivesTheHost is another, and what HOSTILE.md says:
// a child is reached by its process group, and seen by this test.
func TestPluginChildOfItsOwnSessionOutlivesTheHost(t *testing.T) {
	dir := t.TempDir()
	pid := killHost(t, dir, "good", "escape", 0)
	until(t, "the plugin is gone", func() bool { return !alive(pid) })
	until(t, "so are the children of its group", func() bool { return !slices.ContainsFunc(leftOf(t, dir), inGroup(pid)) })
	left := leftOf(t, dir)
	if len(left) == 0 || !lives(left[0]) {
		t.Error("nothing is left: what ended the child?")
	}
	endAll(t, dir)
}
