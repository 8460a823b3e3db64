package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startLimit = 90 * time.Second // a cold RabbitMQ on two busy cores
	stopLimit  = 30 * time.Second
)

// reporter hears of failures after the start: the test that owns the server.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// server is the part that all kinds of servers share. Its methods may be called
// from any goroutine; they report trouble with the owning test's Errorf.
type server struct {
	// Dir is the server's own folder: its configuration, data and log.
	// It is removed when the server is closed.
	Dir string

	name    string
	report  reporter
	owner   *os.File
	ports   []*port
	helpers []*process // ended with the server, e.g. epmd
	shared  bool       // outlives the test: databases are dropped by hand
	command func() *exec.Cmd
	env     []string // what the server's environment has beside this process' own
	ready   func(context.Context) error
	logFrom int64 // bytes that the log held before the last start

	mu   sync.Mutex
	proc *process // nil before the first start; guarded by mu
}

// prepare makes the folder and reserves the ports; nothing runs yet.
func (s *server) prepare(name string, ports int) error {
	s.name = name
	var err error
	if s.Dir, s.owner, err = newRun(name); err != nil {
		return err
	}
	for range ports {
		p, err := takePort()
		if err != nil {
			return err
		}
		s.ports = append(s.ports, p)
	}
	return nil
}

// PID is the server's process id, 0 while it is not running.
func (s *server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || !s.proc.running() {
		return 0
	}
	return s.proc.pid()
}

// Start runs a stopped or killed server again, on the same port and data, and
// returns once it answers. On a running server it does nothing.
func (s *server) Start() {
	s.report.Helper()
	if err := s.start(); err != nil {
		s.report.Errorf("%v", err)
	}
}

func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil && s.proc.running() {
		return nil
	}
	out, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if info, err := out.Stat(); err == nil {
		s.logFrom = info.Size()
	}
	cmd := s.command()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(cmd.Environ(), s.env...)
	if s.proc, err = launch(cmd); err != nil {
		return err
	}
	if err := s.awaitReady(); err != nil {
		s.proc.kill()
		return fmt.Errorf("%s: %w\n%s", s.name, err, s.logTail())
	}
	return nil
}

func (s *server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	return poll(ctx, func() error {
		if !s.proc.running() {
			return final{fmt.Errorf("exited while starting: %v", s.proc.err)}
		}
		return s.ready(ctx)
	})
}

// Stop asks the server to end in good order (SIGTERM) and waits until it has,
// killing it after 30 seconds. Data stays for the next Start.
func (s *server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.stop(stopLimit)
	}
}

// Kill ends the server with SIGKILL, as a power switch would, and waits until
// it is gone. Data stays for the next Start.
func (s *server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.kill()
	}
}

// Pause stops the server's clock (SIGSTOP): connections stay open and nothing
// is answered until Resume.
func (s *server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *server) Resume() { s.signal(syscall.SIGCONT) }

func (s *server) signal(sig syscall.Signal) {
	s.report.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || !s.proc.running() {
		s.report.Errorf("%s: signal %v: not running", s.name, sig)
		return
	}
	if err := s.proc.signal(sig); err != nil {
		s.report.Errorf("%s: %v", s.name, err)
	}
}

// close ends everything and removes the data. The data is thrown away, so the
// server gets no time to put it in order.
func (s *server) close() error {
	s.Kill()
	for _, h := range s.helpers {
		h.kill()
	}
	for _, p := range s.ports {
		p.release()
	}
	if s.Dir == "" {
		return nil
	}
	return errors.Join(os.RemoveAll(s.Dir), s.owner.Close())
}

// adopt ties a server that opened with err to the test t.
func (s *server) adopt(t testing.TB, err error) {
	t.Helper()
	s.report = t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said last:\n%s", s.name, s.logTail())
		}
		if err := s.close(); err != nil {
			t.Errorf("%s: close: %v", s.name, err)
		}
	})
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
}

func (s *server) logPath() string { return filepath.Join(s.Dir, "output.log") }

// Log is all that the server has printed.
func (s *server) Log() string {
	text, _ := os.ReadFile(s.logPath())
	return string(text)
}

// said reports whether the server has written text since it was started last.
func (s *server) said(text string) bool {
	all, _ := os.ReadFile(s.logPath())
	return strings.Contains(string(all[min(s.logFrom, int64(len(all))):]), text)
}

// logTail is the end of what the server has printed.
func (s *server) logTail() string {
	lines := strings.Split(strings.TrimRight(s.Log(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}
