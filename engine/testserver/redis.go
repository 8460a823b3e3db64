package testserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// redisDatabases is how many numbered databases a test Redis has; a shared one
// hands them out one by one.
const redisDatabases = 1024

// RedisServer is a private Redis. Its methods may be called from any
// goroutine.
type RedisServer struct {
	server
	nextDB atomic.Int64
}

// Redis starts a Redis that keeps every write (appendonly yes, appendfsync
// always, noeviction, no snapshots) unless opts say otherwise, and ends it with
// the test.
func Redis(t testing.TB, opts ...RedisOption) *RedisServer {
	t.Helper()
	s := &RedisServer{}
	program := Require(t, "redis-server")
	s.adopt(t, s.open(program, opts))
	return s
}

func (s *RedisServer) open(program string, opts []Option) error {
	if err := s.prepare("redis", 1); err != nil {
		return err
	}
	o := collect([]setting{
		{"bind", "127.0.0.1"},
		{"port", s.ports[0].String()},
		{"protected-mode", "yes"},
		{"daemonize", "no"},
		{"dir", s.Dir},
		{"databases", fmt.Sprint(redisDatabases)},
		{"save", `""`},
		{"appendonly", "yes"},
		{"appendfsync", "always"},
		{"maxmemory-policy", "noeviction"},
	}, opts)
	if o.data != "" {
		Conf("dir", o.data)(&o)
	}
	conf := filepath.Join(s.Dir, "redis.conf")
	if err := os.WriteFile(conf, lines(o.conf, " "), 0o600); err != nil {
		return err
	}
	s.env = o.env
	s.command = func() *exec.Cmd { return exec.Command(program, conf) }
	s.ready = func(ctx context.Context) error {
		_, err := s.do(ctx, "PING")
		return err
	}
	return s.start()
}

// lines renders settings one a line, key and value parted by sep.
func lines(conf []setting, sep string) []byte {
	var b strings.Builder
	for _, c := range conf {
		b.WriteString(c.key + sep + c.value + "\n")
	}
	return []byte(b.String())
}

// Addr is host:port.
func (s *RedisServer) Addr() string { return s.ports[0].addr() }

// URL is redis://host:port/0.
func (s *RedisServer) URL() string { return "redis://" + s.Addr() + "/0" }

// Database returns the URL of a numbered database that no other call has got,
// 1 to 1023, then it fails the test. Redis keeps no database apart in INFO,
// memory limits or scripts.
func (s *RedisServer) Database(t testing.TB) string {
	t.Helper()
	n := s.nextDB.Add(1)
	if n >= redisDatabases {
		t.Fatalf("redis: all %d databases are given away", redisDatabases)
	}
	return fmt.Sprintf("redis://%s/%d", s.Addr(), n)
}

// do sends one inline command and returns the first line of the reply.
func (s *RedisServer) do(ctx context.Context, command string) (string, error) {
	conn, err := dial(ctx, s.Addr())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(reply, "-") { // -LOADING while it reads its file
		return "", fmt.Errorf("redis answered %q", strings.TrimSpace(reply))
	}
	return strings.TrimSpace(reply), nil
}

// dial connects with a deadline of five seconds on all that follows.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(5 * time.Second))
}
