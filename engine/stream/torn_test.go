package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

// tornOff is a log whose Redis was killed in the middle of a write, came back, took
// more, and was started once more.
func tornOff(t *testing.T, opts ...testserver.RedisOption) *engine {
	t.Helper()
	s := testserver.Redis(t, opts...)
	e := startEngine(t, s.URL(), nil)
	e.append("a")
	rest := tornAppend(t, s)
	s.Kill()
	writeBehind(t, s, rest)
	s.Start()
	e.append("b")
	s.Kill()
	s.Start()
	return e
}

// tornAppend is what Redis writes of a transaction that appends to the journal, cut
// off inside of its second command.
func tornAppend(t *testing.T, s *testserver.RedisServer) string {
	t.Helper()
	c := rawClient(t, s)
	keys, err := c.Keys(t.Context(), "*"+stream.Journal+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if kind, _ := c.Type(t.Context(), key).Result(); kind != "stream" {
			continue
		}
		last, err := c.XRevRangeN(t.Context(), key, "+", "-", 1).Result()
		if err != nil || len(last) != 1 {
			t.Fatal(last, err)
		}
		ms, seq, _ := strings.Cut(last[0].ID, "-")
		n, _ := strconv.Atoi(seq)
		add := []string{"XADD", key, fmt.Sprintf("%s-%d", ms, n+1)}
		for _, name := range []string{"f", "n", "c", "e"} {
			add = append(add, name, last[0].Values[name].(string))
		}
		return command("MULTI") + command(add...) + "*4\r\n$4\r\nHSET\r\n$7\r\nmi"
	}
	t.Fatalf("no stream among %v", keys)
	return ""
}

// command is how Redis writes a command into its file
// (https://redis.io/docs/latest/develop/reference/protocol-spec/).
func command(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

func writeBehind(t *testing.T, s *testserver.RedisServer, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestFaultTornTransactionIsGone: of a transaction whose end was not written, Redis
// takes nothing when it comes back, but leaves the beginning in its file. Behind it
// stands what came later, and a second start would take both.
func TestFaultTornTransactionIsGone(t *testing.T) {
	e := tornOff(t)
	e.append("c")
	if got := strings.Join(e.names(), " "); got != "a b c" {
		t.Errorf("journal holds %q", got)
	}
	select {
	case err := <-e.fatal:
		t.Error(err)
	default:
	}
}

// TestFaultControlTornTransactionComesBack: where Redis may not be told to write its
// file anew, the second start brings the beginning back. The log notices and stops.
func TestFaultControlTornTransactionComesBack(t *testing.T) {
	tornOff(t, testserver.Conf("rename-command", `BGREWRITEAOF ""`)).wantFatal(stream.ErrBehind)
}

// TestFaultRewriteRefusedIsForgottenAtTheNextStart: that Redis would not write its file
// anew before says nothing of the Redis that is started after it.
func TestFaultRewriteRefusedIsForgottenAtTheNextStart(t *testing.T) {
	s := testserver.Redis(t, testserver.Conf("rename-command", `BGREWRITEAOF ""`))
	e := startEngine(t, s.URL(), nil)
	e.append("a")
	s.Kill()
	e.reconfigure(s, "rename-command", "# rename-command")
	s.Start()
	e.append("b")
	info, err := rawClient(t, s).Info(t.Context(), "persistence").Result()
	e.must(err)
	if !strings.Contains(info, "aof_rewrites:1\r\n") {
		t.Errorf("the file was not written anew after the second start: %s", info)
	}
}

// TestFaultConnectionsShareOneRewrite: of connections made at once, one has the file
// written anew and all wait for it, whichever of them Redis refused.
func TestFaultConnectionsShareOneRewrite(t *testing.T) {
	s := testserver.Redis(t)
	c := rawClient(t, s)
	for n := range 100 {
		if err := c.Set(t.Context(), fmt.Sprint("k", n), n, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.ConfigSet(t.Context(), "rdb-key-save-delay", "10000").Err(); err != nil { // a second for all
		t.Fatal(err)
	}
	said := openAtOnce(t, s, 24)
	if strings.Contains(said, "anew") {
		t.Errorf("a connection took another's rewrite for a refusal: %s", said)
	}
	info, err := c.Info(t.Context(), "persistence").Result()
	if err != nil || !strings.Contains(info, "aof_rewrites:1\r\n") || !strings.Contains(info, "aof_rewrite_in_progress:0\r\n") {
		t.Errorf("the file was not written anew once, and waited for: %v %s", err, info)
	}
}

// openAtOnce opens logs whose first connections begin at the same moment, and returns
// what the logs wrote.
func openAtOnce(t *testing.T, s *testserver.RedisServer, logs int) string {
	t.Helper()
	var said lockedBuffer
	var connected, opened sync.WaitGroup
	connected.Add(logs)
	for n := range logs {
		var first sync.Once
		opened.Go(func() {
			_, _, err := openLog(t, s.URL(), func(cfg *stream.Config) {
				cfg.Pipeline = fmt.Sprint("p", n)
				cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
				cfg.Dial = func(ctx context.Context) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
					first.Do(func() { connected.Done(); connected.Wait() })
					return conn, err
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	opened.Wait()
	return said.String()
}

// lockedBuffer may be written to from many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
