package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

const limit = 30 * time.Second

// engine is a running log with a source's and a sink's lease.
type engine struct {
	*stream.Log
	t            testing.TB
	source, sink *stream.Lease
	fatal        chan error
}

func openLog(t testing.TB, url string, change func(*stream.Config)) (*stream.Log, chan error, error) {
	t.Helper()
	fatal := make(chan error, 1)
	cfg := stream.Config{
		URL: url, Pipeline: "fault", EngineID: "one", Lanes: 1, Strict: true, LeaseTTL: time.Second,
		OnFatal: func(err error) { fatal <- err },
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	l, err := stream.Open(ctx, cfg)
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, fatal, err
}

func startEngine(t testing.TB, url string, change func(*stream.Config)) *engine {
	t.Helper()
	l, fatal, err := openLog(t, url, change)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{Log: l, t: t, fatal: fatal}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx) // what stops it is heard through OnFatal
	}()
	t.Cleanup(func() { cancel(); <-done })
	e.must(l.EnsureStreams(ctx, []string{stream.Journal, "out"}))
	e.must(l.RegisterReader(ctx, "rows@live", stream.Journal, false))
	e.source, err = l.Acquire(ctx, "source:a")
	e.must(err)
	e.sink, err = l.Acquire(ctx, "sink:rows")
	e.must(err)
	return e
}

// reconfigure replaces a text in the configuration with which s is started next.
func (e *engine) reconfigure(s *testserver.RedisServer, before, after string) {
	e.t.Helper()
	conf := filepath.Join(s.Dir, "redis.conf")
	text, err := os.ReadFile(conf)
	e.must(err)
	e.must(os.WriteFile(conf, bytes.Replace(text, []byte(before), []byte(after), 1), 0o600))
}

func (e *engine) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// append tries until the frame is stored, as ingest does.
func (e *engine) append(name string) event.Position {
	e.t.Helper()
	f := event.Frame{Events: []*event.Event{{RootID: name, Payload: []byte(name)}}}
	b, err := f.Encode(nil, event.None)
	e.must(err)
	var at event.Position
	testserver.Eventually(e.t, limit, "append of "+name, func() error {
		at, err = e.Append(e.t.Context(), e.source, stream.AppendRequest{Stream: stream.Journal, Frame: b, Events: 1})
		if node.ClassOf(err) == node.Fatal {
			e.t.Fatal(err)
		}
		return err
	})
	return at
}

func (e *engine) names() []string {
	e.t.Helper()
	entries, err := e.ReadFrames(e.t.Context(), stream.Journal, 0, event.Position{}, 100000, 0)
	e.must(err)
	var names []string
	for _, entry := range entries {
		f, err := event.DecodeFrame(entry.Frame)
		e.must(err)
		names = append(names, f.Events[0].RootID)
	}
	return names
}

func (e *engine) wantFatal(target error) {
	e.t.Helper()
	select {
	case err := <-e.fatal:
		if !errors.Is(err, target) {
			e.t.Fatalf("OnFatal heard %v; want %v", err, target)
		}
	case <-time.After(limit):
		e.t.Fatalf("OnFatal heard nothing; want %v", target)
	}
}

func TestFaultStrictWantsProof(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []testserver.RedisOption
		want string // "" is accepted
	}{
		{"a durable server (control)", nil, ""},
		{"everysec", []testserver.RedisOption{testserver.AppendFsync("everysec")}, `appendfsync is "everysec"`},
		{"no append-only file", []testserver.RedisOption{testserver.Conf("appendonly", "no")}, `appendonly is "no"`},
		{"an evicting server", []testserver.RedisOption{testserver.Conf("maxmemory-policy", "allkeys-lru")}, `maxmemory-policy is "allkeys-lru"`},
		{"CONFIG forbidden", []testserver.RedisOption{testserver.Conf("rename-command", `CONFIG ""`)}, "CONFIG GET is refused"},
		{"a replica", []testserver.RedisOption{testserver.Conf("replicaof", "127.0.0.1 1")}, `role is "slave"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := testserver.Redis(t, c.opts...).URL()
			_, _, err := openLog(t, url, nil)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (!errors.Is(err, stream.ErrDurability) || node.ClassOf(err) != node.Fatal || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("strict log: %v; want ErrDurability that says %q", err, c.want)
			}
			if c.name == "a replica" {
				return // takes no writes whatever the durability
			}
			if _, _, err := openLog(t, url, func(cfg *stream.Config) { cfg.Strict = false }); err != nil {
				t.Fatalf("best effort: %v; want it accepted", err)
			}
		})
	}
	if _, _, err := openLog(t, embeddedDatabase(t), nil); !errors.Is(err, stream.ErrDurability) {
		t.Fatalf("strict embedded log: %v; want ErrDurability", err)
	}
}

func rawClient(t testing.TB, s *testserver.RedisServer) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestFaultSettingsLostWhileRunning(t *testing.T) {
	s := testserver.Redis(t)
	e := startEngine(t, s.URL(), nil)
	e.append("a")
	e.must(rawClient(t, s).ConfigSet(t.Context(), "appendfsync", "everysec").Err())
	e.wantFatal(stream.ErrDurability)
}

// TestFaultRestartWithOtherSettings shows that not one append goes through to a
// server that came back without its promise.
func TestFaultRestartWithOtherSettings(t *testing.T) {
	s := testserver.Redis(t)
	e := startEngine(t, s.URL(), func(c *stream.Config) { c.LeaseTTL = time.Hour }) // background work stays out of it
	e.append("a")
	s.Kill()
	e.reconfigure(s, "appendfsync always", "appendfsync everysec")
	s.Start()
	f := event.Frame{Events: []*event.Event{{RootID: "b"}}}
	b, err := f.Encode(nil, event.None)
	e.must(err)
	testserver.Eventually(t, limit, "a fatal error", func() error {
		at, err := e.Append(t.Context(), e.source, stream.AppendRequest{Stream: stream.Journal, Frame: b, Events: 1})
		if err == nil {
			t.Fatalf("append was stored at %s by a server that does not keep it", at)
		}
		if !errors.Is(err, stream.ErrDurability) {
			return err
		}
		return nil
	})
	e.wantFatal(stream.ErrDurability)
}

func TestFaultRestartsKeepEverything(t *testing.T) {
	s := testserver.Redis(t)
	e := startEngine(t, s.URL(), nil)
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint(i))
		e.append(want[i])
		if i%5 == 2 {
			s.Kill()
			s.Start()
		}
	}
	if got := e.names(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("journal holds %v; want %v", got, want)
	}
	select {
	case err := <-e.fatal:
		t.Fatal(err)
	default:
	}
}

// TestFaultLeasesOutliveTheServer keeps Redis away for longer than the leases.
func TestFaultLeasesOutliveTheServer(t *testing.T) {
	s := testserver.Redis(t)
	e := startEngine(t, s.URL(), func(c *stream.Config) { c.LeaseTTL = 200 * time.Millisecond })
	e.append("a")
	s.Pause()
	time.AfterFunc(time.Second, s.Resume)
	e.append("b")
	select {
	case <-e.source.Lost():
		t.Fatal("the lease was lost although nobody took it")
	default:
	}
}

func copyData(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
}

func TestFaultOlderCopyRestored(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		t.Run(fmt.Sprintf("quiet=%v", quiet), func(t *testing.T) {
			s := testserver.Redis(t)
			e := startEngine(t, s.URL(), nil)
			e.append("a")
			data, old := filepath.Join(s.Dir, "appendonlydir"), filepath.Join(t.TempDir(), "old")
			s.Stop()
			copyData(t, data, old)
			s.Start()
			e.append("b")
			s.Stop()
			copyData(t, old, data)
			s.Start()
			if !quiet {
				_, err := e.Append(t.Context(), e.source, stream.AppendRequest{Stream: stream.Journal, Frame: []byte("c"), Events: 1})
				for node.ClassOf(err) == node.Away {
					_, err = e.Append(t.Context(), e.source, stream.AppendRequest{Stream: stream.Journal, Frame: []byte("c"), Events: 1})
				}
				if err == nil {
					t.Fatal("an append to an older copy was taken")
				}
			}
			e.wantFatal(stream.ErrBehind)
		})
	}
}

func TestFaultOpenWaitsForRedis(t *testing.T) {
	s := testserver.Redis(t)
	url := s.URL()
	s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg := stream.Config{URL: url, Pipeline: "fault", EngineID: "one", Lanes: 1, Strict: true}
	if _, err := stream.Open(ctx, cfg); node.ClassOf(err) != node.Away {
		t.Fatalf("open without a server: %v; want an away error", err)
	}
	opened := make(chan error, 1)
	go func() {
		l, err := stream.Open(t.Context(), cfg)
		if err == nil {
			err = l.Close()
		}
		opened <- err
	}()
	s.Start()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

// TestFaultUnitsSurviveRestarts commits units with outputs while Redis is killed
// again and again: each input has exactly one output, in order.
func TestFaultUnitsSurviveRestarts(t *testing.T) {
	s := testserver.Redis(t)
	e := startEngine(t, s.URL(), nil)
	const total = 200
	for i := range total {
		e.append(fmt.Sprint(i))
	}
	sub, err := stream.NewLaneSubscriber(stream.SubscriberConfig{
		Log: e.Log, Lease: e.sink, Reader: "rows@live", Stream: stream.Journal, MaxEvents: 3,
		OnStop: func(err error) { t.Error(err) },
	})
	e.must(err)
	defer sub.Close()
	in, err := sub.Subscribe(t.Context(), stream.TopicOf(stream.Journal, 0))
	e.must(err)
	for n, units := 0, 0; n < total; units++ {
		msg := <-in
		d, _ := stream.DeliveryFrom(msg)
		f := event.Frame{Events: d.Unit.Events}
		b, err := f.Encode(nil, event.None)
		e.must(err)
		d.Stage(stream.Effects{Outputs: []stream.Output{{Stream: "out", Frame: b, Events: len(d.Unit.Events)}}})
		n += len(d.Unit.Events)
		if units%10 == 5 {
			go msg.Ack() // the commit meets a server that is going away
			s.Kill()
			s.Start()
		} else {
			msg.Ack()
		}
		<-msg.Context().Done()
	}
	entries, err := e.ReadFrames(t.Context(), "out", 0, event.Position{}, total, 0)
	e.must(err)
	next := 0
	for _, entry := range entries {
		f, err := event.DecodeFrame(entry.Frame)
		e.must(err)
		for _, ev := range f.Events {
			if ev.RootID != fmt.Sprint(next) {
				t.Fatalf("output %d is of input %s", next, ev.RootID)
			}
			next++
		}
	}
	if next != total {
		t.Fatalf("%d outputs; want %d", next, total)
	}
}

// TestFaultOutOfMemory works on a Redis that is above its maxmemory. Ingest stops;
// what drains the log goes on, also after a restart, and frees it.
func TestFaultOutOfMemory(t *testing.T) {
	s := testserver.Redis(t)
	small := func(c *stream.Config) {
		c.Retention, c.RetentionBytes, c.Resume = time.Nanosecond, 1, time.Nanosecond
		c.MaxBytes = 30 << 20
	}
	e := startEngine(t, s.URL(), small)
	ctx := t.Context()
	big := make([]byte, 256<<10)
	var last event.Position
	for range 40 {
		at, err := e.Append(ctx, e.source, stream.AppendRequest{Stream: stream.Journal, Frame: big, Events: 1})
		e.must(err)
		last = at
	}
	raw := rawClient(t, s)
	e.must(raw.ConfigSet(ctx, "maxmemory", "8mb").Err()) // as if others had filled it
	if err := raw.HSet(ctx, "control", "a", 1).Err(); err == nil {
		t.Fatal("redis still takes writes; the test shows nothing")
	}
	_, err := e.Append(ctx, e.source, stream.AppendRequest{Stream: stream.Journal, Frame: big, Events: 1})
	if !errors.Is(err, stream.ErrFull) {
		t.Fatalf("append out of memory: %v; want ErrFull", err)
	}
	out := stream.Commit{Reader: "rows@live", Stream: stream.Journal, Last: last}
	out.Effects.Outputs = []stream.Output{{Stream: "out", Frame: big, Events: 1}}
	if answer, err := e.Commit(ctx, e.sink, out); answer != stream.Full || !errors.Is(err, stream.ErrFull) {
		t.Fatalf("commit that appends, out of memory: %s, %v; want full", answer, err)
	}
	e.must(e.StoreDeadLetters(ctx, e.sink, []stream.DeadLetter{{Raw: []byte("x"), Node: "n", Generation: "live"}}))
	next := startEngine(t, s.URL(), small) // a restarted engine, which takes the leases
	if answer, err := next.Commit(ctx, next.sink, stream.Commit{Reader: "rows@live", Stream: stream.Journal, Last: last}); answer != stream.OK {
		t.Fatalf("sink's commit out of memory: %s, %v; want ok", answer, err)
	}
	e.must(next.Trim(ctx))
	if n := raw.XLen(ctx, "mr:{fault}:stream:journal:0").Val(); n > 2 {
		t.Fatalf("%d frames are left after trimming out of memory", n)
	}
	next.append("afterwards")
}
