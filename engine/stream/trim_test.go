package stream_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// trimModel is what one lane ought to hold: entries in order, and readers that come
// and go. Its methods return what is wrong.
type trimModel struct {
	*stream.Log
	t        testing.TB
	lease    *stream.Lease
	appended []event.Position
	readers  map[string]uint64 // frame number that each registered reader has finished
	forever  bool              // the retention keeps everything
}

func newTrimModel(t testing.TB, url, pipeline string, age time.Duration, bytes int64) *trimModel {
	t.Helper()
	l, _, err := openLog(t, url, func(c *stream.Config) {
		c.Strict, c.Pipeline, c.LeaseTTL = false, pipeline, time.Hour // no background work renews it
		c.Retention, c.RetentionBytes = age, bytes
	})
	m := &trimModel{Log: l, t: t, readers: map[string]uint64{}, forever: age > time.Minute && bytes > 1<<20}
	if err == nil {
		err = l.EnsureStreams(t.Context(), []string{stream.Journal})
	}
	if err == nil {
		m.lease, err = l.Acquire(t.Context(), "sink:all")
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *trimModel) append(size int) error {
	at, err := m.Append(m.t.Context(), m.lease, stream.AppendRequest{Stream: stream.Journal, Frame: make([]byte, size), Events: 1})
	m.appended = append(m.appended, at)
	return err
}

// register gives the reader a place: where it was, if it is there, or else at the start
// of what is left.
func (m *trimModel) register(reader string) error {
	if err := m.RegisterReader(m.t.Context(), reader, stream.Journal, false); err != nil {
		return err
	}
	at, err := m.Position(m.t.Context(), reader, stream.Journal, 0)
	if known, ok := m.readers[reader]; ok && err == nil && known != at.Seq {
		err = fmt.Errorf("%s was moved from frame %d to %s", reader, known, at)
	}
	m.readers[reader] = at.Seq
	return err
}

func (m *trimModel) forget(reader string) error {
	delete(m.readers, reader)
	return m.ForgetReader(m.t.Context(), reader, stream.Journal)
}

// commit finishes everything up to frame number to.
func (m *trimModel) commit(reader string, to uint64) error {
	c := stream.Commit{Reader: reader, Stream: stream.Journal, Last: m.appended[to-1]}
	if from := m.readers[reader]; from > 0 {
		c.After = m.appended[from-1]
	}
	answer, err := m.Commit(m.t.Context(), m.lease, c)
	if err == nil && answer != stream.OK {
		err = fmt.Errorf("commit %+v: %s", c, answer)
	}
	m.readers[reader] = to
	return err
}

// check compares the lane with the model and returns how many entries are gone: none
// that a reader has still to read, none from the middle, and none at all where the
// retention keeps everything.
func (m *trimModel) check() (gone uint64, err error) {
	entries, err := m.ReadFrames(m.t.Context(), stream.Journal, 0, event.Position{}, math.MaxInt32, 0)
	if err != nil {
		return 0, err
	}
	gone = uint64(len(m.appended) - len(entries))
	for i, e := range entries {
		if want := m.appended[gone+uint64(i)]; e.At != want {
			return gone, fmt.Errorf("entry %d of those left is %s; want %s", i, e.At, want)
		}
	}
	for reader, at := range m.readers {
		if gone > at {
			return gone, fmt.Errorf("%d entries are gone; %s has finished %d", gone, reader, at)
		}
	}
	if m.forever && gone > 0 {
		return gone, fmt.Errorf("%d entries are gone; all ought to be kept", gone)
	}
	return gone, nil
}

// actions of a random run; must ends the run at what is wrong.
func (m *trimModel) actions(must func(error), trimmed *uint64) map[string]func(*rapid.T) {
	name := rapid.SampledFrom([]string{"a@live", "b@live", "c@live", "a@next"})
	return map[string]func(*rapid.T){
		"append":   func(rt *rapid.T) { must(m.append(rapid.IntRange(1, 400).Draw(rt, "size"))) },
		"register": func(rt *rapid.T) { must(m.register(name.Draw(rt, "reader"))) },
		"forget":   func(rt *rapid.T) { must(m.forget(name.Draw(rt, "reader"))) },
		"trim":     func(*rapid.T) { must(m.Trim(m.t.Context())) },
		"commit": func(rt *rapid.T) {
			reader := name.Draw(rt, "reader")
			at, ok := m.readers[reader]
			if head := uint64(len(m.appended)); ok && at < head {
				must(m.commit(reader, rapid.Uint64Range(at+1, head).Draw(rt, "to")))
			}
		},
		"": func(*rapid.T) {
			gone, err := m.check()
			must(err)
			*trimmed += gone
		},
	}
}

// TestFaultTrimNeverPassesAReader appends, commits, trims, registers and forgets
// readers at random, under retentions that keep nothing, a little, or everything.
func TestFaultTrimNeverPassesAReader(t *testing.T) {
	url, runs, trimmed := embeddedDatabase(t), 0, uint64(0)
	ages := rapid.SampledFrom([]time.Duration{time.Nanosecond, 5 * time.Millisecond, time.Hour})
	sizes := rapid.SampledFrom([]int64{1, 2000, 1 << 30})
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := newTrimModel(t, url, fmt.Sprint("trim", runs), ages.Draw(rt, "age"), sizes.Draw(rt, "bytes"))
		defer m.Close() // hundreds of them
		rt.Repeat(m.actions(func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}, &trimmed))
	})
	if trimmed == 0 {
		t.Fatal("nothing was ever trimmed: the test shows nothing")
	}
}

// Control: a foreign XTRIM that passes a reader is what the check above finds. That
// the log finds it, too, show the conformance suite and, on a real Redis under load,
// TestFaultForeignTrimStopsTheEngine.
func TestFaultControlForeignTrimIsFound(t *testing.T) {
	url := embeddedDatabase(t)
	m := newTrimModel(t, url, "foreign", time.Nanosecond, 1)
	steps := []error{m.register("a@live"), m.append(1), m.append(1), m.append(1), m.commit("a@live", 1), m.Trim(t.Context())}
	if i := slices.IndexFunc(steps, func(err error) bool { return err != nil }); i >= 0 {
		t.Fatal(steps[i])
	}
	if gone, err := m.check(); gone != 1 || err != nil {
		t.Fatalf("before: %d entries gone, %v; want the one that was read", gone, err)
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	if err := c.XTrimMaxLen(t.Context(), "mr:{foreign}:stream:journal:0", 1).Err(); err != nil {
		t.Fatal(err)
	}
	if gone, err := m.check(); err == nil {
		t.Fatalf("%d entries gone and nothing said: the test above proves nothing", gone)
	}
}
