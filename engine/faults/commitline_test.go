package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

// commitLine is a proxy before MariaDB that reads the client's packets and breaks a
// connection at a COMMIT, when it has been told to.
type commitLine struct {
	upstream string
	listener net.Listener
	armed    chan cut      // capacity 1: what is done at the next COMMIT
	met      chan struct{} // capacity 1: it has been done
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

// cut is what is done with a connection at its COMMIT.
type cut int

const (
	cutBefore cut = iota // it never arrives: the server rolls back
	cutAfter             // it is done, and its answer never arrives
	cutKill              // the server is killed as soon as it has been sent
	cuts
)

// newCommitLine starts a line to upstream that ends with the test.
func newCommitLine(t *testing.T, upstream string) *commitLine {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &commitLine{upstream: upstream, listener: listener, armed: make(chan cut, 1), met: make(chan struct{}, 1)}
	c.wg.Go(c.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		c.mu.Lock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.mu.Unlock()
		c.wg.Wait()
	})
	return c
}

func (c *commitLine) addr() string { return c.listener.Addr().String() }

func (c *commitLine) serve() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.upstream)
		if err != nil {
			_ = client.Close() // the server is away: so is the line
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, client, server)
		c.mu.Unlock()
		p := &commitPair{client: client, server: server, answered: make(chan struct{})}
		c.wg.Go(p.answers)
		c.wg.Go(func() { c.requests(p) })
	}
}

// commitPair is one connection on both of its sides.
type commitPair struct {
	client, server net.Conn
	mute           atomic.Bool   // what the server says is thrown away
	answered       chan struct{} // closed when the server has answered, or gone, while mute
}

func (p *commitPair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// answers hands on what the server says.
func (p *commitPair) answers() {
	defer close(p.answered)
	defer p.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := p.server.Read(buf)
		if p.mute.Load() || err != nil {
			return
		}
		if _, err := p.client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// commit is what a client sends: COM_QUERY and its text (MariaDB client/server
// protocol).
var commit = []byte("\x03COMMIT")

// requests hands on the client's packets: three bytes of length, the least first,
// one of number, then the payload.
func (c *commitLine) requests(p *commitPair) {
	defer p.close()
	for {
		packet := make([]byte, 4)
		if _, err := io.ReadFull(p.client, packet); err != nil {
			return
		}
		size := int(binary.LittleEndian.Uint32(packet) & 0xffffff)
		packet = append(packet, make([]byte, size)...)
		if _, err := io.ReadFull(p.client, packet[4:]); err != nil {
			return
		}
		if bytes.Equal(packet[4:], commit) {
			select {
			case how := <-c.armed:
				p.cut(how, packet)
				c.met <- struct{}{}
				return
			default:
			}
		}
		if _, err := p.server.Write(packet); err != nil {
			return
		}
	}
}

// cut breaks the connection around a COMMIT. The server is killed by who waits for
// it.
func (p *commitPair) cut(how cut, packet []byte) {
	p.mute.Store(how != cutBefore)
	if how == cutBefore {
		return
	}
	if _, err := p.server.Write(packet); err == nil && how == cutAfter {
		<-p.answered
	}
}

// atCommit waits until the next COMMIT has been cut.
func (c *commitLine) atCommit(t *testing.T, how cut) {
	t.Helper()
	c.armed <- how
	testserver.Eventually(t, time.Minute, "a COMMIT", func() error {
		select {
		case <-c.met:
			return nil
		default:
			return errors.New("none yet")
		}
	})
}

// TestCommitLineCutsWhereItSays: a transaction whose COMMIT is cut before is not
// there, one whose answer is lost is, and both look the same to the client.
func TestCommitLineCutsWhereItSays(t *testing.T) {
	maria := testserver.SharedMariaDB(t)
	dsn := maria.Database(t)
	direct := maria.Open(t, dsn)
	if _, err := direct.Exec("CREATE TABLE cuts (how INT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	line := newCommitLine(t, maria.Addr())
	through := maria.Open(t, redirected(dsn, maria.Addr(), line.addr()))
	for how, want := range []int{cutBefore: 0, cutAfter: 1} {
		tx, err := through.Begin()
		if err == nil {
			_, err = tx.Exec("INSERT INTO cuts VALUES (?)", how)
		}
		if err != nil {
			t.Fatal(err)
		}
		line.armed <- cut(how)
		if err := tx.Commit(); err == nil {
			t.Errorf("cut %d: the client was told that it went well", how)
		}
		<-line.met
		var rows int
		if err := direct.QueryRow("SELECT COUNT(*) FROM cuts WHERE how = ?", how).Scan(&rows); err != nil || rows != want {
			t.Errorf("cut %d: %d rows, %v; want %d", how, rows, err, want)
		}
	}
}
