package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// SlowSync makes each sync of a server's files take delay longer, as on a disk
// of that pace. It compiles testdata/shims/slowsync.c and needs gcc.
func SlowSync(t testing.TB, delay time.Duration) Option {
	t.Helper()
	lib := compileShim(t, "slowsync")
	return func(o *options) {
		o.env = append(o.env, "LD_PRELOAD="+lib, fmt.Sprintf("MILLRACE_SYNC_DELAY_US=%d", delay.Microseconds()))
	}
}

// LostWrites makes SIGKILL a power cut for a server's files: what it has written
// and not synced is gone, what it has synced is there. It compiles
// testdata/shims/lostwrites.c, which says what is left alone, and needs gcc.
func LostWrites(t testing.TB) Option {
	t.Helper()
	lib := compileShim(t, "lostwrites")
	return func(o *options) { o.env = append(o.env, "LD_PRELOAD="+lib) }
}

// compileShim makes a shared library of testdata/shims/NAME.c.
func compileShim(t testing.TB, name string) string {
	t.Helper()
	gcc := Require(t, "gcc")
	lib := filepath.Join(t.TempDir(), name+".so")
	source := filepath.Join(moduleRoot(t), "testdata", "shims", name+".c")
	if out, err := exec.Command(gcc, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", lib, source, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", name, err, out)
	}
	return lib
}

// moduleRoot is the folder of go.mod above the package under test.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test's folder")
		}
	}
}
