package reload

import (
	"context"
	"crypto/sha256"
	"os"
	"time"
)

// WatchEvery is how often a watched file is looked at.
const WatchEvery = 500 * time.Millisecond

// Watch calls changed each time that the file has another content than before, until
// ctx ends; from is the content that counts as the first. A file is looked at once
// two looks have found it the same, so that one which is being written is not read by
// half; a file that is gone for a while is waited for. It follows links, and finds a
// file that was put in the other's place as well as one that was written into.
func Watch(ctx context.Context, file string, from []byte, every time.Duration, changed func()) {
	w := watcher{file: file, sum: sha256.Sum256(from)}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if w.look() {
			changed()
		}
	}
}

// watcher remembers what it has seen of a file.
type watcher struct {
	file    string
	last    os.FileInfo // of the last look; nil: there was no file
	settled bool        // the file as it was then has been read
	sum     [sha256.Size]byte
}

// look reports whether the file has come to rest with another content.
func (w *watcher) look() bool {
	info, err := os.Stat(w.file)
	if err != nil || info.IsDir() {
		w.last = nil
		return false
	}
	if w.last == nil || !same(w.last, info) {
		w.last, w.settled = info, false
		return false
	}
	if w.settled {
		return false
	}
	text, err := os.ReadFile(w.file)
	if err != nil {
		return false
	}
	w.settled = true
	sum := sha256.Sum256(text)
	if sum == w.sum {
		return false
	}
	w.sum = sum
	return true
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
