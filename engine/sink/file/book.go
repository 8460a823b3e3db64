package filesink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// bookVersion is the version of the position file's format, see FORMAT.md.
const bookVersion = 1

// maxBook is the size from which the position file is written anew with its last
// entry alone.
const maxBook = 1 << 20

// state is one entry of the position file: all that a restart needs to know.
type state struct {
	Version    int             `json:"version"`
	Pipeline   string          `json:"pipeline"`
	Generation string          `json:"generation"`
	Sink       string          `json:"sink"`
	Serial     uint64          `json:"serial"` // finished files so far
	Offset     int64           `json:"offset"` // bytes of the part that are delivered; 0: there is none
	Begun      int64           `json:"begun"`  // when the part got its first line, ms since the Unix epoch
	Format     string          `json:"format"` // of the part
	Header     uint32          `json:"header"` // CRC-32C of the part's header line
	Lanes      map[string]lane `json:"lanes"`  // by STREAM/LANE
}

// lane is where one lane stands, and which incarnation of the sink writes it.
type lane struct {
	At    string `json:"at"` // as [event.Position.String]
	Owner string `json:"owner"`
}

func (l lane) position() (event.Position, error) { return event.ParsePosition(l.At) }

// with returns a copy of st in which a lane stands at at.
func (st *state) with(key string, at event.Position, owner string) state {
	next := st.without(key)
	next.Lanes[key] = lane{at.String(), owner}
	return next
}

// without returns a copy of st that knows nothing of a lane.
func (st *state) without(key string) state {
	next := *st
	next.Lanes = map[string]lane{}
	maps.Copy(next.Lanes, st.Lanes)
	delete(next.Lanes, key)
	return next
}

// book is the position file: entries one after another, of which the last whole one
// counts. It is read and written under the folder's lock.
type book struct {
	path string
	f    *os.File
	size int64 // up to the end of the last whole entry
	last state
}

var table = crc32.MakeTable(crc32.Castagnoli)

// entry returns st as one line: CRC-32C of the JSON text as 8 hex digits, a blank, the
// text.
func (st *state) entry() ([]byte, error) {
	text, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, table), text), nil
}

// parseEntry reads a line without its end.
func parseEntry(line []byte) (st state, ok bool) {
	sum, text, found := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !found || err != nil || crc32.Checksum(text, table) != uint32(want) {
		return st, false
	}
	return st, json.Unmarshal(text, &st) == nil && st.Version == bookVersion
}

// current makes the book what the file says, which another sink may have written. It
// reports whether anything is new.
func (b *book) current() (changed bool, err error) {
	there, err := os.Stat(b.path)
	if err != nil {
		return false, err
	}
	if b.f != nil {
		mine, err := b.f.Stat()
		if err == nil && os.SameFile(mine, there) && there.Size() == b.size {
			return false, nil
		}
	}
	return true, b.load()
}

// load reads the file. What follows the last whole entry is one that a crash has cut
// short; it is taken away.
func (b *book) load() error {
	b.close()
	f, err := os.OpenFile(b.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(b.path)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	last, size := lastEntry(data)
	if size == 0 || bytes.Count(data[size:], []byte("\n")) > 1 {
		return errors.Join(node.AsFatal(fmt.Errorf("%s is damaged at byte %d: put the file back from a copy, or move it and the files beside it away", b.path, size)), f.Close())
	}
	if size < int64(len(data)) {
		if err := errors.Join(f.Truncate(size), f.Sync()); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	b.f, b.size, b.last = f, size, last
	return nil
}

// lastEntry returns the last entry of the unbroken run at the beginning of data, and
// where it ends.
func lastEntry(data []byte) (last state, size int64) {
	for rest := data; ; {
		line, behind, whole := bytes.Cut(rest, []byte("\n"))
		st, ok := parseEntry(line)
		if !whole || !ok {
			return last, size
		}
		last, size, rest = st, int64(len(data)-len(behind)), behind
	}
}

// commit makes next the last entry, on disk when it returns nil. After an error the
// entry before counts.
func (b *book) commit(next state) error {
	line, err := next.entry()
	if err != nil {
		return err
	}
	if b.size+int64(len(line)) > maxBook {
		return b.renew(next)
	}
	_, err = b.f.WriteAt(line, b.size)
	if err == nil {
		err = b.f.Sync()
	}
	if err != nil {
		return errors.Join(err, b.f.Truncate(b.size))
	}
	b.size, b.last = b.size+int64(len(line)), next
	return nil
}

// renew puts a file with the one entry next in the place of the present one, if any.
func (b *book) renew(next state) error {
	line, err := next.entry()
	if err != nil {
		return err
	}
	fresh := b.path + ".new"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if err = errors.Join(err, f.Sync()); err == nil {
		err = os.Rename(fresh, b.path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(b.path))
	}
	if err != nil {
		b.close() // whichever of the two is there now, it is read before anything else
		return errors.Join(err, f.Close())
	}
	b.close()
	b.f, b.size, b.last = f, int64(len(line)), next
	return nil
}

func (b *book) close() {
	if b.f != nil {
		_ = b.f.Close() // nothing is unwritten: each entry was synced
		b.f = nil
	}
}

// sizeOf returns a file's size, -1 if there is no such file.
func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
