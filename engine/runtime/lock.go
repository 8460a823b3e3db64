package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock refuses a second run on the same servers. Runs that are embedded in every
// part have nothing in common.
func (e *Engine) lock() error {
	if len(EmbeddedParts(e.Pipeline)) == len(e.Pipeline.Connections) {
		return nil
	}
	unlock, err := lock(e.Pipeline.Name, e.EngineID)
	if err != nil {
		return fmt.Errorf("%w; stop it, or give this one another --id", err)
	}
	e.closers = append(e.closers, unlock)
	return nil
}

// LockFolder is where lock files are: the folder for files of running programs, or
// else the one for temporary files.
func LockFolder() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return dir
	}
	return os.TempDir()
}

// lock refuses a second run of the same engine id on the same pipeline on this
// machine by accident: the newer would take every lease from the older. The lock
// goes with the process, also when it is killed.
func lock(pipeline, engineID string) (unlock func() error, err error) {
	path := filepath.Join(LockFolder(), fmt.Sprintf("millrace-%d-%s-%s.lock", os.Getuid(), pipeline, filepath.Base(engineID)))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("pipeline %q already runs here as engine %q (lock file %s: %w)",
			pipeline, engineID, path, err)
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
