package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// final wraps an error that polling again cannot mend.
type final struct{ error }

// poll calls cond until it returns nil, at growing distances of 1 to 100 ms.
// It ends early on a final error, and with cond's last error when ctx ends.
func poll(ctx context.Context, cond func() error) error {
	pause := time.Millisecond
	for {
		err := cond()
		if err == nil {
			return nil
		}
		if stop, ok := errors.AsType[final](err); ok {
			return stop.error
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up waiting: %w", err)
		case <-timer.C:
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// Eventually calls cond from the test's goroutine until it returns nil and
// fails the test at limit with cond's last error; what completes the sentence
// "waiting for ...". Take a generous limit: it bounds a hang, it measures
// nothing.
func Eventually(t testing.TB, limit time.Duration, what string, cond func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := poll(ctx, cond); err != nil {
		t.Fatalf("waiting %s for %s: %v", limit, what, err)
	}
}

// Require returns the path of an installed program. Without it the test is
// skipped with the reason, or fails where MILLRACE_NO_SKIP=1 forbids skips.
// Folders for system programs are searched even if PATH leaves them out.
func Require(t testing.TB, program string) string {
	t.Helper()
	path, err := find(program)
	if err == nil {
		return path
	}
	const advice = "`go tool task setup` installs it"
	if os.Getenv("MILLRACE_NO_SKIP") == "1" {
		t.Fatalf("%v; %s, and MILLRACE_NO_SKIP=1 forbids a skip", err, advice)
	}
	t.Skipf("%v; %s", err, advice)
	return ""
}

// find looks for program in PATH and then where Debian keeps servers.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/rabbitmq/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", program)
}
