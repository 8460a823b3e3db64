package stream_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

// examined is a log on a fresh database, with the test's own way in.
func examined(t *testing.T) (stream.Config, *redis.Client) {
	t.Helper()
	cfg := stream.Config{URL: redisDatabase(t), Pipeline: "seen", EngineID: "one", Lanes: 4, Strict: true}
	o, err := redis.ParseURL(cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return cfg, c
}

func examine(t *testing.T, cfg stream.Config) *stream.Examination {
	t.Helper()
	x, err := stream.Examine(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Examine = %v", err)
	}
	return x
}

// TestExamineChangesNothing: a Redis without the log stays without a key, one with
// it keeps every key.
func TestExamineChangesNothing(t *testing.T) {
	cfg, c := examined(t)
	x := examine(t, cfg)
	if n := c.DBSize(t.Context()).Val(); n != 0 || x.Log != (stream.LogExamination{}) {
		t.Fatalf("%d keys, log %+v; want none", n, x.Log)
	}
	if x.Role != "master" || x.Settings["appendfsync"] != "always" || !strings.HasPrefix(x.Version, "7") && !strings.HasPrefix(x.Version, "8") ||
		x.UsedMemory == 0 || x.MaxBytes == 0 || x.Clock.Abs()-x.ClockError > time.Second {
		t.Errorf("examined %+v", x)
	}
	log := openSeen(t, cfg)
	keys := c.DBSize(t.Context()).Val()
	x = examine(t, cfg)
	if x.Log.Epoch != log.Epoch() || x.Log.Lanes != "4" || x.Log.Streams != 2 || x.Log.Refused != nil {
		t.Errorf("log %+v; want epoch %d, 4 lanes, 2 streams", x.Log, log.Epoch())
	}
	if n := c.DBSize(t.Context()).Val(); n != keys {
		t.Errorf("%d keys, %d before", n, keys)
	}
	if again := openSeen(t, cfg); again.Incarnation() != log.Incarnation()+1 {
		t.Errorf("incarnation %d after %d: an examination counts as a start", again.Incarnation(), log.Incarnation())
	}
}

func openSeen(t *testing.T, cfg stream.Config) *stream.Log {
	t.Helper()
	log, err := stream.Open(t.Context(), cfg)
	if err == nil {
		err = log.EnsureStreams(t.Context(), []string{stream.Journal, "readings"})
	}
	if err == nil {
		err = log.RegisterReader(t.Context(), "rows@live", stream.Journal, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// TestExamineRefuses: what Open would refuse a log for.
func TestExamineRefuses(t *testing.T) {
	cases := []struct {
		name  string
		spoil []any
		want  error
	}{
		{"other lanes", []any{"HSET", "mr:{seen}:meta", "lanes", "8"}, stream.ErrLanes},
		{"another format", []any{"HSET", "mr:{seen}:meta", "format", "99"}, stream.ErrFormat},
		{"no epoch any more", []any{"HDEL", "mr:{seen}:meta", "epoch"}, stream.ErrBehind},
		{"a reader behind the end", []any{"HSET", "mr:{seen}:positions", "rows@live|journal|0", "5-5"}, stream.ErrBehind},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg, client := examined(t)
			openSeen(t, cfg)
			if err := client.Do(t.Context(), c.spoil...).Err(); err != nil {
				t.Fatal(err)
			}
			x := examine(t, cfg)
			if !errors.Is(x.Log.Refused, c.want) {
				t.Errorf("refused for %v; want %v", x.Log.Refused, c.want)
			}
			if log, err := stream.Open(t.Context(), cfg); err == nil {
				log.Close()
				t.Error("Open does not refuse it")
			} else if !errors.Is(err, c.want) {
				t.Errorf("Open refuses it for %v", err)
			}
		})
	}
}

// TestExamineReplica: a replica names its master.
func TestExamineReplica(t *testing.T) {
	master := testserver.SharedRedis(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	replica := testserver.Redis(t, testserver.Conf("replicaof", host+" "+port))
	x := examine(t, stream.Config{URL: replica.URL(), Pipeline: "seen", EngineID: "one", Lanes: 4})
	if x.Role != "slave" || x.Master != master.Addr() {
		t.Errorf("role %s of %s; want slave of %s", x.Role, x.Master, master.Addr())
	}
}

// TestExamineErrors: no answer is Away, a refusal Fatal, and neither holds the
// password.
func TestExamineErrors(t *testing.T) {
	there := testserver.SharedRedis(t).Addr()
	for u, want := range map[string]node.Class{
		"redis://:hidden-word@127.0.0.1:1/0":         node.Away,
		"redis://nobody:hidden-word@" + there + "/0": node.Fatal,
		"http://user:hidden-word@127.0.0.1:1":        node.Fatal,
	} {
		_, err := stream.Examine(t.Context(), stream.Config{URL: u, Pipeline: "seen", EngineID: "one", Lanes: 4})
		if err == nil || node.ClassOf(err) != want || strings.Contains(err.Error(), "hidden-word") {
			t.Errorf("Examine = %v (%s); want %s and no password", err, node.ClassOf(err), want)
		}
		if _, err = stream.Reach(t.Context(), u); err == nil || node.ClassOf(err) != want || strings.Contains(err.Error(), "hidden-word") {
			t.Errorf("Reach = %v (%s); want %s and no password", err, node.ClassOf(err), want)
		}
	}
	if x, err := stream.Reach(t.Context(), "redis://"+there+"/0"); err != nil || x.Role != "master" || x.Address != there {
		t.Errorf("Reach = %+v, %v", x, err)
	}
}
