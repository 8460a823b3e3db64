package testserver

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// MosquittoServer is a private MQTT broker. Its methods may be called from any
// goroutine.
type MosquittoServer struct{ server }

// Mosquitto starts an MQTT broker (3.1.1 and 5) that lets everybody in and
// keeps sessions across a restart, and ends it with the test.
func Mosquitto(t testing.TB, opts ...Option) *MosquittoServer {
	t.Helper()
	s := &MosquittoServer{}
	program := Require(t, "mosquitto")
	s.adopt(t, s.open(program, opts))
	return s
}

func (s *MosquittoServer) open(program string, opts []Option) error {
	if err := s.prepare("mosquitto", 1); err != nil {
		return err
	}
	conf := collect(append(mosquittoUser(), []setting{
		{"listener", s.ports[0].String() + " 127.0.0.1"},
		{"allow_anonymous", "true"},
		{"persistence", "true"},
		{"persistence_location", s.Dir + "/"},
		{"log_dest", "stdout"},
	}...), opts).conf
	path := filepath.Join(s.Dir, "mosquitto.conf")
	if err := os.WriteFile(path, lines(conf, " "), 0o600); err != nil {
		return err
	}
	s.command = func() *exec.Cmd { return exec.Command(program, "-c", path) }
	s.ready = s.ping
	return s.start()
}

// mosquittoUser keeps the broker from changing to a user that cannot read the
// test's folder when it is started by root.
func mosquittoUser() []setting {
	if os.Getuid() == 0 {
		return []setting{{"user", "root"}}
	}
	return nil
}

// Addr is host:port.
func (s *MosquittoServer) Addr() string { return s.ports[0].addr() }

// ping opens and closes a TCP connection: the broker listens once it is ready.
func (s *MosquittoServer) ping(ctx context.Context) error {
	conn, err := dial(ctx, s.Addr())
	if err != nil {
		return err
	}
	return conn.Close()
}
