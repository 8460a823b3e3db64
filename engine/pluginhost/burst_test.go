package pluginhost

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/credentials"
)

// counted counts the writes to a connection.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// sides are the two configurations of a connection, as after the handshake line.
func sides(t *testing.T) (host, plugin *tls.Config) {
	t.Helper()
	h, err1 := newIdentity()
	p, err2 := newIdentity()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	host, plugin = h.host(), p.host()
	host.RootCAs, plugin.ClientCAs = x509.NewCertPool(), x509.NewCertPool()
	if !host.RootCAs.AppendCertsFromPEM([]byte(p.pem())) || !plugin.ClientCAs.AppendCertsFromPEM([]byte(h.pem())) {
		t.Fatal("no certificates")
	}
	return host, plugin
}

// connect shakes hands over a unix socket and counts what the host writes from then on.
func connect(t *testing.T, host, plugin credentials.TransportCredentials) (h, p net.Conn, writes *atomic.Int64, err error) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err1 := net.Dial("unix", l.Addr().String())
	accepted, err2 := l.Accept()
	if err := errors.Join(err1, err2, l.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = raw.Close(), accepted.Close() })
	writes = new(atomic.Int64)
	theirs := make(chan error, 1)
	go func() {
		var err error
		if p, _, err = plugin.ServerHandshake(accepted); err != nil {
			_ = accepted.Close()
		}
		theirs <- err
	}()
	h, _, err = host.ClientHandshake(context.Background(), serverName, counted{raw, writes})
	if err != nil {
		_ = raw.Close()
	}
	err = errors.Join(err, <-theirs)
	writes.Store(0)
	return h, p, writes, err
}

func TestABurstIsOneWrite(t *testing.T) {
	host, plugin := sides(t)
	whole := bytes.Repeat([]byte("0123456789abcdef"), 12<<10) // 192 KiB: more than one read takes
	for name, c := range map[string]struct {
		host credentials.TransportCredentials
		most int64
	}{
		"burst":      {newBurstTLS(func() *tls.Config { return host }), 1},
		"crypto/tls": {credentials.NewTLS(host), 1 << 20},
	} {
		h, p, writes, err := connect(t, c.host, newBurstTLS(func() *tls.Config { return plugin }))
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() { _, err := h.Write(whole); sent <- err }()
		got := make([]byte, len(whole))
		_, err = io.ReadFull(p, got)
		if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("%s: %v, or other bytes", name, err)
		}
		if n := writes.Load(); n > c.most || c.most > 1 && n == 1 {
			t.Errorf("%s: %d writes", name, n)
		}
	}
}

func TestABurstSaysWhatBecameOfIt(t *testing.T) {
	host, plugin := sides(t)
	h, p, _, err := connect(t, newBurstTLS(func() *tls.Config { return host }), newBurstTLS(func() *tls.Config { return plugin }))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for err == nil { // until the kernel has noticed
		_, err = h.Write(make([]byte, 64<<10))
	}
}

func TestAStrangerIsNotServed(t *testing.T) {
	host, plugin := sides(t)
	stranger, _ := sides(t)
	stranger.RootCAs = host.RootCAs // it knows the plugin, the plugin does not know it
	for name, c := range map[string]struct {
		host    *tls.Config
		trusted bool
	}{"the host": {host, true}, "another": {stranger, false}} {
		h, _, _, err := connect(t, newBurstTLS(func() *tls.Config { return c.host }), newBurstTLS(func() *tls.Config { return plugin }))
		if err == nil {
			_, err = h.Write([]byte("x"))
		}
		if (err == nil) != c.trusted {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, _ := sides(t) // trusts another plugin
	if _, _, _, err := connect(t, newBurstTLS(func() *tls.Config { return other }), newBurstTLS(func() *tls.Config { return plugin })); err == nil {
		t.Error("the host takes any plugin")
	}
}
