package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// State says what may become of a pinned program.
type State string

// The states of an entry.
const (
	Ready       State = "ready"       // may be chosen
	Held        State = "held"        // a person went back from it, or it does not suit a node: not chosen by itself
	Quarantined State = "quarantined" // it failed at work: not chosen, and promoted only expressly
	Replaced    State = "replaced"    // another content has its version now
)

// Entry is one pinned program in the lock file.
type Entry struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Hash    string    `json:"sha256"`
	Added   time.Time `json:"added"` // UTC
	State   State     `json:"state"`
	Reason  string    `json:"reason,omitempty"` // of a state other than ready
	Since   time.Time `json:"since"`            // when the state began, UTC
}

// lockFile is plugins.lock; see FORMAT.md.
type lockFile struct {
	Format  int     `json:"format"`
	Plugins []Entry `json:"plugins"`
}

const lockFormat = 1

var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// ValidName reports whether a plugin may be called name.
func ValidName(name string) bool { return validName.MatchString(name) }

// present returns the index of the entry that name and version mean now, -1 if none:
// the last that came.
func (l *lockFile) present(name, version string) int {
	for i, e := range slices.Backward(l.Plugins) {
		if e.Name == name && e.Version == version && e.State != Replaced {
			return i
		}
	}
	return -1
}

// accept adds e, whose content may have been there before. A version that failed
// may come again with another content, and so may any if replace.
func (l *lockFile) accept(e Entry, replace bool) (Entry, error) {
	now := time.Now().UTC()
	if i := l.present(e.Name, e.Version); i >= 0 {
		old := &l.Plugins[i]
		if old.Hash == e.Hash {
			return *old, nil
		}
		if old.State != Quarantined {
			if !replace {
				return *old, fmt.Errorf("%s@%s: %w: SHA-256 is %s, was %s; give the new program a new version, or put it in the old one's place with engine plugin install --replace",
					e.Name, e.Version, ErrChanged, e.Hash[:8], old.Hash[:8])
			}
			old.State, old.Reason, old.Since = Replaced, "by "+e.Hash[:8], now
		}
	}
	e.Added, e.Since = now, now
	if i := slices.IndexFunc(l.Plugins, e.same); i >= 0 { // an earlier content has come back
		if e = l.Plugins[i]; e.State == Replaced {
			e.State, e.Reason, e.Since = Ready, "", now
		}
		l.Plugins = slices.Delete(l.Plugins, i, i+1)
	}
	l.Plugins = append(l.Plugins, e)
	return e, nil
}

// same reports whether other is the same content under the same version.
func (e Entry) same(other Entry) bool {
	return e.Name == other.Name && e.Version == other.Version && e.Hash == other.Hash
}

// Entries returns every pinned program of name in the order in which they came; of
// all names if it is "".
func (r *Registry) Entries(name string) ([]Entry, error) {
	l, err := r.read()
	if err != nil {
		return nil, err
	}
	var found []Entry
	for _, e := range l.Plugins {
		if name == "" || e.Name == name {
			found = append(found, e)
		}
	}
	return found, nil
}

// Set gives the pinned program that name and version mean another state. The error
// wraps [ErrNotFound] if none of that version is pinned.
func (r *Registry) Set(name, version string, state State, reason string) error {
	return r.update(func(l *lockFile) error {
		i := l.present(name, version)
		if i < 0 {
			return fmt.Errorf("%s@%s: %w is pinned", name, version, ErrNotFound)
		}
		e := &l.Plugins[i]
		e.State, e.Reason, e.Since = state, reason, time.Now().UTC()
		return nil
	})
}

// Restore puts the states of entries back that [Registry.Entries] returned earlier.
func (r *Registry) Restore(entries []Entry) error {
	return r.update(func(l *lockFile) error {
		for _, old := range entries {
			if i := slices.IndexFunc(l.Plugins, old.same); i >= 0 {
				l.Plugins[i].State, l.Plugins[i].Reason, l.Plugins[i].Since = old.State, old.Reason, old.Since
			}
		}
		return nil
	})
}

func (r *Registry) lockPath() string { return filepath.Join(r.dir, "plugins.lock") }

func (r *Registry) read() (*lockFile, error) {
	l := &lockFile{Format: lockFormat}
	text, err := os.ReadFile(r.lockPath())
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w (put a copy back, or remove it: every program is then pinned anew)", r.lockPath(), err)
	}
	if l.Format != lockFormat {
		return nil, fmt.Errorf("%s has format %d, this engine reads %d", r.lockPath(), l.Format, lockFormat)
	}
	for _, e := range l.Plugins {
		if !ValidName(e.Name) || len(e.Hash) != 64 || filepath.Base(e.Version) != e.Version {
			return nil, fmt.Errorf("%s is damaged: entry %q", r.lockPath(), e.Name+"@"+e.Version)
		}
	}
	return l, nil
}

// update changes the lock file whole or not at all; one process at a time.
func (r *Registry) update(change func(*lockFile) error) (err error) {
	if err := os.MkdirAll(filepath.Join(r.dir, storeDir), 0o755); err != nil {
		return err
	}
	guard, err := os.OpenFile(filepath.Join(r.dir, storeDir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer guard.Close() // which unlocks it
	if err := lockWhole(guard); err != nil {
		return fmt.Errorf("%s: %w", guard.Name(), err)
	}
	l, err := r.read()
	if err != nil {
		return err
	}
	if err := change(l); err != nil {
		return err
	}
	return r.write(l)
}

func (r *Registry) write(l *lockFile) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(r.dir, ".lock-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(text, '\n'))
	if err := errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), r.lockPath())
}
