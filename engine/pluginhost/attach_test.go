package pluginhost_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/plugins/sdk"
)

// serveDebug serves p on socket until the function that it returns is called.
func serveDebug(t *testing.T, p sdk.Plugin, socket string) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	line, done := make(chan string, 1), make(chan error, 1)
	out, in := io.Pipe()
	go func() {
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- text
	}()
	go func() {
		done <- sdk.ServeDebug(ctx, p, socket, in)
		_ = in.Close() // never fails
	}()
	if got, want := <-line, pluginhost.AttachEnv+"="+p.Name+"="+socket+"\n"; got != want {
		t.Fatalf("it printed %q, want %q", got, want)
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func attach(t *testing.T, ref, socket string) (*pluginhost.Host, pluginhost.NodeConfig) {
	t.Helper()
	sockets, err := pluginhost.ParseAttach("good=" + socket)
	if err != nil {
		t.Fatal(err)
	}
	host := pluginhost.New(pluginhost.Config{
		Dir: t.TempDir(), SourceDir: "-", Attach: sockets, CallDeadline: 1, DrainTimeout: time.Second, BackoffFirst: 1, BackoffMax: time.Millisecond,
	})
	return host, pluginhost.NodeConfig{Node: "n", Pipeline: "p", Ref: ref, With: double, Lanes: 4}
}

func TestAPluginThatRunsAlreadyIsAttached(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "good.sock")
	end := serveDebug(t, good, socket)
	host, nc := attach(t, "good@^1", socket)
	tr, err := host.Start(within(t), nc)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	out := mustProcess(t, tr, batch(0, record(1, "value", 4)))[0].Outputs[0]
	if v, _ := out.Record.Get("value"); v != event.Float(8) || out.Plugin != "good@1.0.0#attached" {
		t.Errorf("value %v by %s", v.Any(), out.Plugin)
	}

	another := nc
	another.Node = "m"
	if _, err := host.Start(within(t), another); err == nil || !strings.Contains(err.Error(), `works for node "n"`) {
		t.Errorf("a second node: %v, want it refused", err)
	}
	if err := sdk.ServeDebug(t.Context(), good, socket, io.Discard); err == nil {
		t.Error("a second process took the socket")
	}

	end() // the debugger is started anew
	if _, err := tr.Process(within(t), batch(1, record(2, "value", 1))); node.ClassOf(err) != node.Unsure || err == nil {
		t.Errorf("without the process: error %v of class %v, want unsure", err, node.ClassOf(err))
	}
	defer serveDebug(t, good, socket)()
	mustProcess(t, tr, batch(1, record(3, "value", 1)))

	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := host.Start(within(t), another) // the next engine
	if err != nil {
		t.Fatal(err)
	}
	mustProcess(t, again, batch(0, record(4, "value", 1)))
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestADebuggedProcessOutlivesItsEngine starts a plugin as a debugger does.
func TestADebuggedProcessOutlivesItsEngine(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "good", "1.0.0")
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(filepath.Join(dir, "good@1.0.0"))
	cmd.Env = append(os.Environ(), sdk.DebugEnv+"="+socket)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // says that it was killed
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one engine after another
		host, nc := attach(t, "good", socket)
		tr, err := host.Start(within(t), nc)
		if err != nil {
			t.Fatal(err)
		}
		mustProcess(t, tr, batch(0, record(1, "value", 1)))
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("the process is gone: %v", err)
	}
}

func TestAttachmentsThatCannotBe(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "good.sock")
	host, nc := attach(t, "good@^1", socket)
	if _, err := host.Start(within(t), nc); err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("nobody there: error %v, want one that names the socket", err)
	}
	defer serveDebug(t, good, socket)()
	for ref, want := range map[string]string{"good@^2": "version 1.0.0", "other": "there is no version of other"} {
		nc.Ref = ref
		if _, err := host.Start(within(t), nc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", ref, err, want)
		}
	}
	for _, text := range []string{"good", "good=", "=/s", "Good=/s"} {
		if got, err := pluginhost.ParseAttach(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	if got, err := pluginhost.ParseAttach("a=/x, b=/y=z"); err != nil || fmt.Sprint(got) != "map[a:/x b:/y=z]" {
		t.Errorf("read as %v, %v", got, err)
	}
}
