package pluginhost_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/plugins/sdk"
)

// programs are the plugins that this test binary can be: it is put into a folder
// under the name NAME@VERSION and does what its name says.
var programs = map[string]func(){
	"good":    func() { sdk.Serve(good) },
	"pass":    func() { sdk.Serve(pass) },
	"unary":   serveUnary,
	"env":     func() { sdk.Serve(envPlugin) },
	"garbage": func() { fmt.Println("hello, I am no plugin"); _, _ = io.Copy(io.Discard, os.Stdin) },
	"torrent": serveTorrent,
	"mute":    func() { _, _ = io.Copy(io.Discard, os.Stdin) },
	"quits":   func() { fmt.Fprintln(os.Stderr, "no licence"); os.Exit(7) },
	"old":     func() { fmt.Println("1|99|unix|/nowhere|grpc|"); _, _ = io.Copy(io.Discard, os.Stdin) },
	"renamed": func() { sdk.Serve(good) },
	"hostile": func() { serveHostile(&hostile{name: "hostile"}) },
	"quitter": func() { serveHostile(&hostile{name: "quitter", exits: true}) },
	"wire":    serveGarbage,

	"versioned": serveVersioned,
	"counter":   serveCounter,
	"keeper":    func() { sdk.Serve(keeper) },
	"waiter":    func() { sdk.Serve(waiter) },
}

// What this test binary can be besides: hosts in a process of their own.
const (
	hostArg    = "be-a-host"     // then come a folder, a plugin's name and what its events do
	hostileArg = "be-among-foes" // then come a folder and the name of a case
)

func TestMain(m *testing.M) {
	if name, _, ok := strings.Cut(filepath.Base(os.Args[0]), "@"); ok {
		programs[name]()
		return
	}
	if len(os.Args) == 5 && os.Args[1] == hostArg {
		beHost(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	if len(os.Args) == 4 && os.Args[1] == hostileArg {
		beAmongFoes(os.Args[2], os.Args[3])
		return
	}
	goleak.VerifyTestMain(m)
}

// goodConfig is the configuration of the test plugin.
type goodConfig struct {
	Factor float64 `json:"factor"`
	Panic  bool    `json:"panic"`
}

func (c *goodConfig) Validate() error {
	if c.Panic {
		panic("configured to")
	}
	if c.Factor < 0 {
		return errors.Join(
			&sdk.ConfigError{Path: "factor", Text: "is negative"}, &sdk.ConfigError{Path: "panic", Text: "is false"})
	}
	return nil
}

// good multiplies field value by the factor, or does what field do says.
var good = sdk.Map("good", "1.0.0", func(c *goodConfig) (sdk.Func, error) {
	return func(e *sdk.Event) error {
		switch e.Text("do") {
		case "crash":
			os.Exit(3)
		case "hang":
			select {}
		case "panic":
			panic("told to")
		case "hog":
			var hoard [][]byte
			for range 64 {
				hoard = append(hoard, bytes.Repeat([]byte("x"), 8<<20))
			}
			e.Set("hoard", event.Int(int64(len(hoard))))
		case "away":
			return node.AsAway(errors.New("server is away"))
		case "drop":
			e.Drop()
			return nil
		case "reject":
			return sdk.Reject("told_to", "value %v", e.Get("value").Any())
		case "three":
			for i := range 3 {
				e.Set("part", event.Int(int64(i)))
				e.Emit()
			}
			return nil
		case "large":
			e.Set("fill", event.String(strings.Repeat("x", int(e.Get("size").AsInt()))))
			return nil
		case "many":
			for range e.Get("size").AsInt() {
				e.Set("fill", event.String(strings.Repeat("x", 1<<10)))
				e.Emit()
			}
			return nil
		case "slow":
			<-time.After(50 * time.Millisecond)
		case "breed":
			breed(100)
			select {}
		case "child":
			startChild(&syscall.SysProcAttr{})
		case "escape":
			startChild(&syscall.SysProcAttr{Setsid: true})
		case "flood":
			for i := range 20_000 {
				fmt.Fprintln(os.Stderr, "line", i, strings.Repeat("!", i%500))
			}
		case "log":
			slog.Warn("a word", "event", e.In().RootID)
			fmt.Println("printed")
			fmt.Fprintln(os.Stderr, "on error")
		}
		v, _ := e.Float("value")
		return e.SetFloat("value", v*c.Factor)
	}, nil
})

// waiter waits for the end of its stream.
var waiter = sdk.Batch("waiter", "1.0.0", func(*struct{}, sdk.Node) (node.Transform, error) { return waiting{}, nil })

type waiting struct{}

func (waiting) Process(ctx context.Context, _ *node.Batch) ([]node.Result, error) {
	slog.Info("begun")
	<-ctx.Done()
	slog.Info("given up")
	return nil, ctx.Err()
}

func (waiting) Close() error { return nil }

// breed starts children that outlive whatever asked for them.
func breed(children int) {
	for range children {
		if err := exec.Command("sleep", "300").Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}

// startChild starts a process whose command line begins with the plugin's path.
func startChild(attr *syscall.SysProcAttr) {
	cmd := exec.Command("sleep", "300")
	cmd.Args[0], cmd.SysProcAttr = os.Args[0]+"-child", attr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// envPlugin hands out its environment.
var envPlugin = sdk.Map("env", "1.0.0", func(*struct{}) (sdk.Func, error) {
	return func(e *sdk.Event) error {
		e.Set("env", event.String(strings.Join(os.Environ(), "\n")))
		return nil
	}, nil
})

// install puts this test binary into dir as plugin name@version.
func install(t testing.TB, dir, name, version string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+"@"+version)
	if os.Link(self, path) == nil {
		return
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// start starts the test binary as plugin name and closes it with the test.
func start(t testing.TB, name string, cfg pluginhost.Config, with map[string]any) *pluginhost.Transform {
	t.Helper()
	tr, err := tryStart(t, name, cfg, with)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func tryStart(t testing.TB, name string, cfg pluginhost.Config, with map[string]any) (*pluginhost.Transform, error) {
	t.Helper()
	cfg.Dir, cfg.SourceDir = t.TempDir(), "-"
	install(t, cfg.Dir, name, "1.0.0")
	tr, err := pluginhost.New(cfg).Start(t.Context(), pluginhost.NodeConfig{
		Node: "n", Pipeline: "p", Ref: name + "@^1", With: with, Lanes: 4,
	})
	if err == nil {
		t.Cleanup(func() {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return tr, err
}

// record returns an input event with the given fields (name, value pairs).
func record(i int, fields ...any) *event.Event {
	root := fmt.Sprintf("m-%d", i)
	ev := &event.Event{
		ID: event.RootID(event.NewIdentity("p", "plant", root), 0), RootID: root, Key: "k", Ingested: int64(1000 + i),
		Source: event.Source{Node: "plant", Queue: "q", MessageID: root},
		Root:   event.Position{Epoch: 1, Ms: 5, Seq: uint64(i)}, Record: &event.Record{},
	}
	for j := 0; j < len(fields); j += 2 {
		var v event.Value
		switch x := fields[j+1].(type) {
		case string:
			v = event.String(x)
		case int:
			v = event.Int(int64(x))
		case float64:
			v = event.Float(x)
		}
		ev.Record.Fields = append(ev.Record.Fields, event.Field{Name: fields[j].(string), Value: v})
	}
	return ev
}

func batch(lane int, events ...*event.Event) *node.Batch {
	return &node.Batch{Lane: lane, Events: events}
}

// within returns a context for a call that should succeed long before.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// until waits for a condition that must come true, however slow the machine is.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// logBuffer gathers what a host logs.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
