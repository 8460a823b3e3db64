package tap

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

const (
	sendBytes  = 32 << 10               // that are gathered before they are sent
	sendEvery  = 250 * time.Millisecond // at the latest, while there is anything
	writeChunk = 64 << 10               // bytes of one write: each has the whole timeout
)

// client is where a tap's lines go.
type client struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	lines   bytes.Buffer
	encode  *json.Encoder // into lines
	sent    time.Time
	broken  bool // a write failed: nothing more can be told
}

func newClient(w http.ResponseWriter, timeout time.Duration) *client {
	c := &client{w: w, control: http.NewResponseController(w), timeout: timeout}
	c.encode = json.NewEncoder(&c.lines)
	c.encode.SetEscapeHTML(false)
	return c
}

// line adds one line. What has no form in JSON, such as nested JSON of a plugin
// that is none, is told in its place.
func (c *client) line(v any) error {
	if err := c.encode.Encode(v); err != nil {
		if err := c.encode.Encode(Notice{"an event has no JSON form: " + err.Error()}); err != nil {
			return err
		}
	}
	if c.lines.Len() < sendBytes {
		return nil
	}
	return c.send()
}

// sendIfDue sends what has waited long enough.
func (c *client) sendIfDue() error {
	if c.lines.Len() == 0 || time.Since(c.sent) < sendEvery {
		return nil
	}
	return c.send()
}

// send writes all lines, and at first the header, under deadlines.
func (c *client) send() error {
	if c.lines.Len() == 0 && !c.sent.IsZero() {
		return nil
	}
	err := c.write(c.lines.Bytes())
	c.lines.Reset()
	c.sent, c.broken = time.Now(), err != nil
	return err
}

func (c *client) write(b []byte) error {
	for {
		n := min(len(b), writeChunk)
		err := c.control.SetWriteDeadline(time.Now().Add(c.timeout))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := c.w.Write(b[:n]); err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return c.control.Flush()
		}
	}
}
