// Package registry keeps the plugin programs of a folder: which versions there
// are, which of them may run, and the copies that do run.
//
// A program arrives in the folder as NAME@VERSION. Before it runs for the first
// time it is pinned: copied to .store/HASH/NAME@VERSION and written into the lock
// file plugins.lock with its SHA-256. From then on that copy runs, whatever becomes
// of the file, and another content under the same version is refused. The format of
// the lock file is in FORMAT.md. Several engines may share a folder.
package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Errors of a program that may not run.
var (
	ErrNotFound = errors.New("no such plugin")
	ErrChanged  = errors.New("the file has changed behind its pinned hash")
)

// Registry is one folder. It may be used concurrently.
type Registry struct {
	dir string

	mu     sync.Mutex
	hashes map[string]hashed // guarded by mu: what files are, by path
}

// hashed is the hash of a file that looked like this.
type hashed struct {
	size int64
	time time.Time
	hash string
}

// New returns the registry of dir, which need not exist yet.
func New(dir string) *Registry { return &Registry{dir: dir, hashes: map[string]hashed{}} }

// Dir returns the folder.
func (r *Registry) Dir() string { return r.dir }

// File is one program NAME@VERSION as it lies in the folder.
type File struct {
	Name    string
	Version *semver.Version
	Path    string
	Size    int64
	ModTime time.Time
}

// Files returns the programs in the folder by name, the highest version of each
// first; only those of name unless it is "". What is not an executable regular
// file, a symbolic link above all, is passed over.
func (r *Registry) Files(name string) ([]File, error) {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []File
	for _, entry := range entries {
		f, ok := r.file(entry)
		if ok && (name == "" || f.Name == name) {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b File) int {
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return b.Version.Compare(a.Version)
	})
	return found, nil
}

func (r *Registry) file(entry fs.DirEntry) (File, bool) {
	name, text, _ := strings.Cut(entry.Name(), "@")
	version, err := semver.StrictNewVersion(text)
	if err != nil || !ValidName(name) {
		return File{}, false
	}
	info, err := entry.Info() // of the entry itself, not of what a link points to
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o100 == 0 {
		return File{}, false
	}
	return File{name, version, filepath.Join(r.dir, entry.Name()), info.Size(), info.ModTime()}, true
}

// Best returns the highest version of name that constraint allows, that lies in the
// folder and that may run, pinning it first if it is new. When none does, the error
// lists what there is with the reason against each, and wraps [ErrNotFound]. A file
// that has changed behind its hash is not looked at: its copy counts, and warn is
// told. Files for which skip is true are passed over; it may be nil.
func (r *Registry) Best(name string, constraint *semver.Constraints, skip func(File) bool, warn func(error)) (Entry, error) {
	files, err := r.Files(name)
	if err != nil {
		return Entry{}, err
	}
	var there []string
	for _, f := range files {
		version := f.Version.Original()
		if !constraint.Check(f.Version) || skip != nil && skip(f) {
			there = append(there, version)
			continue
		}
		e, err := r.Pin(name, version)
		if errors.Is(err, ErrChanged) {
			warn(err)
		} else if err != nil {
			return Entry{}, err
		}
		if e.State == Ready {
			return e, nil
		}
		there = append(there, fmt.Sprintf("%s (%s: %s)", version, e.State, e.Reason))
	}
	return Entry{}, fmt.Errorf("%w in %s; %s", ErrNotFound, r.dir, existing(name, there))
}

// Choose opens the program that [Registry.Best] finds.
func (r *Registry) Choose(name string, constraint *semver.Constraints, warn func(error)) (*Program, error) {
	e, err := r.Best(name, constraint, nil, warn)
	if err != nil {
		return nil, err
	}
	return r.Open(e)
}

func existing(name string, versions []string) string {
	if len(versions) == 0 {
		return "there is no version of " + name
	}
	return "there is " + strings.Join(versions, ", ")
}

// Allowed reports whether a file's version may run, as far as is known before it is
// pinned.
func (r *Registry) Allowed(f File) bool {
	e, err := r.known(f.Name, f.Version.Original())
	return err == nil && (e.State == "" || e.State == Ready)
}

// Ready reports whether a program that runs may still be chosen.
func (r *Registry) Ready(b Binary) (bool, error) {
	l, err := r.read()
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(l.Plugins, Entry{Name: b.Name, Version: b.Version, Hash: b.Hash}.same)
	return i >= 0 && l.Plugins[i].State == Ready, nil
}

// Open opens the copy of a pinned program.
func (r *Registry) Open(e Entry) (*Program, error) {
	path, err := filepath.Abs(r.copyOf(e))
	if err != nil {
		return nil, err
	}
	return openProgram(Binary{Name: e.Name, Version: e.Version, Path: path, Hash: e.Hash})
}

const storeDir = ".store"

func (r *Registry) copyOf(e Entry) string {
	return filepath.Join(r.dir, storeDir, e.Hash[:16], e.Name+"@"+e.Version)
}

// Pin accepts the file NAME@VERSION of the folder, unless it is accepted already,
// and returns its entry. With [ErrChanged] comes the entry of the content that was
// accepted before. The file must be complete.
func (r *Registry) Pin(name, version string) (Entry, error) { return r.pin(name, version, false) }

// Replace is Pin for a file that is meant to take the place of another content
// under the same version: one that was just built.
func (r *Registry) Replace(name, version string) (Entry, error) { return r.pin(name, version, true) }

func (r *Registry) pin(name, version string, replace bool) (Entry, error) {
	path := filepath.Join(r.dir, name+"@"+version)
	hash, err := r.hash(path)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: name, Version: version, Hash: hash, State: Ready}
	if known, err := r.known(name, version); err != nil || known.Hash == hash && exists(r.copyOf(known)) {
		return known, err
	}
	if err := r.store(path, e); err != nil {
		return Entry{}, fmt.Errorf("pinning %s: %w", path, err)
	}
	err = r.update(func(l *lockFile) error {
		e, err = l.accept(e, replace)
		return err
	})
	return e, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// known returns the present entry of a version, empty if there is none.
func (r *Registry) known(name, version string) (Entry, error) {
	l, err := r.read()
	if err != nil {
		return Entry{}, err
	}
	if i := l.present(name, version); i >= 0 {
		return l.Plugins[i], nil
	}
	return Entry{}, nil
}

// hash returns the SHA-256 of a regular file, from memory if it looks the same.
func (r *Registry) hash(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	r.mu.Lock()
	seen := r.hashes[path]
	r.mu.Unlock()
	if seen.hash != "" && seen.size == info.Size() && seen.time.Equal(info.ModTime()) {
		return seen.hash, nil
	}
	sum := sha256.New()
	if err := copyFile(sum, path); err != nil {
		return "", err
	}
	seen = hashed{info.Size(), info.ModTime(), hex.EncodeToString(sum.Sum(nil))}
	r.mu.Lock()
	r.hashes[path] = seen
	r.mu.Unlock()
	return seen.hash, nil
}

func copyFile(w io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}

// store copies the file at path to e's place; its content must have e's hash.
func (r *Registry) store(path string, e Entry) error {
	place := r.copyOf(e)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(place), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	sum := sha256.New()
	err = errors.Join(copyFile(io.MultiWriter(temp, sum), path), temp.Chmod(0o555), temp.Sync(), temp.Close())
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != e.Hash {
		err = errors.New("the file changes while it is read")
	}
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), place)
}
