package pluginhost

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// burstBuffer is how much a connection reads at once, in bytes.
const burstBuffer = 128 << 10

// newBurstTLS returns gRPC's TLS with fewer calls of the kernel: crypto/tls writes and
// reads each record of 16 KiB by a call of its own, each of which may wake the other
// process. Here all records of one write go out together, and a read takes as many as
// have come. config is asked at each handshake, and is not changed.
func newBurstTLS(config func() *tls.Config) credentials.TransportCredentials { return burstTLS{config} }

type burstTLS struct{ config func() *tls.Config }

func (b burstTLS) within() credentials.TransportCredentials { return credentials.NewTLS(b.config()) }

// ClientHandshake and ServerHandshake put TLS over a connection that gathers.
func (b burstTLS) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	below := newBurstConn(raw)
	conn, info, err := b.within().ClientHandshake(ctx, authority, below)
	return below.over(conn), info, err
}

func (b burstTLS) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	below := newBurstConn(raw)
	conn, info, err := b.within().ServerHandshake(below)
	return below.over(conn), info, err
}

func (b burstTLS) Info() credentials.ProtocolInfo { return b.within().Info() }

func (b burstTLS) Clone() credentials.TransportCredentials { return b }

// OverrideServerName is obsolete and not asked for: the name is in the configuration.
func (b burstTLS) OverrideServerName(string) error { return nil }

// burstConn is what is below TLS: it gathers what is written between hold and flush.
type burstConn struct {
	net.Conn
	in *bufio.Reader

	mu   sync.Mutex
	held bool   // guarded by mu
	out  []byte // guarded by mu: written and not sent
}

func newBurstConn(raw net.Conn) *burstConn {
	return &burstConn{Conn: raw, in: bufio.NewReaderSize(raw, burstBuffer)}
}

// over returns conn, which stands over c, with writes in one piece; nil for nil.
func (c *burstConn) over(conn net.Conn) net.Conn {
	if conn == nil {
		return nil
	}
	return &burstWriter{conn, c}
}

func (c *burstConn) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *burstConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		c.out = append(c.out, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *burstConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

func (c *burstConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(c.out)
	c.held, c.out = false, c.out[:0]
	return err
}

// burstWriter is a TLS connection over a burstConn. Write is called from one goroutine
// at a time, as gRPC does.
type burstWriter struct {
	net.Conn
	below *burstConn
}

// Write sends p, as many records as it may take, in one piece.
func (w *burstWriter) Write(p []byte) (int, error) {
	w.below.hold()
	n, err := w.Conn.Write(p)
	if flushed := w.below.flush(); err == nil && flushed != nil {
		return 0, flushed
	}
	return n, err
}
