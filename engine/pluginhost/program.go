package pluginhost

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// program is a binary with its file held open, so that what was hashed is what
// runs, also after the file has been replaced or removed.
type program struct {
	Binary
	file *os.File
	path string // what to execute
}

// openProgram opens and hashes a file of the folder. A symbolic link is refused.
func openProgram(name string, c candidate) (*program, error) {
	path, err := filepath.Abs(c.path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &program{Binary: Binary{Name: name, Version: c.version.Original(), Path: path}, file: file}
	if opened, err := file.Stat(); err != nil || !info.Mode().IsRegular() || !os.SameFile(info, opened) {
		_ = file.Close() // nothing was written
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if p.Hash, err = p.sum(); err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	p.path = p.executable()
	return p, nil
}

func (p *program) close() error { return p.file.Close() }

// sum hashes the content as it is now.
func (p *program) sum() (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(p.file, 0, 1<<62)); err != nil {
		return "", fmt.Errorf("reading %s: %w", p.Path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// verify reports whether the content is still what was hashed at first.
func (p *program) verify() error {
	hash, err := p.sum()
	if err != nil {
		return err
	}
	if hash != p.Hash {
		return fmt.Errorf("%s has changed: SHA-256 is %s, was %s", p.Path, hash[:8], p.Hash[:8])
	}
	return nil
}

// executable returns a path to the open file where the system has one. A script
// is run by its own path, for its interpreter opens it again.
func (p *program) executable() string {
	var start [2]byte
	if _, err := p.file.ReadAt(start[:], 0); err != nil || bytes.Equal(start[:], []byte("#!")) {
		return p.Path
	}
	byFile := fmt.Sprintf("/proc/self/fd/%d", p.file.Fd())
	if _, err := os.Stat(byFile); err != nil {
		return p.Path
	}
	return byFile
}
