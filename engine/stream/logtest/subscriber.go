package logtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/stream"
)

// reading is one subscription in a test.
type reading struct {
	r    *rig
	sub  *stream.LaneSubscriber
	ch   <-chan *message.Message
	stop chan error
}

func subscribe(r *rig, le *stream.Lease, cfg stream.SubscriberConfig) *reading {
	r.t.Helper()
	u := &reading{r: r, stop: make(chan error, 1)}
	cfg.Log, cfg.Lease = r.Log, le
	if cfg.Drain == 0 {
		cfg.Drain = 100 * time.Millisecond
	}
	cfg.OnStop = func(err error) { u.stop <- err }
	var err error
	u.sub, err = stream.NewLaneSubscriber(cfg)
	r.must(err)
	u.ch, err = u.sub.Subscribe(context.WithoutCancel(r.t.Context()), stream.TopicOf(cfg.Stream, cfg.Lane))
	r.must(err)
	r.t.Cleanup(func() { _ = u.sub.Close() })
	return u
}

// next returns the next unit's message and delivery.
func (u *reading) next() (*message.Message, *stream.Delivery) {
	u.r.t.Helper()
	select {
	case msg, ok := <-u.ch:
		if !ok {
			u.r.t.Fatalf("the subscription has ended: %v", u.stopped())
		}
		d, ok := stream.DeliveryFrom(msg)
		if !ok {
			u.r.t.Fatal("the message carries no delivery")
		}
		return msg, d
	case <-time.After(limit):
		u.r.t.Fatal("no unit came")
		return nil, nil
	}
}

// names takes units until n events have come, acknowledges them and returns
// their events' names.
func (u *reading) names(n int) []string {
	u.r.t.Helper()
	var names []string
	for len(names) < n {
		msg, d := u.next()
		for _, ev := range d.Unit.Events {
			names = append(names, ev.RootID)
		}
		u.ack(msg)
	}
	return names
}

// ack acknowledges msg and waits until it is committed.
func (u *reading) ack(msg *message.Message) {
	msg.Ack()
	<-msg.Context().Done()
}

// stopped waits for what OnStop hears.
func (u *reading) stopped() error {
	u.r.t.Helper()
	select {
	case err := <-u.stop:
		return err
	case <-time.After(limit):
		u.r.t.Fatal("the subscription did not stop")
		return nil
	}
}

// tellsOfRepeats commits a unit behind its subscriber's back, as a process does whose
// answer got lost.
func tellsOfRepeats(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 3)
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal, MaxEvents: 1})
	msg, first := u.next()
	if answer, err := r.Commit(t.Context(), le, stream.Commit{Reader: "x@live", Stream: stream.Journal, Last: at[0]}); answer != stream.OK {
		t.Fatalf("commit: %s, %v", answer, err)
	}
	u.ack(msg)
	msg, second := u.next()
	u.ack(msg)
	_, third := u.next()
	equal(t, "unsure", []bool{first.Unsure, second.Unsure, third.Unsure}, []bool{false, true, false})
}

func mergesUnits(t *testing.T, database Database) {
	r := start(t, database(t))
	le, _ := stage(t, r, 1)
	src := r.lease("source:b")
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal, MaxEvents: 10})
	msg, d := u.next()
	if len(d.Unit.Events) != 1 || string(msg.Payload) != "in-0" || msg.UUID != "in-0" {
		t.Fatalf("lone event came as %s %q in a unit of %d; want itself", msg.UUID, msg.Payload, len(d.Unit.Events))
	}
	var want []string
	for i := range 9 { // while the first unit is being handled
		r.put(src, stream.Journal, 0, fmt.Sprint(i), 3)
		for j := range 3 {
			want = append(want, fmt.Sprintf("%d-%d", i, j))
		}
	}
	last := d.Unit.Last
	u.ack(msg)
	var got []string
	units := 0
	for len(got) < len(want) {
		msg, d := u.next()
		if len(d.Unit.Events) > 10 || d.Unit.After != last {
			t.Fatalf("unit of %d events after %s; want at most 10 after %s", len(d.Unit.Events), d.Unit.After, last)
		}
		for _, ev := range d.Unit.Events {
			got = append(got, ev.RootID)
			if ev.Root.Compare(d.Unit.After) <= 0 || ev.Root.Compare(d.Unit.Last) > 0 {
				t.Fatalf("event %s has root %s; want its journal entry", ev.RootID, ev.Root)
			}
		}
		last = d.Unit.Last
		units++
		u.ack(msg)
	}
	equal(t, "events", got, want)
	if units == 9 {
		t.Fatalf("9 frames came in %d units; want them merged", units)
	}
	if at := r.position("x@live", stream.Journal, 0); at != last {
		t.Fatalf("position %s; want %s", at, last)
	}
}

// restsBetweenUnits has a unit of some events take 5 ms: the next one comes 15 ms later
// at the earliest, though it is there.
func restsBetweenUnits(t *testing.T, database Database) {
	r := start(t, database(t))
	le, _ := stage(t, r, 0)
	src := r.lease("source:b")
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal, Rest: lifecycle.Rest{Share: 3}})
	r.put(src, stream.Journal, 0, "first", 10)
	msg, _ := u.next()
	r.put(src, stream.Journal, 0, "second", 1)
	lifecycle.Sleep(t.Context(), 5*time.Millisecond)
	over := time.Now()
	u.ack(msg)
	_, d := u.next()
	if rest := time.Since(over); rest < 15*time.Millisecond || d.Unit.Events[0].RootID != "second-0" {
		t.Fatalf("%s came %s after the first unit; want second-0 after at least 15ms", d.Unit.Events[0].RootID, rest)
	}
}

func passesUndecodable(t *testing.T, database Database) {
	r := start(t, database(t))
	le, _ := stage(t, r, 1)
	src := r.lease("source:b")
	garbage := []byte("this is no frame")
	_, err := r.Append(t.Context(), src, stream.AppendRequest{Stream: stream.Journal, Frame: garbage, Events: 1})
	r.must(err)
	r.put(src, stream.Journal, 0, "after", 1)
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal})
	equal(t, "events", u.names(2), []string{"in-0", "after-0"})
	letters, err := r.DeadLetters(t.Context(), "", 10)
	r.must(err)
	if len(letters) != 1 || string(letters[0].Raw) != string(garbage) || letters[0].Code != "undecodable" || letters[0].At.Seq != 2 {
		t.Fatalf("dead letters %+v; want the second entry as it was", letters)
	}
	if at := r.position("x@live", stream.Journal, 0); at.Seq != 3 {
		t.Fatalf("position %s; want behind the third entry", at)
	}
	r.wantNoFatal()
}

func redelivers(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 2)
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal, MaxEvents: 1})
	for range 3 {
		msg, d := u.next()
		if d.Unit.Last != at[0] {
			t.Fatalf("unit %s; want %s again", d.Unit.Last, at[0])
		}
		d.Stage(stream.Effects{Outputs: []stream.Output{{Stream: "out", Frame: frame(t, "no", 1), Events: 1}}})
		msg.Nack()
	}
	msg, d := u.next()
	d.Stage(stream.Effects{Outputs: []stream.Output{{Stream: "out", Frame: frame(t, "yes", 1), Events: 1}}})
	u.ack(msg)
	equal(t, "outputs", r.all("out", 0), []string{"yes-0"})

	_, d = u.next() // in flight when the subscription ends
	if err := u.sub.Close(); err != nil {
		t.Fatal(err)
	}
	again := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal})
	if _, e := again.next(); e.Unit.Last != d.Unit.Last {
		t.Fatalf("unit %s after a restart; want %s, which was not acknowledged", e.Unit.Last, d.Unit.Last)
	}
}

func drains(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 3)
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal, MaxEvents: 1, Drain: limit})
	msg, d := u.next()
	closed := make(chan error, 1)
	go func() { closed <- u.sub.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("closed (%v) while a unit is in flight", err)
	case <-msg.Context().Done():
		t.Fatal("the unit's context ended before its time to finish was over")
	case <-time.After(50 * time.Millisecond):
	}
	d.Stage(stream.Effects{Outputs: []stream.Output{{Stream: "out", Frame: frame(t, "done", 1), Events: 1}}})
	msg.Ack()
	r.must(<-closed)
	if _, open := <-u.ch; open {
		t.Fatal("another unit came after the end")
	}
	if got := r.position("x@live", stream.Journal, 0); got != at[0] {
		t.Fatalf("position %s; want %s, which was finished", got, at[0])
	}
	equal(t, "outputs", r.all("out", 0), []string{"done-0"})
}

func stopsLostLane(t *testing.T, database Database) {
	r := start(t, database(t))
	le, _ := stage(t, r, 1)
	u := subscribe(r, le, stream.SubscriberConfig{Reader: "x@live", Stream: stream.Journal})
	msg, _ := u.next()
	start(t, r.url, engine("two"))
	r.must(r.raw.HSet(t.Context(), "mr:{suite}:owners", "stage:x", "two:1:1").Err())
	msg.Ack()
	if err := u.stopped(); !errors.Is(err, stream.ErrLostLease) {
		t.Fatalf("lane stopped with %v; want ErrLostLease", err)
	}
	if at := r.position("x@live", stream.Journal, 0); at.Seq != 0 {
		t.Fatalf("position %s; want it where it was", at)
	}
	r.wantNoFatal()
}

func readsFrames(t *testing.T, database Database) {
	r := start(t, database(t))
	le := r.lease("source:a")
	ctx := t.Context()
	entries, err := r.ReadFrames(ctx, "out", 0, event.Position{}, 10, 20*time.Millisecond)
	if len(entries) != 0 || err != nil {
		t.Fatalf("empty lane: %v, %v; want none", entries, err)
	}
	done := make(chan []stream.Entry, 1)
	go func() {
		entries, err := r.ReadFrames(ctx, "out", 0, event.Position{}, 10, limit)
		if err != nil {
			t.Error(err)
		}
		done <- entries
	}()
	at := r.put(le, "out", 0, "x", 1)
	if entries = <-done; len(entries) != 1 || entries[0].At != at {
		t.Fatalf("waiting read got %v; want the entry %s", entries, at)
	}
	r.put(le, "out", 0, "y", 1)
	r.put(le, "out", 0, "z", 1)
	if entries, err = r.ReadFrames(ctx, "out", 0, at, 1, 0); err != nil || len(entries) != 1 || entries[0].At.Seq != 2 {
		t.Fatalf("read behind %s: %v, %v; want one entry", at, entries, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.ReadFrames(ended, "out", 1, event.Position{}, 1, limit); err == nil {
		t.Fatal("read went on although its context has ended")
	}
}

func counts(t *testing.T, database Database) {
	r := start(t, database(t))
	le, at := stage(t, r, 2)
	r.put(r.lease("source:b"), stream.Journal, 0, "more", 5)
	r.must(r.RegisterReader(t.Context(), "y@live", "out", true))
	lag := func(events int64) func() bool {
		return func() bool {
			for _, s := range r.Stats().Readers {
				if s.Reader == "x@live" && s.Lane == 0 && s.Events == events {
					return true
				}
			}
			return false
		}
	}
	eventually(t, "a lag of 7 events", lag(7))
	if answer, err := r.Commit(t.Context(), le, stream.Commit{Reader: "x@live", Stream: stream.Journal, Last: at[1]}); answer != stream.OK {
		t.Fatal(answer, err)
	}
	r.must(r.StoreDeadLetters(t.Context(), le, []stream.DeadLetter{letter("bad", 1)}))
	eventually(t, "a lag of 5 events", lag(5))
	eventually(t, "one dead letter", func() bool { return r.Stats().DeadLetters == 1 && r.Stats().DeadBytes > 0 })
	s := r.Stats()
	if len(s.Readers) != 4 || !s.Readers[2].External || s.Readers[0].External {
		t.Fatalf("readers %+v; want two lanes of two readers, those of out external", s.Readers)
	}
	journal := s.Streams[stream.Journal]
	if s.Bytes == 0 || s.Bytes != journal.Bytes || journal.Frames != 3 || s.MaxBytes != r.MaxBytes() {
		t.Fatalf("stats %+v; want the journal's three frames", s)
	}
}
