//go:build unix

package live

import "syscall"

// canTry says that a connection can be written to without waiting.
const canTry = true

// once writes once; a connection that is full takes nothing, which is no error.
func (o *own) once(fd uintptr) bool {
	n, err := syscall.Write(int(fd), o.rest)
	o.n = max(n, 0)
	if err != syscall.EAGAIN && err != syscall.EINTR {
		o.err = err
	}
	return true
}
