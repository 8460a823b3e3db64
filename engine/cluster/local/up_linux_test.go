package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestProcessIsKnownWhileItChangesItsProgram: rabbitmq-server is a script that ends
// in other programs, one after the other, in one process.
func TestProcessIsKnownWhileItChangesItsProgram(t *testing.T) {
	c := &Cluster{Dir: t.TempDir()}
	script, done := filepath.Join(c.Dir, "again.sh"), filepath.Join(c.Dir, "done")
	text := `[ "$1" -gt 0 ] || { touch "` + done + `"; exec sleep 60; }` + "\n" + `exec sh "$0" $(($1 - 1))`
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.detach(exec.Command("sh", script, "300"), c.Dir, "again"); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(c.Dir, "again.pid")
	pid := alive(pidFile)
	for {
		if now := alive(pidFile); now == 0 || now != pid {
			t.Fatalf("process %d is taken for gone", pid)
		}
		if _, err := os.Stat(done); err == nil {
			break
		}
	}
	if err := c.end(t.Context(), pidFile); err != nil || syscall.Kill(pid, 0) == nil && alive(pidFile) != 0 {
		t.Errorf("%v; process %d runs on", err, pid)
	}
}

// TestNumberOfAnotherProcess: a process of the same number that began at another time
// is a stranger.
func TestNumberOfAnotherProcess(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	for _, text := range []string{"", "x y", "1 1\n", "99999999 1\n"} {
		if err := os.WriteFile(pidFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid := alive(pidFile); pid != 0 {
			t.Errorf("%q: %d", text, pid)
		}
	}
}
