// Package socket is the WebSocket twin of the live stream: the same request, the
// same events, each as one text message that holds a line of JSON. It stands between
// the HTTP server and the live hub, and knows nothing of what the events say.
package socket

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Protocol is the subprotocol that a client may name. One that cannot send headers
// names its token behind it, as a second subprotocol with the prefix [TokenPrefix].
const (
	Protocol    = "millrace.v1"
	TokenPrefix = "bearer."
)

// maxLine bounds what waits for the end of a line; the live stream's are far shorter.
const maxLine = 64 << 20

// Handler serves what next streams as lines of JSON to a WebSocket. Requests that
// next refuses are answered as next answers them, before any handshake. Besides the
// server's own, pages of origins (scheme://host) may ask. What a client sends ends the
// connection, but for pings. Nothing is compressed.
func Handler(next http.Handler, origins []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			w.Header().Set("Upgrade", "websocket")
			http.Error(w, "only WebSocket here; the same events are at /api/v1/live", http.StatusUpgradeRequired)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		c := &conn{w: w, request: r, origins: origins, gone: cancel, header: http.Header{}}
		defer c.close()
		asked := r.Clone(ctx)
		asked.Header.Set("Accept", "application/x-ndjson")
		next.ServeHTTP(c, asked)
	})
}

// conn is what next writes its answer to. It is used by one goroutine.
type conn struct {
	w       http.ResponseWriter
	request *http.Request
	origins []string
	gone    context.CancelFunc // the client has left

	header   http.Header
	ws       *websocket.Conn // nil until there is something to stream
	refused  bool            // the answer is an ordinary one
	line     bytes.Buffer    // begun and not ended
	deadline time.Time
}

// Header implements [http.ResponseWriter].
func (c *conn) Header() http.Header { return c.header }

// WriteHeader answers without a handshake, unless code is 200.
func (c *conn) WriteHeader(code int) {
	if code == http.StatusOK || c.ws != nil || c.refused {
		return
	}
	c.refused = true
	for name, values := range c.header {
		c.w.Header()[name] = values
	}
	c.w.WriteHeader(code)
}

// SetWriteDeadline bounds the writes that follow.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

// FlushError does nothing: messages are sent when they are whole.
func (c *conn) FlushError() error { return nil }

// Write sends the lines that b ends.
func (c *conn) Write(b []byte) (int, error) {
	if c.refused {
		return c.w.Write(b)
	}
	if err := c.accept(); err != nil {
		return 0, err
	}
	written := len(b)
	for {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		if c.line.Len()+len(line) > maxLine {
			return 0, errors.New("live socket: a line is longer than 64 MiB")
		}
		if !ended {
			c.line.Write(line)
			return written, nil
		}
		if err := c.send(line); err != nil {
			return 0, err
		}
		b = rest
	}
}

// send sends one line, the begin of which may have come before.
func (c *conn) send(line []byte) error {
	if c.line.Len() > 0 {
		c.line.Write(line)
		line = c.line.Bytes()
		defer c.line.Reset()
	}
	ctx, cancel := context.WithCancel(context.Background())
	if !c.deadline.IsZero() {
		ctx, cancel = context.WithDeadline(context.Background(), c.deadline)
	}
	defer cancel()
	err := c.ws.Write(ctx, websocket.MessageText, line)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.Join(os.ErrDeadlineExceeded, err)
	}
	return err
}

// accept shakes hands, once.
func (c *conn) accept() error {
	if c.ws != nil {
		return nil
	}
	ws, err := websocket.Accept(c.w, c.request, &websocket.AcceptOptions{
		Subprotocols: []string{Protocol}, OriginPatterns: c.origins, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		c.refused = true // Accept has answered
		return err
	}
	c.ws = ws
	left := ws.CloseRead(context.Background())
	context.AfterFunc(left, c.gone)
	return nil
}

// close ends the connection; the client learns why from the last event.
func (c *conn) close() {
	if c.ws != nil {
		_ = c.ws.Close(websocket.StatusGoingAway, "") // the client may be gone
	}
}
