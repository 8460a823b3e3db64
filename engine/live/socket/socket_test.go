package socket_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	mevent "github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
	"github.com/millrace/millrace/engine/live/socket"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/sink/chart"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// serve runs a hub over a log, behind a socket, until the test ends. What it returns
// beside stops the hub.
func serve(t *testing.T) (*livetest.Log, *httptest.Server, *live.Hub, func()) {
	t.Helper()
	sink, err := chart.New("live", chart.Options{Chart: "metric", Series: "device"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := livetest.NewLog(1, 1)
	hub, err := live.New(live.Config{
		Log: log, Pipeline: "charts", WriteTimeout: 2 * time.Second,
		Charts: []live.Chart{{Sink: sink, Edges: []plan.Edge{{Node: "n", Stream: "readings"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	server := httptest.NewServer(socket.Handler(hub, []string{"https://plant.example"}))
	t.Cleanup(func() {
		stop()
		server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return log, server, hub, stop
}

func dial(t *testing.T, server *httptest.Server, query string, opts *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, server.URL+"/api/v1/live/ws?"+query, opts)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

type event struct {
	Event, ID string
	Data      struct {
		Series []struct{ V []float64 }
		Points int
	}
}

func next(t *testing.T, c *websocket.Conn) (e event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	kind, text, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e); err != nil || kind != websocket.MessageText {
		t.Fatalf("%v message %s: %v", kind, text, err)
	}
	return e
}

func append1(log *livetest.Log, v float64) {
	log.Append("readings", 0, livetest.Reading("temp", "a", time.Now().UnixMilli(), v, "C"))
}

// TestSameEventsAsTheStream: history, live, resume and the end, one message each.
func TestSameEventsAsTheStream(t *testing.T) {
	log, server, _, stop := serve(t)
	c := dial(t, server, "sub=chart:temp&from=latest", nil)
	for _, want := range []string{"hello", "schema", "snapshot"} {
		if e := next(t, c); e.Event != want {
			t.Fatalf("event %+v, want %s", e, want)
		}
	}
	append1(log, 1)
	var id string
	for id == "" {
		if e := next(t, c); e.Event == "frame" {
			id = e.ID
		}
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	append1(log, 2)
	again := dial(t, server, "sub=chart:temp&from="+id, &websocket.DialOptions{Subprotocols: []string{socket.Protocol, socket.TokenPrefix + "x"}})
	if got := again.Subprotocol(); got != socket.Protocol {
		t.Errorf("subprotocol %q", got)
	}
	e := next(t, again)
	for e.Event != "frame" {
		e = next(t, again)
	}
	if fmt.Sprint(e.Data.Series) != "[{[2]}]" {
		t.Errorf("behind the id came %+v, want 2 alone", e)
	}
	stop()
	for e = next(t, again); e.Event == "ping"; e = next(t, again) {
	}
	if e.Event != "bye" {
		t.Errorf("the last event is %+v, want bye", e)
	}
	if _, _, err := again.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("closed with %v", err)
	}
}

func TestRefusalsComeBeforeTheHandshake(t *testing.T) {
	_, server, _, _ := serve(t)
	for _, c := range []struct {
		name, query, origin, upgrade string
		code                         int
	}{
		{"bad query", "hz=x", "", "websocket", 400},
		{"no upgrade", "", "", "", 426},
		{"foreign origin", "", "https://evil.example", "websocket", 403},
		{"listed origin", "", "https://plant.example", "websocket", 101},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/live/ws?"+c.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Upgrade": c.upgrade, "Origin": c.origin, "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.code {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
			t.Errorf("%s: %d %s, want %d", c.name, resp.StatusCode, strings.TrimSpace(string(text)), c.code)
		}
		_ = resp.Body.Close()
	}
}

// narrow is a client whose sockets hold next to nothing, whatever the system's hold.
func narrow() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}}}
}

// TestStalledSocketIsCutOff: a client that takes nothing loses its connection; another
// one gets every point meanwhile.
func TestStalledSocketIsCutOff(t *testing.T) {
	log, server, hub, _ := serve(t)
	dial(t, server, "sub=chart:temp", &websocket.DialOptions{HTTPClient: narrow()}) // it reads nothing
	reader := dial(t, server, "sub=chart:temp&from=latest", nil)
	for e := next(t, reader); e.Event != "snapshot"; e = next(t, reader) {
	}
	taken := take(t, reader)
	for deadline := time.Now().Add(time.Minute); hub.Stats().CutOff == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the stalled client was not cut off")
		}
		appendAll(log, make([]float64, 1000))
		for got := 0; got < 1000; { // nobody who reads falls behind
			got += pointsOf(t, <-taken)
		}
	}
	for deadline := time.Now().Add(time.Minute); hub.Stats().Clients > 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("a client that was cut off is still there")
		}
	}
}

// pointsOf counts the points that a message brings.
func pointsOf(t *testing.T, text []byte) int {
	t.Helper()
	var e event
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range e.Data.Series {
		n += len(s.V)
	}
	return n
}

// take reads on while messages are looked into, or this client would be cut off, too. A
// connection that ends hands on an empty message.
func take(t *testing.T, c *websocket.Conn) <-chan []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	taken, ended := make(chan []byte, 1<<14), make(chan struct{}) // more than there are messages
	go func() {
		defer close(ended)
		defer close(taken)
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				return
			}
			select {
			case taken <- text:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return taken
}

func appendAll(log *livetest.Log, values []float64) {
	list := make([]*mevent.Event, len(values))
	for i, v := range values {
		list[i] = livetest.Reading("temp", "a", time.Now().UnixMilli(), v, "C")
	}
	log.Append("readings", 0, list...)
}
