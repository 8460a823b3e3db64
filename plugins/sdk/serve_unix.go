//go:build unix

package sdk

import (
	"os"
	"os/signal"
	"syscall"
)

// outliveReaders lets writing to standard output and error fail when nobody reads them
// any more, where it would end the process: [exitWithHost] is to end it, with what it
// has started. Programs that it starts do not inherit this.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// killGroup ends this process and all of its group, if it leads one: the host
// starts each plugin as the first of a group of its own.
func killGroup() {
	if syscall.Getpgrp() == os.Getpid() {
		_ = syscall.Kill(0, syscall.SIGKILL) // nobody is left to hear of an error
	}
}
