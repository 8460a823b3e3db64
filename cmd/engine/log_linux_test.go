package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/runtime"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

// lossPipeline has its log on a real Redis and everything else embedded.
const lossPipeline = `kind: pipeline
version: 1
name: lossy
connections: { q: { amqp: { urls: embedded } }, log: { redis: { url: "${REDIS_URL}" } } }
nodes:
  - { id: a, source: amqp, with: { connection: q, queue: a, identity: message_id } }
  - { id: b, transform: json, inputs: [a] }
  - { id: c, sink: chart, inputs: [b] }
`

// TestAcceptLossOpensATornLog: a log whose meta key is gone is refused until the
// command has been given, and opens under the epoch that the command told.
func TestAcceptLossOpensATornLog(t *testing.T) {
	redis := testserver.Redis(t)
	t.Setenv("REDIS_URL", redis.URL())
	file := filepath.Join(t.TempDir(), "lossy.yaml")
	if err := os.WriteFile(file, []byte(lossPipeline), 0o600); err != nil {
		t.Fatal(err)
	}
	before := openLog(t, file)
	if got := acceptJSON(t, file); got.OldEpoch != strconv.FormatUint(before, 10) || got.NewEpoch <= got.OldEpoch {
		t.Fatalf("accepted %+v; want old epoch %d and a later one", got, before)
	}
	tearLog(t, redis)
	if _, err := tryOpen(t, file); err == nil || !strings.Contains(err.Error(), "engine log accept-loss") {
		t.Fatalf("a torn log opens: %v; want a refusal that names the command", err)
	}
	got := acceptJSON(t, file)
	if epoch := openLog(t, file); got.OldEpoch != "" || strconv.FormatUint(epoch, 10) != got.NewEpoch {
		t.Fatalf("accepted %+v, then the log has epoch %d", got, epoch)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"log", "accept-loss", file}, strings.NewReader("yes\n"), &out, &errs); code != exitOK {
		t.Fatalf("code %d: %s", code, errs.String())
	}
	if want := "loss accepted: pipeline lossy, epoch " + got.NewEpoch + " before, "; !strings.HasPrefix(out.String(), want) {
		t.Errorf("printed %q; want %q", out.String(), want)
	}
}

func acceptJSON(t *testing.T, file string) (l loss) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run([]string{"log", "accept-loss", "--yes", "--json", file}, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Fatalf("code %d: %s", code, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &l); err != nil || !l.OK || l.Pipeline != "lossy" {
		t.Fatalf("%s: %v", out.String(), err)
	}
	return l
}

func openLog(t *testing.T, file string) uint64 {
	t.Helper()
	epoch, err := tryOpen(t, file)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// tryOpen opens the log that file describes and closes it again.
func tryOpen(t *testing.T, file string) (uint64, error) {
	t.Helper()
	p, diags := spec.Load(file, catalog.Builtin(), os.LookupEnv)
	if p == nil {
		t.Fatal(diags)
	}
	log, err := stream.Open(t.Context(), runtime.LogConfig(p, "one", slog.New(slog.DiscardHandler)))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if err := log.EnsureStreams(t.Context(), []string{stream.Journal}); err != nil {
		return 0, err
	}
	return log.Epoch(), log.RegisterReader(t.Context(), "b@live", stream.Journal, false)
}

// tearLog removes the epoch, as a restore of single keys may.
func tearLog(t *testing.T, redis *testserver.RedisServer) {
	t.Helper()
	conn, err := net.Dial("tcp", redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "HDEL mr:{lossy}:meta epoch\r\n"); err != nil {
		t.Fatal(err)
	}
	if reply, err := bufio.NewReader(conn).ReadString('\n'); err != nil || reply != ":1\r\n" {
		t.Fatalf("remove the epoch: %q, %v", reply, err)
	}
}
