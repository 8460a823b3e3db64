package amqp

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// messageOverhead is what a message costs in memory beside its body.
	messageOverhead = 512
	readBuffer      = 64 << 10

	frameHeader  = 2 // begins a message's content
	frameBody    = 3
	frameLead    = 7 // type, channel, size
	frameTrailer = 1
)

// errHeld ends a session whose messages are too large for its prefetch.
var errHeld = fmt.Errorf("max_inflight_bytes reached: %w", net.ErrClosed)

// meter is a connection that bounds the bytes of messages in memory. The broker
// bounds only their number, and the AMQP client reads whatever the broker sends;
// so meter follows the frames that pass, counts each message's body, and stops
// reading while more than limit bytes are held and more than one message is (a
// single message may be larger than the limit). A stop that lasts longer than
// patience ends the connection, well before the broker's own timeout: the next
// session asks for fewer messages.
type meter struct {
	net.Conn
	limit    int64
	patience time.Duration

	// Owned by the one reading goroutine.
	buf  []byte
	r, w int
	lead [frameLead]byte
	have int   // bytes of lead collected
	left int64 // bytes of the frame still to pass

	mu       sync.Mutex // guards what follows
	bytes    int64
	messages int64
	closing  bool
	held     bool          // has ended the connection
	change   chan struct{} // one token: something above has changed
}

func newMeter(conn net.Conn, limit int64, patience time.Duration) *meter {
	return &meter{Conn: conn, limit: limit, patience: patience, buf: make([]byte, readBuffer), change: make(chan struct{}, 1)}
}

// Read returns what has arrived, waiting while too much is held.
func (m *meter) Read(p []byte) (int, error) {
	if m.r == m.w {
		if err := m.gate(); err != nil {
			return 0, err
		}
		n, err := m.Conn.Read(m.buf)
		if n == 0 {
			return 0, err
		}
		m.r, m.w = 0, n
		m.count(m.buf[:n])
	}
	n := copy(p, m.buf[m.r:m.w])
	m.r += n
	return n, nil
}

// gate returns once reading may go on.
func (m *meter) gate() error {
	var late <-chan time.Time
	for {
		open, err := m.check()
		if open || err != nil {
			return err
		}
		if late == nil {
			timer := time.NewTimer(m.patience)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-m.change:
		case <-late:
			m.mu.Lock()
			m.held = true
			m.mu.Unlock()
			return errHeld
		}
	}
}

func (m *meter) check() (open bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes <= m.limit || m.messages <= 1 {
		return true, nil
	}
	if m.closing {
		return false, net.ErrClosed
	}
	return false, nil
}

// count follows the frames in b.
func (m *meter) count(b []byte) {
	var bytes, messages int64
	for len(b) > 0 {
		if m.have < frameLead {
			n := copy(m.lead[m.have:], b)
			m.have, b = m.have+n, b[n:]
			if m.have < frameLead {
				break
			}
			m.begin(&bytes, &messages)
		}
		n := min(m.left, int64(len(b)))
		m.left, b = m.left-n, b[n:]
		if m.left == 0 {
			m.have = 0
		}
	}
	if bytes == 0 && messages == 0 {
		return
	}
	m.mu.Lock()
	m.bytes += bytes
	m.messages += messages
	m.mu.Unlock()
}

func (m *meter) begin(bytes, messages *int64) {
	size := int64(binary.BigEndian.Uint32(m.lead[3:]))
	m.left = size + frameTrailer
	switch m.lead[0] {
	case frameHeader:
		*messages++
		*bytes += messageOverhead
	case frameBody:
		*bytes += size
	}
}

// release forgets messages with bodies of that many bytes together.
func (m *meter) release(messages, bodies int64) {
	m.mu.Lock()
	m.messages -= messages
	m.bytes -= bodies + messages*messageOverhead
	m.mu.Unlock()
	m.wake()
}

// close makes a waiting Read give up, so that the connection can be closed.
func (m *meter) close() {
	m.mu.Lock()
	m.closing = true
	m.mu.Unlock()
	m.wake()
}

func (m *meter) wake() {
	select {
	case m.change <- struct{}{}:
	default:
	}
}

// fitting returns how many messages of the size seen here fit into the limit,
// 0 if the connection did not end because of it.
func (m *meter) fitting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.held || m.messages == 0 {
		return 0
	}
	return max(1, int(m.limit/max(1, m.bytes/m.messages)))
}

// inflight returns the messages held and their bytes.
func (m *meter) inflight() (messages, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.messages, m.bytes
}
