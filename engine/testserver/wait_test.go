package testserver_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// recorder is a testing.TB that records how a helper ended it; ending is a
// panic, as Goexit would end the real test.
type recorder struct {
	testing.TB
	fatal, skip string
}

type ended struct{}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = strings.TrimSpace(format)
	panic(ended{})
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skip = strings.TrimSpace(format)
	panic(ended{})
}

// observe runs f and returns how it ended.
func observe(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	func() {
		defer func() {
			if e := recover(); e != nil && e != (ended{}) {
				panic(e)
			}
		}()
		f(r)
	}()
	return r
}

func TestRequireSkipsAndFailsInCI(t *testing.T) {
	missing := func(tb testing.TB) { testserver.Require(tb, "millrace-no-such-program") }
	t.Setenv("MILLRACE_NO_SKIP", "")
	if r := observe(t, missing); r.skip == "" || r.fatal != "" {
		t.Errorf("without MILLRACE_NO_SKIP: skip %q, fatal %q; want a skip", r.skip, r.fatal)
	}
	t.Setenv("MILLRACE_NO_SKIP", "1")
	if r := observe(t, missing); r.fatal == "" || r.skip != "" {
		t.Errorf("with MILLRACE_NO_SKIP=1: skip %q, fatal %q; want a failure", r.skip, r.fatal)
	}
	if r := observe(t, func(tb testing.TB) { testserver.Require(tb, "sh") }); r.fatal+r.skip != "" {
		t.Errorf("an installed program: %+v", r)
	}
}

func TestEventuallyPollsAndGivesUp(t *testing.T) {
	calls := 0
	testserver.Eventually(t, time.Minute, "the third call", func() error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if calls != 3 {
		t.Errorf("calls = %d, want 3", calls)
	}
	r := observe(t, func(tb testing.TB) {
		testserver.Eventually(tb, time.Millisecond, "never", func() error { return errors.New("no") })
	})
	if r.fatal == "" {
		t.Error("a condition that never holds did not fail the test")
	}
}
