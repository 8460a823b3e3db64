package logtest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// forgetful keeps nothing that all readers have passed.
func forgetful(c *stream.Config) {
	c.Retention, c.RetentionBytes, c.Resume = time.Nanosecond, 1, time.Nanosecond
}

// trimsBehindReaders drives one lane with random appends, commits and trims, and
// compares what is left with the slowest reader's place after each.
func trimsBehindReaders(t *testing.T, database Database) {
	url := database(t)
	n, trimmed := 0, uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		n++
		name := fmt.Sprintf("property%d", n)
		r := start(t, url, forgetful, func(c *stream.Config) { c.Pipeline = name })
		defer func() { r.stop(); _ = r.Close() }() // hundreds of them
		m := newTrimModel(r, name)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(*rapid.T) { m.append() },
			"commit": func(rt *rapid.T) { m.commit(rt) },
			"trim":   func(*rapid.T) { r.must(r.Trim(t.Context())) },
			"":       func(rt *rapid.T) { trimmed += m.check(rt) },
		})
	})
	if trimmed == 0 {
		t.Fatal("nothing was ever trimmed; the test shows nothing")
	}
}

type trimModel struct {
	r         *rig
	leases    []*stream.Lease
	source    *stream.Lease
	positions []event.Position
	entries   []event.Position // all that were ever appended
}

func newTrimModel(r *rig, name string) *trimModel {
	m := &trimModel{r: r, source: r.lease("source:a"), positions: make([]event.Position, 2)}
	for i := range m.positions {
		r.must(r.RegisterReader(r.t.Context(), m.reader(i), stream.Journal, false))
		m.leases = append(m.leases, r.lease("stage:"+fmt.Sprint(name, i)))
	}
	return m
}

func (m *trimModel) reader(i int) string { return fmt.Sprintf("r%d@live", i) }

func (m *trimModel) append() {
	m.entries = append(m.entries, m.r.put(m.source, stream.Journal, 0, "x", 1))
}

func (m *trimModel) commit(rt *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(rt, "reader")
	from := m.positions[i].Seq
	if from == uint64(len(m.entries)) {
		return
	}
	last := m.entries[rapid.Uint64Range(from, uint64(len(m.entries))-1).Draw(rt, "last")]
	c := stream.Commit{Reader: m.reader(i), Stream: stream.Journal, After: m.positions[i], Last: last}
	answer, err := m.r.Commit(m.r.t.Context(), m.leases[i], c)
	if answer != stream.OK || err != nil {
		rt.Fatalf("commit %+v: %s, %v", c, answer, err)
	}
	m.positions[i] = last
}

// check returns how many entries are gone.
func (m *trimModel) check(rt *rapid.T) uint64 {
	slowest := min(m.positions[0].Seq, m.positions[1].Seq)
	entries, err := m.r.ReadFrames(m.r.t.Context(), stream.Journal, 0, event.Position{}, math.MaxInt32, 0)
	if err != nil {
		rt.Fatal(err)
	}
	first := uint64(len(m.entries) - len(entries))
	if first > slowest {
		rt.Fatalf("%d entries are gone; the slowest reader stands at %d", first, slowest)
	}
	for i, e := range entries {
		if e.At != m.entries[first+uint64(i)] {
			rt.Fatalf("entry %d is %s; want %s", i, e.At, m.entries[first+uint64(i)])
		}
	}
	m.r.wantNoFatal()
	return first
}

func retains(t *testing.T, database Database) {
	r := start(t, database(t), func(c *stream.Config) { c.RetentionBytes = 40 << 10 })
	r.stop()
	ctx := t.Context()
	le, at := stage(t, r, 1)
	src := r.lease("source:b")
	big := make([]byte, 1024)
	for range 100 {
		p, err := r.Append(ctx, src, stream.AppendRequest{Stream: stream.Journal, Frame: big, Events: 1})
		r.must(err)
		at = append(at, p)
		eventually(t, "the next millisecond", func() bool { return time.Now().UnixMilli() > int64(p.Ms) })
	}
	left := func() int64 { return r.raw.XLen(ctx, "mr:{suite}:stream:journal:0").Val() }
	r.must(r.Trim(ctx))
	if left() != 101 {
		t.Fatalf("%d entries are left; want all 101, which nobody has read", left())
	}
	c := stream.Commit{Reader: "x@live", Stream: stream.Journal, Last: at[100]}
	if answer, err := r.Commit(ctx, le, c); answer != stream.OK {
		t.Fatal(answer, err)
	}
	r.must(r.Trim(ctx))
	if n := left(); n < 15 || n > 20 { // 20 KiB a lane, entries of 1 KiB and what they need beside it
		t.Fatalf("%d entries are left; want 20 KiB of them", n)
	}
	floor, err := r.Trimmed(ctx, stream.Journal, 0)
	r.must(err)
	if int64(floor.Seq)+left() != 101 {
		t.Fatalf("trimmed up to %s, %d left; want 101 together", floor, left())
	}
	used := r.raw.HGet(ctx, "mr:{suite}:usage", stream.Journal).Val()
	if want := fmt.Sprint(left() * (1024 + 96)); used != want {
		t.Fatalf("usage is %s; want %s", used, want)
	}
}
