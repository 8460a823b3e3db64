package livetest

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
)

// readers are the members of a crowd, all read by one goroutine that the system wakes
// (epoll(7)): ten thousand goroutines would take as much time as the server that is
// measured beside them.
type readers struct {
	Readers
	poll    int
	all     []member
	of      map[int32]*member // by the file of its connection
	waiting int               // members to whom nothing has come, not even an end
	begun   int               // members that have read something
	buf     [64 << 10]byte
}

// read reads until all is read, the parent ends it or all connections are lost, and calls
// ready once all who can have begun.
func (r Readers) read(ready func(reading int)) Seen {
	c := &readers{Readers: r, all: make([]member, r.Count), of: map[int32]*member{}, waiting: r.Count}
	if err := c.connect(); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
	}
	defer c.close()
	for c.waiting > 0 && c.some() {
	}
	ready(c.begun)
	for len(c.of) > 0 && c.some() {
	}
	return sum(c.all, r.Until)
}

// connect opens every member's connection and asks for the stream. Who gets none is gone.
func (c *readers) connect() (err error) {
	if c.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := c.watch(syscall.Stdin); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return err
	}
	to := &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	ask := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", c.Path, c.Address)
	for i := range c.all {
		m := &c.all[i]
		m.skipped = i // they do not all look at the same frame
		file, failed := c.dial(to, ask)
		if failed != nil {
			m.gone, err = true, failed
			c.waiting--
			continue
		}
		c.of[int32(file)] = m
	}
	return err
}

func (c *readers) dial(to syscall.Sockaddr, ask []byte) (int, error) {
	file, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err = syscall.Connect(file, to); err == nil {
		_, err = syscall.Write(file, ask)
	}
	if err == nil {
		err = syscall.SetNonblock(file, true)
	}
	if err == nil {
		err = c.watch(file)
	}
	if err != nil {
		_ = syscall.Close(file)
	}
	return file, err
}

func (c *readers) watch(file int) error {
	return syscall.EpollCtl(c.poll, syscall.EPOLL_CTL_ADD, file, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(file)})
}

// some waits for connections that have something and takes it; false if the parent wants
// an end.
func (c *readers) some() bool {
	var events [256]syscall.EpollEvent
	n, err := syscall.EpollWait(c.poll, events[:], -1)
	if err != nil {
		return err == syscall.EINTR
	}
	over := slices.ContainsFunc(events[:n], func(e syscall.EpollEvent) bool { return e.Fd == int32(syscall.Stdin) })
	for _, e := range events[:n] {
		if m := c.of[e.Fd]; m != nil {
			c.take(m, e.Fd)
		}
	}
	return !over
}

// take reads once for m; the system tells again of what is left.
func (c *readers) take(m *member, file int32) {
	n, err := syscall.Read(int(file), c.buf[:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return
	}
	if !m.heard {
		m.heard = true
		c.waiting--
		if n > 0 {
			c.begun++
		}
	}
	if n <= 0 {
		m.gone = true
		c.leave(file)
		return
	}
	if m.take(c.buf[:n]); c.Until > 0 && m.points >= c.Until {
		c.leave(file)
	}
}

func (c *readers) leave(file int32) {
	delete(c.of, file)
	_ = syscall.Close(int(file))
}

func (c *readers) close() {
	for file := range c.of {
		c.leave(file)
	}
	_ = syscall.Close(c.poll)
}
