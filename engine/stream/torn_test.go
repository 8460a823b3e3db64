package stream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
