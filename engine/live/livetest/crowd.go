package livetest

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// crowdVariable is the environment variable that makes a test binary a crowd.
const crowdVariable = "MILLRACE_CROWD"

// Readers says what a crowd reads.
type Readers struct {
	Address string // host:port of the server
	Path    string // with the query
	Count   int
	Until   int // points after which a reader has all; 0: it reads until the crowd is ended
}

// Sight is one frame that one reader of a crowd got.
type Sight struct {
	Newest float64   // the last value in the frame
	At     time.Time // when the reader had the whole frame
}

// Seen is what a crowd has seen.
type Seen struct {
	Whole  int     // readers that got as many points as they waited for, no more
	Gone   int     // readers whose connection failed or ended before they had all
	Frames int     // of all readers
	Sights []Sight // of every tenth frame of each reader
}

// Crowd is many readers of server-sent events in a process of their own: what they use
// is not the server's.
type Crowd struct {
	cmd *exec.Cmd
	end io.Closer
	out *gob.Decoder
}

// StartCrowd runs the test binary once more, as readers. Its TestMain calls [Join].
func StartCrowd(r Readers) (*Crowd, error) {
	task, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	c := &Crowd{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), crowdVariable+"="+string(task))
	c.cmd.Stderr = os.Stderr
	if c.end, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = gob.NewDecoder(out)
	return c, c.cmd.Start()
}

// Ready waits until every reader has begun to read or has no connection, and returns how
// many read. It is called once, before [Crowd.Wait] or [Crowd.End].
func (c *Crowd) Ready() (reading int, err error) {
	if err := c.out.Decode(&reading); err != nil {
		return 0, fmt.Errorf("crowd: %w", err)
	}
	return reading, nil
}

// Wait waits until every reader has all or has lost its connection.
func (c *Crowd) Wait() (Seen, error) {
	var s Seen
	if err := c.out.Decode(&s); err != nil {
		return s, fmt.Errorf("crowd: %w", err)
	}
	return s, c.cmd.Wait()
}

// End closes the readers' connections and returns what they saw until then.
func (c *Crowd) End() (Seen, error) {
	_ = c.end.Close() // what it says it says in its answer
	return c.Wait()
}

// Join makes this process a crowd and ends it, if it was started as one.
func Join() {
	text := os.Getenv(crowdVariable)
	if text == "" {
		return
	}
	var r Readers
	err := json.Unmarshal([]byte(text), &r)
	if err == nil {
		out := gob.NewEncoder(os.Stdout)
		seen := r.read(func(reading int) { err = out.Encode(reading) })
		err = errors.Join(err, out.Encode(seen))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// atOnce is how many readers connect at the same time.
const atOnce = 64

// read reads until all is read, and calls ready once all who can have begun.
func (r Readers) read(ready func(reading int)) Seen {
	all := make([]member, r.Count)
	lines := new(lines)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it
		lines.close()
	}()
	turn := make(chan struct{}, atOnce)
	var reading, beginning sync.WaitGroup
	beginning.Add(r.Count)
	var begun atomic.Int64
	for i := range all {
		turn <- struct{}{}
		reading.Go(func() {
			all[i].skipped = i // they do not all look at the same frame
			conn, err := r.dial()
			<-turn
			if err != nil {
				all[i].gone = true
				beginning.Done()
				return
			}
			defer conn.Close()
			lines.add(conn)
			if _, err = conn.Read(make([]byte, 1)); err == nil {
				begun.Add(1)
			}
			beginning.Done()
			all[i].read(conn, r.Until)
			all[i].gone = all[i].gone && !lines.closed()
		})
	}
	beginning.Wait()
	ready(int(begun.Load()))
	reading.Wait()
	return sum(all, r.Until)
}

// lines are the connections of a crowd, which end together.
type lines struct {
	mu   sync.Mutex
	list []net.Conn // guarded by mu
	over bool       // guarded by mu
}

func (l *lines) add(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, conn)
	if l.over {
		_ = conn.Close()
	}
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, conn := range l.list {
		_ = conn.Close()
	}
}

func (l *lines) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (r Readers) dial() (net.Conn, error) {
	conn, err := net.Dial("tcp", r.Address)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", r.Path, r.Address)
	return conn, err
}

func sum(all []member, until int) Seen {
	var s Seen
	for _, m := range all {
		s.Frames += m.frames
		s.Sights = append(s.Sights, m.sights...)
		if m.gone {
			s.Gone++
		} else if m.points == until {
			s.Whole++
		}
	}
	return s
}

// member is one reader.
type member struct {
	points, frames int
	skipped        int // frames since the last that was noted
	gone           bool
	sights         []Sight
}

var eventEnd = []byte("\n\n")

// read reads until the connection ends or until points have come.
func (m *member) read(conn net.Conn, until int) {
	buf := make([]byte, 4<<10)
	for n := 0; until == 0 || m.points < until; {
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		got, err := conn.Read(buf[n:])
		if err != nil {
			m.gone = true
			return
		}
		n += got
		rest := buf[:n]
		for {
			block, behind, whole := bytes.Cut(rest, eventEnd)
			if !whole {
				break
			}
			m.event(block)
			rest = behind
		}
		n = copy(buf, rest)
	}
}

// event takes one event. Points of a history count, too, but it is no frame. Lengths of
// chunks may stand between events.
func (m *member) event(block []byte) {
	for list := block; ; {
		var found bool
		if _, list, found = bytes.Cut(list, []byte(`"v":[`)); !found {
			break
		}
		if values, _, _ := bytes.Cut(list, []byte("]")); len(values) > 0 {
			m.points += bytes.Count(values, []byte(",")) + 1
		}
	}
	_, data, found := bytes.Cut(block, []byte(`data: {"series":`))
	if !found {
		return
	}
	m.frames++
	if m.skipped++; m.skipped%10 == 0 {
		m.note(data)
	}
}

func (m *member) note(data []byte) {
	now := time.Now()
	values := bytes.TrimRight(data, "]}")
	newest := values[bytes.LastIndexAny(values, "[,")+1:]
	if v, err := strconv.ParseFloat(string(newest), 64); err == nil {
		m.sights = append(m.sights, Sight{v, now})
	}
}
