package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// Binary is one plugin program.
type Binary struct {
	Name    string
	Version string
	Path    string // absolute, of the copy that runs
	Hash    string // SHA-256 of the file, 64 hex digits
}

// String returns "name@version#hash8", as events and dead letters carry it.
func (b Binary) String() string { return b.Name + "@" + b.Version + "#" + b.Hash[:8] }

// Program is a binary with its file held open, so that what was hashed is what
// runs, also after the file has been replaced or removed.
type Program struct {
	Binary
	Exec   string // what to execute
	Detach func() // not nil: somebody else runs it, there is no file, and Close calls this
	file   *os.File
}

// openProgram opens the copy at path, whose hash must be b's.
func openProgram(b Binary) (*Program, error) {
	file, err := os.Open(b.Path)
	if err != nil {
		return nil, err
	}
	p := &Program{Binary: b, file: file}
	if err := p.Verify(); err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	p.Exec = p.executable()
	return p, nil
}

// Close closes the file; a process that runs it goes on.
func (p *Program) Close() error {
	if p.Detach != nil {
		p.Detach()
		return nil
	}
	return p.file.Close()
}

// Verify reports whether the content is still what was pinned.
func (p *Program) Verify() error {
	if p.Detach != nil {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(p.file, 0, 1<<62)); err != nil {
		return fmt.Errorf("reading %s: %w", p.Path, err)
	}
	if hash := hex.EncodeToString(sum.Sum(nil)); hash != p.Hash {
		return fmt.Errorf("%s has changed: SHA-256 is %s, was %s", p.Path, hash[:8], p.Hash[:8])
	}
	return nil
}

// executable returns a path to the open file where the system has one. A script
// is run by its own path, for its interpreter opens it again.
func (p *Program) executable() string {
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
