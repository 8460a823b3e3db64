package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// TestRedisAwayIsToldAndCanBeStopped: before there is a log, the page answers and
// readiness says what is waited for; a stop is then no error.
func TestRedisAwayIsToldAndCanBeStopped(t *testing.T) {
	t.Setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		flags := runFlags{listen: "127.0.0.1:0", logLevel: "info"}
		err := runPipeline(ctx, root+"/pipelines/charts.yaml", flags, in)
		ended <- errors.Join(err, in.Close())
	}()
	addr, rest := listening(t, out)
	testserver.Eventually(t, time.Minute, "the reason", func() error {
		if _, err := get(addr, "/readyz"); err == nil || !strings.Contains(err.Error(), "waiting for the log") {
			return errors.Join(errors.New("not told"), err)
		}
		return nil
	})
	if _, err := get(addr, "/"); err != nil {
		t.Errorf("the page: %v", err)
	}
	if _, err := get(addr, "/api/v1/charts"); err == nil || !strings.Contains(err.Error(), "the engine is starting") {
		t.Errorf("charts before there is a log: %v; want 503", err)
	}
	stop()
	log := rest()
	if err := <-ended; err != nil || strings.Contains(log, "secret") {
		t.Fatalf("stopped while Redis is away: %v; want no error and no password in\n%s", err, log)
	}
}

// listening reads the banner's address; rest returns what is written after it, up
// to the end.
func listening(t *testing.T, out io.Reader) (addr string, rest func() string) {
	t.Helper()
	addr, lines := followed(t, out)
	after := make(chan string, 1)
	go func() {
		var text strings.Builder
		for line := range lines {
			text.WriteString(line)
		}
		after <- text.String()
	}()
	return addr, func() string { return <-after }
}

// bannerAddr finds the address in the banner.
var bannerAddr = regexp.MustCompile(`page +http://(\S+)/`)

// followed reads the banner's address and then hands on line after line.
func followed(t *testing.T, out io.Reader) (addr string, lines <-chan string) {
	t.Helper()
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("no banner: %v", err)
		}
		if m := bannerAddr.FindStringSubmatch(line); m != nil {
			addr = m[1]
			break
		}
	}
	all := make(chan string, 1024)
	go func() {
		defer close(all)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			all <- line
		}
	}()
	return addr, all
}
