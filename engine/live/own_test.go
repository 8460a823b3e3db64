package live_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
)

// listen asks for a stream over TCP and returns its answer, which ends with the test.
func listen(t *testing.T, server *httptest.Server, query string) *http.Response {
	t.Helper()
	answer, err := http.Get(server.URL + "/api/v1/live?" + query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// until reads events until one has the name, and returns its data.
func until(t *testing.T, lines *bufio.Scanner, name string) string {
	t.Helper()
	for lines.Scan() {
		if lines.Text() == "event: "+name {
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					return data
				}
			}
		}
	}
	t.Fatalf("the stream ended before %q", name)
	return ""
}

// TestConnectionOfItsOwn: a viewer over TCP, whose connection the hub has taken from the
// HTTP server, gets that server's headers, history, frames, pings and the bye, on the
// connection that it has from one hub to the next.
func TestConnectionOfItsOwn(t *testing.T) {
	log := livetest.NewLog(1, 1)
	log.Append(readings, 0, reading("a", 1))
	ping := func(c *live.Config) { c.Ping = 20 * time.Millisecond }
	hub, stop := start(t, config(t, log, ping))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Frame-Options", "DENY")
		hub.ServeHTTP(w, r)
	}))
	defer server.Close()
	answer := listen(t, server, "")
	for name, want := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Frame-Options": "DENY"} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	lines := bufio.NewScanner(answer.Body)
	until(t, lines, "hello")
	untilFrame(t, lines, `"v":[1]`)
	for range 3 {
		until(t, lines, "ping")
	}
	log.Append(readings, 0, reading("a", 2))
	untilFrame(t, lines, `"v":[2]`)
	next, end := start(t, config(t, log, ping))
	<-next.Ready()
	hub.Replace(next)
	stop()
	until(t, lines, "reset")
	until(t, lines, "frame")
	log.Append(readings, 0, reading("a", 3))
	untilFrame(t, lines, `3]`)
	until(t, lines, "ping")
	end()
	until(t, lines, "bye")
	if lines.Scan() && lines.Text() != "" || lines.Scan() {
		t.Errorf("behind the bye comes %q", lines.Text())
	}
}

// untilFrame reads until a frame holds text: a history has what the hub has read by
// then, and what it has not comes behind.
func untilFrame(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for !strings.Contains(until(t, lines, "frame"), text) {
	}
}

// TestViewerThatIsGoneIsNoticed: a connection that its viewer closes is counted out,
// though nobody reads from it, at the latest by a ping.
func TestViewerThatIsGoneIsNoticed(t *testing.T) {
	hub, _ := start(t, config(t, livetest.NewLog(1, 1), func(c *live.Config) { c.Ping = 20 * time.Millisecond }))
	server := httptest.NewServer(hub)
	defer server.Close()
	answer := listen(t, server, "")
	eventually(t, "it is there", func() bool { return hub.Stats().Clients == 1 })
	_ = answer.Body.Close()
	eventually(t, "it is gone", func() bool { return hub.Stats().Clients == 0 })
	if n := hub.Stats().CutOff; n != 0 {
		t.Errorf("%d were cut off", n)
	}
}

// TestSlowConnectionGetsWhatIsLeftOver lets viewers over TCP stand still until what the
// hub writes at once is more than their connections hold, and then read: none misses a
// point or sees one out of order, and the hub did not wait for any of them.
func TestSlowConnectionGetsWhatIsLeftOver(t *testing.T) {
	const total, held = 50_000, 32 << 10 // 1 MB of JSON; bytes that the hub's end of a connection holds
	log := livetest.NewLog(1, 1)
	hub, stop := start(t, config(t, log, func(c *live.Config) {
		c.WriteTimeout, c.Recent, c.Ping = time.Hour, 2*total, 5*time.Millisecond
	}))
	server := httptest.NewUnstartedServer(hub)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			_ = c.(*net.TCPConn).SetWriteBuffer(held)
		}
	}
	server.Start()
	defer server.Close()
	defer stop()
	slow := []net.Conn{}
	for range 8 {
		slow = append(slow, dial(t, server, "from=latest", false))
	}
	eventually(t, "all are there", func() bool { return hub.Stats().Clients == len(slow) })
	for n := 0; n < total; n += 1000 {
		log.Append(readings, 0, thousand(n)...)
		eventually(t, "the hub goes on", func() bool { return hub.Stats().Points == uint64(n+1000) })
	}
	for i, conn := range slow {
		n := -1 // until the first frame, before which others may have been
		readFrames(conn, func(data string) {
			values := data[strings.Index(data, `"v":[`)+5:]
			for v := range strings.SplitSeq(values[:strings.IndexByte(values, ']')], ",") {
				if n < 0 {
					n, _ = strconv.Atoi(v)
				}
				if want := float64(n); v != strconv.FormatFloat(want, 'f', -1, 64) {
					t.Errorf("viewer %d: %s comes in the place of %v", i, v, want)
					_ = conn.Close()
					return
				}
				n++
			}
			if n == total {
				_ = conn.Close()
			}
		})
		if n != total {
			t.Errorf("viewer %d got points up to %d of %d", i, n, total)
		}
	}
}
