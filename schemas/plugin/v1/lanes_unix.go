//go:build unix

package pluginv1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// dialPatience is how long a plugin may leave sockets untaken before the host gives
// up handing it another.
const dialPatience = 5 * time.Second

// LaneDialer is the host's half of a plugin's lane sockets. It may be used concurrently.
type LaneDialer struct{ conn *net.UnixConn }

// NewLaneDialer returns a dialer, and the descriptor that the plugin's process is to
// inherit. The sockets have no name, so that nobody but the two ends can reach them.
func NewLaneDialer() (*LaneDialer, *os.File, error) {
	here, there, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	return &LaneDialer{here}, there, nil
}

// Dial hands the plugin a new socket and returns the host's end of it, for a [LaneConn].
// The plugin may have ended: the socket then says so.
func (d *LaneDialer) Dial() (net.Conn, error) {
	here, there, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer there.Close() // the message holds it
	err = d.conn.SetWriteDeadline(time.Now().Add(dialPatience))
	if err == nil {
		_, _, err = d.conn.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(there.Fd())), nil)
	}
	if err != nil {
		_ = here.Close() // nothing was written
		return nil, fmt.Errorf("lane socket: %w", err)
	}
	return here, nil
}

// Close ends the dialer, not the sockets that it gave. It may be called more than once,
// and on nil.
func (d *LaneDialer) Close() {
	if d != nil {
		_ = d.conn.Close() // nothing is on the way
	}
}

// LaneListener is the plugin's half.
type LaneListener struct{ conn *net.UnixConn }

// ListenLanes returns the listener that the host has given this process, nil if it
// has given none. The descriptor is taken: a second call finds none, nor do processes
// that this one starts.
func ListenLanes() (*LaneListener, error) {
	text := os.Getenv(LanesEnv)
	if text == "" {
		return nil, nil
	}
	_ = os.Unsetenv(LanesEnv) // it was there
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", LanesEnv, err)
	}
	conn, err := unixConn(os.NewFile(uintptr(fd), LanesEnv))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", LanesEnv, err)
	}
	return &LaneListener{conn}, nil
}

// Accept waits for the next socket. It returns io.EOF when the host gives no more.
func (l *LaneListener) Accept() (net.Conn, error) {
	var data [1]byte
	control := make([]byte, syscall.CmsgSpace(4))
	n, size, _, _, err := l.conn.ReadMsgUnix(data[:], control)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	messages, err := syscall.ParseSocketControlMessage(control[:size])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errNoSocket, err)
	}
	rights, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(rights) != 1 {
		return nil, errors.Join(errNoSocket, err)
	}
	return unixConn(os.NewFile(uintptr(rights[0]), "lane"))
}

var errNoSocket = errors.New("lane socket: a message without one")

// socketPair returns two ends of a socket, the second as a file to be given away.
func socketPair() (*net.UnixConn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("lane socket: %w", err)
	}
	err = errors.Join(widen(fds[0]), widen(fds[1]))
	there := os.NewFile(uintptr(fds[1]), "lane")
	here, notConn := unixConn(os.NewFile(uintptr(fds[0]), "lane"))
	if err = errors.Join(err, notConn); err == nil {
		return here, there, nil
	}
	_ = there.Close() // nothing was written
	if here != nil {
		_ = here.Close()
	}
	return nil, nil, fmt.Errorf("lane socket: %w", err)
}

// widen makes room for socketBuffer, or says that there is not.
func widen(fd int) error {
	err := errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, socketBuffer),
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, socketBuffer))
	if err != nil {
		return err
	}
	size, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	if err == nil && size < socketBuffer {
		err = fmt.Errorf("the system gives a buffer of %d bytes, %d are needed (net.core.wmem_max)", size, socketBuffer)
	}
	return err
}

// unixConn makes a connection of file, which it closes.
func unixConn(file *os.File) (*net.UnixConn, error) {
	conn, err := net.FileConn(file)
	_ = file.Close() // the connection has a copy
	if err != nil {
		return nil, err
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errNoSocket, conn.Close())
	}
	return socket, nil
}
