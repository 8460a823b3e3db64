package livetest

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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
