package testserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// home is the folder that all test binaries of one user share:
//
//	lock        held while folders are made or swept
//	ports/N     locked by the holder of port N for as long as it holds it
//	run/NAME-X  one server's data, with a file "owner" locked by its holder
//	mariadb-V   the template of a fresh MariaDB of version V
var home = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.TempDir(), "millrace-test-"+strconv.Itoa(os.Getuid()))
	for _, sub := range []string{"ports", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return "", err
		}
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(st.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s belongs to someone else", dir)
	}
	return dir, sweep(dir)
})

// errHeld says that another process or server holds a lock.
var errHeld = errors.New("held by another")

// flock opens path and locks it; closing the file unlocks. With wait false it
// returns errHeld at once where another holds it.
func flock(path string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errHeld
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// sweep removes what killed test binaries left: run folders without an owner.
func sweep(dir string) error {
	lock, err := flock(filepath.Join(dir, "lock"), true)
	if err != nil {
		return err
	}
	defer lock.Close()
	left, err := filepath.Glob(filepath.Join(dir, "run", "*"))
	if err != nil {
		return err
	}
	for _, run := range left {
		owner, err := flock(filepath.Join(run, "owner"), false)
		if err != nil {
			continue
		}
		err = os.RemoveAll(run)
		owner.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// newRun makes a data folder for one server. The file keeps it from being
// swept until it is closed.
func newRun(name string) (dir string, owner *os.File, err error) {
	base, err := home()
	if err != nil {
		return "", nil, err
	}
	lock, err := flock(filepath.Join(base, "lock"), true)
	if err != nil {
		return "", nil, err
	}
	defer lock.Close()
	if dir, err = os.MkdirTemp(filepath.Join(base, "run"), name+"-"); err != nil {
		return "", nil, err
	}
	owner, err = flock(filepath.Join(dir, "owner"), false)
	return dir, owner, err
}

// Ports are taken below the range from which Linux serves outgoing connections
// (32768 upwards): a stopped server's port cannot be lost to a client socket.
const (
	firstPort = 20000
	lastPort  = 32000
)

// port is a loopback TCP port held across the life of a server, also while the
// server is down.
type port struct {
	number int
	lock   *os.File
}

// takePort reserves a port that no other test server holds and nobody listens
// on.
func takePort() (*port, error) {
	base, err := home()
	if err != nil {
		return nil, err
	}
	for range 1000 {
		n := firstPort + rand.IntN(lastPort-firstPort)
		lock, err := flock(filepath.Join(base, "ports", strconv.Itoa(n)), false)
		if errors.Is(err, errHeld) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p := &port{n, lock}
		if l, err := net.Listen("tcp", ":"+strconv.Itoa(n)); err == nil {
			return p, l.Close()
		}
		p.release()
	}
	return nil, errors.New("no free loopback port in 1000 tries")
}

func (p *port) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)) }

func (p *port) String() string { return strconv.Itoa(p.number) }

func (p *port) release() { p.lock.Close() }
