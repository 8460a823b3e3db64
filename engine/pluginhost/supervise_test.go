package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// quick restarts without a noticeable pause.
var quick = pluginhost.Config{BackoffFirst: time.Millisecond, BackoffMax: 10 * time.Millisecond}

// hungAfter is the deadline of units that a plugin is to miss: what works makes it on
// a busy machine, too.
const hungAfter = 3 * time.Second

// state returns a process's state as the kernel names it, "" if there is none.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}

func alive(pid int) bool { return strings.Trim(state(pid), "ZX") != "" }

// halt stops a process without ending it.
func halt(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "process is stopped", func() bool { return state(pid) == "T" })
}

func TestCrashInAUnit(t *testing.T) {
	log := &logBuffer{}
	cfg := quick
	cfg.Logger = log.logger()
	tr := start(t, "good", cfg, double)
	_, err := tr.Process(within(t), batch(0, record(1, "value", 1), record(2, "do", "crash")))
	if err == nil || node.ClassOf(err) != node.Unsure || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("error %v of class %v, want unsure with the exit status", err, node.ClassOf(err))
	}
	mustProcess(t, tr, batch(0, record(1, "value", 1)))
	if tr.Restarts() != 1 || !tr.Status().Ready {
		t.Errorf("restarts %d, status %+v", tr.Restarts(), tr.Status())
	}
	if !strings.Contains(log.String(), "exit status 3") {
		t.Errorf("the log does not say how it ended:\n%s", log)
	}
}

func TestKilledInAUnit(t *testing.T) {
	tr := start(t, "good", quick, double)
	done := make(chan error, 1)
	go func() {
		_, err := tr.Process(within(t), batch(2, record(1, "do", "hang")))
		done <- err
	}()
	until(t, "unit under way", func() bool { return tr.Busy(2) })
	if err := syscall.Kill(tr.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || node.ClassOf(err) != node.Unsure {
		t.Fatalf("error %v, want unsure", err)
	}
	for lane := range 4 {
		mustProcess(t, tr, batch(lane, record(1, "value", 1)))
	}
}

func TestStoppedPluginMeetsItsDeadline(t *testing.T) {
	cfg := quick
	cfg.CallDeadline = hungAfter
	tr := start(t, "good", cfg, double)
	mustProcess(t, tr, batch(0, record(1, "value", 1)))
	pid := tr.PID()
	halt(t, pid)
	_, err := tr.Process(within(t), batch(0, record(2, "value", 1)))
	if err == nil || node.ClassOf(err) != node.Unsure || !strings.Contains(err.Error(), hungAfter.String()) {
		t.Fatalf("error %v, want unsure with the deadline", err)
	}
	until(t, "stopped process is gone", func() bool { return !alive(pid) })
	mustProcess(t, tr, batch(0, record(2, "value", 1)))
}

// TestPluginStoppedWhileIdle: nobody has to lose a unit to find out.
func TestPluginStoppedWhileIdle(t *testing.T) {
	cfg := quick
	cfg.HealthEvery, cfg.CallDeadline = 20*time.Millisecond, hungAfter
	tr := start(t, "good", cfg, double)
	halt(t, tr.PID())
	until(t, "it is restarted", func() bool { return tr.Restarts() > 0 && tr.Status().Ready })
	mustProcess(t, tr, batch(0, record(1, "value", 1)))
}

// TestPluginStoppedAndNotAsked is the control of the test above.
func TestPluginStoppedAndNotAsked(t *testing.T) {
	cfg := quick
	cfg.HealthEvery, cfg.CallDeadline, cfg.DrainTimeout = time.Hour, 500*time.Millisecond, 100*time.Millisecond
	tr := start(t, "good", cfg, double)
	pid := tr.PID()
	halt(t, pid)
	if !lives(pid) || tr.Restarts() > 0 {
		t.Error("what has noticed it?")
	}
}

// TestPluginWithoutHealth: a plugin may leave the question unimplemented.
func TestPluginWithoutHealth(t *testing.T) {
	cfg := quick
	cfg.HealthEvery, cfg.DrainTimeout = time.Millisecond, 100*time.Millisecond
	tr := start(t, "hostile", cfg, nil)
	pid := tr.PID()
	if !lives(pid) || tr.Restarts() > 0 || !tr.Status().Ready {
		t.Errorf("status %+v after %d restarts", tr.Status(), tr.Restarts())
	}
}

// TestPluginHogWithoutCapLives is a control of TestPluginHostile: what ends the
// plugin there is the cap.
func TestPluginHogWithoutCapLives(t *testing.T) {
	tr := start(t, "good", pluginhost.Config{MemoryCap: 4 << 30}, double)
	mustProcess(t, tr, batch(0, record(1, "do", "hog")))
}

// TestPluginWithFewChildrenLives is another: what ends it there is their number.
func TestPluginWithFewChildrenLives(t *testing.T) {
	cfg := quick
	cfg.Processes, cfg.CallDeadline = 200, 3*time.Second
	tr := start(t, "good", cfg, double)
	_, err := tr.Process(within(t), batch(0, record(1, "do", "breed")))
	if err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("error %v, want the deadline of a plugin that lives on", err)
	}
}

func TestCloseEndsAHungPlugin(t *testing.T) {
	cfg := quick
	cfg.DrainTimeout = 200 * time.Millisecond
	tr := start(t, "good", cfg, double)
	pid := tr.PID()
	halt(t, pid)
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the process lives on")
	}
	if _, err := tr.Process(within(t), batch(0, record(1, "value", 1))); err == nil {
		t.Error("a closed node processed a unit")
	}
}

func TestWaitingForARestartEndsWithTheContext(t *testing.T) {
	cfg := pluginhost.Config{BackoffFirst: time.Hour, BackoffMax: time.Hour}
	tr := start(t, "good", cfg, double)
	if _, err := tr.Process(within(t), batch(0, record(1, "do", "crash"))); err == nil {
		t.Fatal("no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := tr.Process(ctx, batch(0, record(1, "value", 1)))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v, want one that says what it waited for", err)
	}
	if s := tr.Status(); s.Ready || !strings.Contains(s.Reason, "exit status 3") {
		t.Errorf("status %+v, want the reason", s)
	}
}

// spend crashes the plugin until its budget of two restarts is spent.
func spend(t *testing.T, pause time.Duration) (*pluginhost.Transform, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	cfg := quick
	cfg.RestartBudget, cfg.RestartWindow, cfg.RestartPause, cfg.Logger = 2, time.Hour, pause, log.logger()
	tr := start(t, "good", cfg, double)
	for i := range 3 {
		fails(t, tr, batch(0, record(i, "do", "crash")))
	}
	return tr, log
}

func TestPluginBudgetHoldsTheLane(t *testing.T) {
	tr, _ := spend(t, time.Hour)
	const why = "2 restarts within 1h0m0s did not help: tried again every 1h0m0s"
	until(t, "the reason is shown", func() bool { return strings.Contains(tr.Status().Reason, why) })
	if s := tr.Status(); s.Ready || !strings.Contains(s.Reason, "exit status 3") {
		t.Errorf("status %+v, want not ready and what it died of", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tr.Process(ctx, batch(0, record(9, "value", 1))); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), why) {
		t.Errorf("error %v, want the lane held until its context ends", err)
	}
}

func TestPluginBudgetIsSaidOnce(t *testing.T) {
	tr, log := spend(t, time.Millisecond)
	for i := range 3 {
		fails(t, tr, batch(0, record(10+i, "do", "crash")))
	}
	mustProcess(t, tr, batch(0, record(20, "value", 1)))
	if !tr.Status().Ready {
		t.Errorf("status %+v", tr.Status())
	}
	text := log.String()
	if strings.Count(text, "given rest") != 1 || strings.Count(text, `level=ERROR msg="plugin failed"`) != 3 || strings.Count(text, `msg="plugin failed"`) != 6 {
		t.Errorf("want 3 failures told aloud, the rest once, 3 failures in a low voice:\n%s", text)
	}
}

func TestProgramsThatDoNotStart(t *testing.T) {
	cfg := pluginhost.Config{StartTimeout: 10 * time.Second}
	short := pluginhost.Config{StartTimeout: 300 * time.Millisecond}
	for _, c := range []struct {
		name string
		cfg  pluginhost.Config
		with map[string]any
		want string
	}{
		{"garbage", cfg, nil, "hello, I am no plugin"},
		{"torrent", cfg, nil, "Unrecognized remote plugin message"},
		{"mute", short, nil, "not ready within 300ms"},
		{"quits", cfg, nil, "exit status 7"},
		{"old", cfg, nil, "version: 99"},
		{"renamed", cfg, nil, "calls itself good@1.0.0"},
		{"good", cfg, map[string]any{"factor": -1}, "with.factor: is negative; with.panic: is false"},
		{"good", cfg, map[string]any{"facto": 1}, "with.facto: unknown field"},
		{"good", cfg, map[string]any{"factor": "two"}, "with.factor: is a string, want float64"},
		{"good", cfg, map[string]any{"panic": true}, "panic: configured to"},
	} {
		_, err := tryStart(t, c.name, c.cfg, c.with)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: error %v, want %q in it", c.name, c.with, err, c.want)
		}
	}
}

func TestLimitsAreSet(t *testing.T) {
	tr := start(t, "good", pluginhost.Config{MemoryCap: 3 << 30, OpenFiles: 100, FileSize: 1 << 20, Nice: 7}, double)
	text := readProc(t, tr.PID(), "limits")
	limits := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"Max data size 3221225472 3221225472", "Max open files 100 100", "Max file size 1048576 1048576", "Max core file size 0 0",
	} {
		if !strings.Contains(limits, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	if own, its := niceness(t, os.Getpid()), niceness(t, tr.PID()); its != min(own+7, 19) {
		t.Errorf("its nice value is %d, the host's %d", its, own)
	}
}

func niceness(t *testing.T, pid int) int {
	t.Helper()
	_, rest, _ := strings.Cut(readProc(t, pid, "stat"), ") ")
	nice, err := strconv.Atoi(strings.Fields(rest)[16])
	if err != nil {
		t.Fatal(err)
	}
	return nice
}

// TestPluginHasNoSecrets looks at a plugin from outside: what the host was given is
// neither in its environment nor on its command line, and every variable is one that
// this list names.
func TestPluginHasNoSecrets(t *testing.T) {
	const secret = "hunter2"
	for name, value := range map[string]string{
		"DB_DSN": "user:" + secret + "@tcp(db)/x", "AMQP_URLS": "amqp://u:" + secret + "@h", "MILLRACE_TOKEN": secret,
		"TZ": "Europe/Vienna", "SITE": "north",
	} {
		t.Setenv(name, value)
	}
	tr := start(t, "env", pluginhost.Config{Env: []string{"SITE"}}, nil)
	known := map[string]bool{}
	for _, name := range strings.Fields(`PATH LANG LC_ALL TZ TMPDIR SITE GOMEMLIMIT GOGC GOMAXPROCS GOTRACEBACK
		MILLRACE_PLUGIN PLUGIN_MIN_PORT PLUGIN_MAX_PORT PLUGIN_PROTOCOL_VERSIONS PLUGIN_CLIENT_CERT PLUGIN_UNIX_SOCKET_DIR MILLRACE_PLUGIN_LANES`) {
		known[name] = true
	}
	env := readProc(t, tr.PID(), "environ")
	for entry := range strings.SplitSeq(strings.TrimRight(env, "\x00"), "\x00") {
		if name, _, _ := strings.Cut(entry, "="); !known[name] {
			t.Errorf("the plugin sees %s", entry)
		}
	}
	for _, want := range []string{"TZ=Europe/Vienna", "SITE=north", "GOMEMLIMIT="} {
		if !strings.Contains(env, want) {
			t.Errorf("the plugin does not see %s", want)
		}
	}
	if line := readProc(t, tr.PID(), "cmdline"); line != tr.Binary().Path+"\x00" {
		t.Errorf("its command line is %q", line)
	}
	value, _ := mustProcess(t, tr, batch(0, record(1)))[0].Outputs[0].Record.Get("env")
	if strings.Contains(env+value.Text(), secret) {
		t.Error("the plugin has a secret")
	}
}

// TestPluginHasWhatIsNamed is the control of the test above.
func TestPluginHasWhatIsNamed(t *testing.T) {
	t.Setenv("DB_DSN", "user:hunter2@tcp(db)/x")
	tr := start(t, "env", pluginhost.Config{Env: []string{"DB_DSN"}}, nil)
	if env := readProc(t, tr.PID(), "environ"); !strings.Contains(env, "hunter2") {
		t.Errorf("the plugin does not see what it is given:\n%s", env)
	}
}

func readProc(t *testing.T, pid int, file string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLogsReachTheHost(t *testing.T) {
	log := &logBuffer{}
	tr := start(t, "good", pluginhost.Config{Logger: log.logger()}, double)
	mustProcess(t, tr, batch(0, record(1, "do", "log")))
	for _, want := range []string{`level=WARN msg="a word" plugin=good@1.0.0 node=n event=m-1`, "msg=printed", `msg="on error"`} {
		until(t, want+" in the log", func() bool { return strings.Contains(log.String(), want) })
	}
}

func TestSocketFolderIsPrivateAndRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tr := start(t, "good", quick, double)
	mustProcess(t, tr, batch(0, record(1, "value", 1)))
	dirs, _ := filepath.Glob(os.TempDir() + "/plugin-dir*")
	if len(dirs) != 1 {
		t.Fatalf("folders %v, want one", dirs)
	}
	info, err := os.Stat(dirs[0])
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, error %v, want 0700", info.Mode(), err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dirs[0]); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}

// startCopy starts a plugin whose file is no one else's.
func startCopy(t *testing.T, cfg pluginhost.Config) *pluginhost.Transform {
	t.Helper()
	cfg.Dir, cfg.SourceDir = t.TempDir(), "-"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, "good@1.0.0"), content, 0o755); err != nil {
		t.Fatal(err)
	}
	tr, err := pluginhost.New(cfg).Start(t.Context(), pluginhost.NodeConfig{Node: "n", Ref: "good", With: double, Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() }) // never fails
	return tr
}

func TestReplacedBinaryDoesNotRun(t *testing.T) {
	tr := startCopy(t, quick)
	path := tr.Binary().Path
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	old := tr.PID()
	_ = syscall.Kill(old, syscall.SIGKILL)
	until(t, "it is restarted", func() bool { pid := tr.PID(); return pid != 0 && pid != old })
	out := mustProcess(t, tr, batch(0, record(1, "value", 1)))[0].Outputs[0]
	if out.Plugin != tr.Binary().String() {
		t.Errorf("made by %s", out.Plugin)
	}
}

// stranger calls the plugin as a process would that found the socket.
func stranger(t *testing.T, cfg pluginhost.Config) error {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	start(t, "good", cfg, double)
	return callSocket(t)
}

// callSocket calls the one plugin whose socket is in the temporary folder.
func callSocket(t *testing.T) error {
	t.Helper()
	sockets, _ := filepath.Glob(os.TempDir() + "/plugin-dir*/*")
	if len(sockets) == 0 {
		t.Fatal("no socket")
	}
	conn, err := grpc.NewClient("unix:"+sockets[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = pluginv1.NewPluginClient(conn).Describe(within(t), &pluginv1.DescribeRequest{})
	return err
}

func TestStrangersAreRefused(t *testing.T) {
	if err := stranger(t, pluginhost.Config{}); err == nil {
		t.Error("a process without the host's certificate was served")
	}
}

// TestStrangersAreServedWithoutTLS is the control of the test above.
func TestStrangersAreServedWithoutTLS(t *testing.T) {
	if err := stranger(t, pluginhost.Config{InsecureSocket: true}); err != nil {
		t.Error(err)
	}
}
