package testserver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is a TCP proxy before one server whose line can be disturbed. Its
// methods may be called from any goroutine of the test.
type Link struct {
	t     testing.TB
	port  *port
	proxy *toxiproxy.Proxy
}

// Proxy starts a proxy on a loopback port of its own that forwards to
// upstream (host:port), and ends it with the test.
func Proxy(t testing.TB, upstream string) *Link {
	t.Helper()
	p, err := takePort()
	if err != nil {
		t.Fatalf("proxy: %v", err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Link{t, p, toxiproxy.NewProxy(server, "link", p.addr(), upstream)}
	t.Cleanup(func() {
		l.Restore() // a silenced link would keep its goroutines
		l.proxy.Stop()
		p.release()
	})
	l.Up()
	return l
}

// Addr is the proxy's host:port; it stays the same for the whole test.
func (l *Link) Addr() string { return l.port.addr() }

// Down closes every connection and refuses new ones until Up.
func (l *Link) Down() { l.proxy.Stop() }

// Up accepts connections again after Down.
func (l *Link) Up() {
	l.t.Helper()
	if err := l.proxy.Start(); err != nil {
		l.t.Errorf("proxy: up: %v", err)
	}
}

// Drop closes every connection; new ones are served at once.
func (l *Link) Drop() {
	l.t.Helper()
	l.Down()
	l.Up()
}

// Cut silences the line in both directions: connections stay open, or are
// opened, and carry nothing, as behind a firewall that has lost its table.
func (l *Link) Cut() {
	l.t.Helper()
	l.add("cut_up", "upstream", "timeout", `"timeout":0`)
	l.add("cut_down", "downstream", "timeout", `"timeout":0`)
}

// Restore ends Cut and Latency. Connections that were cut are closed: what
// they carried is lost.
func (l *Link) Restore() { l.proxy.Toxics.ResetToxics(context.Background()) }

// Latency delays all data by d in each direction, to the millisecond, until
// Restore or the next Latency. Set it before data flows: toxiproxy may hang when it
// is changed or restored on a line under load.
func (l *Link) Latency(d time.Duration) {
	l.t.Helper()
	for _, dir := range []string{"upstream", "downstream"} {
		name := "late_" + dir
		if l.proxy.Toxics.GetToxic(name) != nil {
			if err := l.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
				l.t.Errorf("proxy: latency: %v", err)
			}
		}
		l.add(name, dir, "latency", fmt.Sprintf(`"latency":%d`, d.Milliseconds()))
	}
}

func (l *Link) add(name, stream, kind, attributes string) {
	l.t.Helper()
	toxic := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":{%s}}`, name, kind, stream, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		l.t.Errorf("proxy: %s: %v", name, err)
	}
}
