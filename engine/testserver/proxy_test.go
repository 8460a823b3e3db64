package testserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// client is an open connection to a Redis behind a link.
type client struct {
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn, bufio.NewReader(conn)}
}

// ping waits up to limit for the answer.
func (c *client) ping(limit time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(c, "PING\r\n"); err != nil {
		return err
	}
	_, err := c.r.ReadString('\n')
	return err
}

func TestProxyCutSilencesAndRestoreHeals(t *testing.T) {
	link := testserver.Proxy(t, testserver.SharedRedis(t).Addr())
	c := connect(t, link.Addr())
	if err := c.ping(10 * time.Second); err != nil {
		t.Fatalf("through a sound link: %v", err)
	}
	link.Cut()
	err := c.ping(100 * time.Millisecond)
	if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
		t.Fatalf("through a cut link: %v, want a timeout", err)
	}
	link.Restore()
	if err := connect(t, link.Addr()).ping(10 * time.Second); err != nil {
		t.Fatalf("after Restore: %v", err)
	}
}

func TestProxyDownRefusesAndDropClosesOnly(t *testing.T) {
	link := testserver.Proxy(t, testserver.SharedRedis(t).Addr())
	c := connect(t, link.Addr())
	if err := c.ping(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	link.Drop()
	if err := c.ping(10 * time.Second); err == nil {
		t.Fatal("a dropped connection still answers")
	}
	if err := connect(t, link.Addr()).ping(10 * time.Second); err != nil {
		t.Fatalf("after Drop: %v", err)
	}
	link.Down()
	if conn, err := net.Dial("tcp", link.Addr()); err == nil {
		conn.Close()
		t.Fatal("a link that is down accepted a connection")
	}
	link.Up()
	if err := connect(t, link.Addr()).ping(10 * time.Second); err != nil {
		t.Fatalf("after Up: %v", err)
	}
}

func TestProxyLatencyDelaysBothWays(t *testing.T) {
	link := testserver.Proxy(t, testserver.SharedRedis(t).Addr())
	link.Latency(500 * time.Millisecond)
	link.Latency(30 * time.Millisecond) // replaces, does not add
	c := connect(t, link.Addr())
	start := time.Now()
	if err := c.ping(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Fatalf("a round trip took %s, want at least twice 30ms", took)
	}
}

func TestMosquittoGreetsAClient(t *testing.T) {
	s := testserver.Mosquitto(t)
	greetMQTT(t, s.Addr())
	pid := s.PID()
	s.Kill()
	wantGone(t, []int{pid})
}

// greetMQTT connects as an MQTT 3.1.1 client "a" and wants to be accepted.
func greetMQTT(t *testing.T, addr string) {
	t.Helper()
	conn := connect(t, addr)
	if _, err := conn.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a")); err != nil {
		t.Fatal(err)
	}
	ack := make([]byte, 4)
	if _, err := io.ReadFull(conn.r, ack); err != nil || string(ack) != "\x20\x02\x00\x00" {
		t.Fatalf("CONNACK = %x, %v; want 20020000", ack, err)
	}
}
