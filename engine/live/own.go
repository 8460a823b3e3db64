package live

import (
	"bytes"
	"net"
	"net/http"
	"syscall"
	"time"
)

// outlet is where a viewer's bytes go.
type outlet interface {
	Write(b []byte) (int, error)
	SetWriteDeadline(t time.Time) error
	Flush() error
}

// answer is an outlet through the HTTP server.
type answer struct {
	http.ResponseWriter
	*http.ResponseController
}

// own is an outlet without the HTTP server: its connection, which the server has given
// up together with its goroutine, its buffers and the request. What is written goes to
// the system as it is.
type own struct {
	net.Conn
	raw syscall.RawConn // nil: every write may wait

	step func(fd uintptr) bool // made once
	rest []byte                // of the try that is going on
	n    int                   // what it wrote
	err  error                 // what it met
}

// takeOver begins the answer and takes the connection from the HTTP server. It returns
// nil if that has none to give: HTTP/2, a WebSocket, a test. The stream then ends with
// the connection, and is not cut into chunks.
func takeOver(w http.ResponseWriter, r *http.Request) (*own, error) {
	if r.ProtoMajor != 1 {
		return nil, nil
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil // not possible: nothing has happened
	}
	o := &own{Conn: conn}
	o.step = o.once
	if c, ok := conn.(syscall.Conn); ok && canTry {
		o.raw, err = c.SyscallConn()
	}
	if err == nil {
		_, err = conn.Write(head(w.Header()))
	}
	if err != nil {
		_ = conn.Close() // the viewer is gone
	}
	return o, err
}

func head(fields http.Header) []byte {
	fields.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	fields.Set("Connection", "close")
	b := bytes.NewBufferString("HTTP/1.1 200 OK\r\n")
	_ = fields.Write(b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// Flush ends the deadline of what was written: the next try has none.
func (o *own) Flush() error { return o.SetWriteDeadline(time.Time{}) }

// try writes what the connection takes without waiting.
func (o *own) try(b []byte) (int, error) {
	o.rest, o.n, o.err = b, 0, nil
	err := o.raw.Write(o.step)
	o.rest = nil
	if o.err != nil {
		err = o.err
	}
	return o.n, err
}
