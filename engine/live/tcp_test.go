package live_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// dial asks for the stream over a connection of its own and returns it behind the
// request. A small receive buffer lets a reader that stalls be noticed soon.
func dial(t testing.TB, server *httptest.Server, query string, small bool) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if small {
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write([]byte("GET /api/v1/live?" + query + " HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	return c
}

// readFrames calls got with the data of every frame until the connection ends.
func readFrames(c net.Conn, got func(data string)) {
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), `data: {"series":`)
		if ok && strings.HasSuffix(data, "]}]}") { // the last line may be cut
			got(data)
		}
	}
}

// TestStalledReadersOverTCP lets readers stop while another reads: that one gets
// every point, the stalled ones are cut off after the write timeout. The control
// gives them no timeout in reach, and there they stay.
func TestStalledReadersOverTCP(t *testing.T) {
	const stalled = 20
	for _, c := range []struct {
		name    string
		timeout time.Duration
		cut     bool
	}{{"with the write timeout", 3 * time.Second, true}, {"control: without", time.Hour, false}} {
		t.Run(c.name, func(t *testing.T) {
			const total = 400_000 // more than 8 MB of JSON, more than sockets hold
			log := livetest.NewLog(1, 1)
			hub, stop := start(t, config(t, log, func(cfg *live.Config) {
				cfg.WriteTimeout, cfg.Recent = c.timeout, 2*total // whoever reads may fall behind on a busy machine
			}))
			server := httptest.NewServer(hub)
			defer server.Close()
			defer stop()
			var conns []net.Conn
			for range stalled {
				conns = append(conns, dial(t, server, "", true))
			}
			control := dial(t, server, "from=latest", false)
			points := make(chan int, 1)
			go func() {
				n := 0
				readFrames(control, func(data string) {
					n += strings.Count(data[strings.Index(data, `"v":[`):], ",") + 1
					select {
					case <-points:
					default:
					}
					points <- n
				})
			}()
			eventually(t, "all viewers are there", func() bool { return hub.Stats().Clients == stalled+1 })
			for n := 0; n < total; n += 1000 {
				log.Append(readings, 0, thousand(n)...)
				wait(t.Context(), time.Millisecond)
			}
			eventually(t, "the reader has every point", func() bool { return <-points == total })
			if c.cut {
				eventually(t, "the stalled are cut off", func() bool { return hub.Stats().CutOff == stalled })
			} else if s := hub.Stats(); s.CutOff != 0 || s.Clients != stalled+1 {
				t.Errorf("without a timeout %d were cut off and %d stayed", s.CutOff, s.Clients)
			}
			for _, conn := range conns {
				_ = conn.Close()
			}
		})
	}
}

// eventually waits until something holds, for up to a minute.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("within a minute it did not come true that %s", what)
		}
		wait(ctx, 5*time.Millisecond)
	}
}

// BenchmarkLatency measures how long an event takes from its append to the frame
// at a viewer over TCP, at 1,000 events a second in frames of one.
func BenchmarkLatency(b *testing.B) {
	log := livetest.NewLog(1, 4)
	hub, stop := start(b, config(b, log))
	server := httptest.NewServer(hub)
	defer server.Close()
	defer stop()
	var took []time.Duration
	done := make(chan struct{})
	conn := dial(b, server, "from=latest", false)
	go func() {
		defer close(done)
		readFrames(conn, func(data string) {
			now := time.Now()
			values := data[strings.Index(data, `"v":[`)+5:]
			for v := range strings.SplitSeq(values[:strings.IndexByte(values, ']')], ",") {
				sent, err := strconv.ParseFloat(v, 64)
				if err != nil {
					b.Error(err)
					return
				}
				took = append(took, now.Sub(time.UnixMicro(int64(sent))))
			}
		})
	}()
	eventually(b, "the viewer is there", func() bool { return hub.Stats().Clients == 1 })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		log.Append(readings, i%4, reading("a", float64(time.Now().UnixMicro())))
	}
	eventually(b, "all is read", func() bool { return hub.Stats().Points == uint64(b.N) })
	wait(b.Context(), 100*time.Millisecond)
	_ = conn.Close()
	<-done
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func thousand(from int) []*event.Event {
	out := make([]*event.Event, 1000)
	for i := range out {
		out[i] = reading("a", float64(from+i))
	}
	return out
}
