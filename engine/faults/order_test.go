package faults

import (
	"context"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
)

// Each test below crashes between the two effects of one row of the order of
// effects, starts a new life, and counts. Each control swaps the two effects and
// must fail the same count.

const events = 60

// acking is a source whose Ack can be replaced.
type acking struct {
	node.Source
	ack     func(seq uint64) error
	receive func(ctx context.Context) ([]node.Message, error)
}

func (a acking) Ack(seq uint64) error { return a.ack(seq) }
func (a acking) Receive(ctx context.Context) ([]node.Message, error) {
	if a.receive != nil {
		return a.receive(ctx)
	}
	return a.Source.Receive(ctx)
}

// drain ingests whatever the broker still has into the journal, until everything is
// there or nothing has been left to take for so long.
func (p *plant) drain(patience time.Duration) []string {
	l := p.live()
	defer l.over()
	var ids []string
	empty := time.Now()
	l.until(func() error {
		return l.ingest(func(s node.Source) node.Source { return s }, nil)
	}, func() bool {
		ids = l.stored(stream.Journal)
		lost, _ := tally(ids, events)
		if !p.queueEmpty() {
			empty = time.Now()
		}
		return lost == 0 || time.Since(empty) > patience
	})
	return ids
}

func TestFaultCrashBetweenAppendAndAck(t *testing.T) {
	p := newPlant(t)
	p.publish(events)
	l := p.live()
	err := l.ingest(func(s node.Source) node.Source {
		return acking{Source: s, ack: func(uint64) error { return l.crash() }}
	}, nil)
	t.Logf("first life: %v", err)
	if lost, doubled := tally(p.drain(time.Minute), events); lost+doubled > 0 {
		t.Fatalf("lost %d, doubled %d", lost, doubled)
	}
}

func TestFaultControlAckBeforeAppendLoses(t *testing.T) {
	p := newPlant(t)
	p.publish(events)
	l := p.live()
	err := l.ingest(func(s node.Source) node.Source {
		early := func(ctx context.Context) ([]node.Message, error) {
			list, err := s.Receive(ctx)
			if err == nil {
				err = s.Ack(list[len(list)-1].Seq)
			}
			return list, err
		}
		return acking{Source: s, receive: early, ack: func(uint64) error { return nil }}
	}, l.crash)
	t.Logf("first life: %v", err)
	if lost, _ := tally(p.drain(2*time.Second), events); lost == 0 {
		t.Fatal("acknowledging first lost nothing: the test above proves nothing")
	}
}

// crashOn returns a hook that crashes before the commit of the n-th unit.
func crashOn(n int) func(l *life, _ *stream.Lease, _ *node.Batch) error {
	return func(l *life, _ *stream.Lease, _ *node.Batch) error {
		if n--; n == 0 {
			return l.crash()
		}
		return nil
	}
}

func noHook(*life, *stream.Lease, *node.Batch) error { return nil }

func TestFaultCrashBeforeCommit(t *testing.T) {
	p := newPlant(t)
	first := p.live("out")
	first.fill(events)
	never := func([]string) bool { return false }
	first.transform(crashOn(3), never)
	second := p.live("out")
	second.transform(crashOn(2), never)
	last := p.live("out")
	last.transform(noHook, func(ids []string) bool { return len(ids) >= events })
	judge := p.live("out")
	defer judge.over()
	ids := judge.stored("out")
	lost, doubled := tally(ids, events)
	if lost+doubled > 0 {
		t.Fatalf("lost %d, doubled %d", lost, doubled)
	}
}

// Control: outputs that are appended in a step of their own come twice when the
// crash falls between that step and the move of the position.
func TestFaultControlOutputsBeforePositionDouble(t *testing.T) {
	p := newPlant(t)
	first := p.live("out")
	first.fill(events)
	units := 0
	early := func(l *life, lease *stream.Lease, in *node.Batch) error {
		f := event.Frame{Events: in.Events}
		b, err := f.Encode(nil, event.None)
		if err != nil {
			return err
		}
		if _, err := l.log.Append(l.ctx, lease, stream.AppendRequest{Stream: "out", Frame: b, Events: len(in.Events)}); err != nil {
			return err
		}
		if units++; units == 3 {
			return l.crash()
		}
		return nil
	}
	first.transform(early, func([]string) bool { return false })
	last := p.live("out")
	last.transform(noHook, func(ids []string) bool { lost, _ := tally(ids, events); return lost == 0 })
	judge := p.live("out")
	defer judge.over()
	if _, doubled := tally(judge.stored("out"), events); doubled == 0 {
		t.Fatal("appending outputs first doubled nothing: the test above proves nothing")
	}
}

// hooked is a sink with hooks around Write; it keeps the position of the sink below.
type hooked struct {
	node.Sink
	write func(ctx context.Context, u *node.Unit) error
}

func (h hooked) Write(ctx context.Context, u *node.Unit) error { return h.write(ctx, u) }

// positioned is a hooked sink that tells its position.
type positioned struct {
	hooked
	node.Positioned
}

func plainLetters(u underLease) stage.DeadLetterStore { return u }

// finish writes what is left with the real sink and returns the table's roots.
func (p *plant) finish(want int) []string {
	p.t.Helper()
	s := p.openSink()
	defer s.Close()
	l := p.live()
	l.sink(s, plainLetters, func() bool { return len(p.rootsIn("rows_")) >= want })
	_ = l.log.Close()
	return p.rootsIn("rows_")
}

func (p *plant) table(ddl string) {
	p.t.Helper()
	if _, err := p.db.Exec(ddl); err != nil {
		p.t.Fatal(err)
	}
}

func TestFaultCrashBetweenSQLAndRedisPosition(t *testing.T) {
	p := newPlant(t)
	p.table(orderTable)
	l := p.live()
	l.fill(events)
	s := p.openSink()
	units := 0
	l.sink(positioned{hooked{s, func(ctx context.Context, u *node.Unit) error {
		err := s.Write(ctx, u)
		if err != nil {
			return err // the same unit comes again
		}
		if units++; units == 3 {
			return l.crash()
		}
		return nil
	}}, s}, plainLetters, func() bool { return false })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lost, doubled := tally(p.finish(events), events)
	if lost+doubled > 0 {
		t.Fatalf("lost %d, doubled %d", lost, doubled)
	}
}

// plainSink inserts rows without position or key, as a sink that trusts the log's
// position would.
type plainSink struct{ p *plant }

func (s plainSink) Write(ctx context.Context, u *node.Unit) error {
	for _, ev := range u.Events {
		if _, err := s.p.db.ExecContext(ctx, "INSERT INTO plain VALUES (?)", ev.RootID); err != nil {
			return node.AsAway(err)
		}
	}
	return nil
}
func (plainSink) Status() node.Status { return node.Status{Ready: true} }
func (plainSink) Close() error        { return nil }

func TestFaultControlSinkWithoutPositionDoubles(t *testing.T) {
	p := newPlant(t)
	p.table("CREATE TABLE plain (root VARCHAR(64))")
	l := p.live()
	l.fill(events)
	units := 0
	s := plainSink{p}
	l.sink(hooked{s, func(ctx context.Context, u *node.Unit) error {
		err := s.Write(ctx, u)
		if err != nil {
			return err // the same unit comes again
		}
		if units++; units == 3 {
			return l.crash()
		}
		return nil
	}}, plainLetters, func() bool { return false })
	last := p.live()
	last.sink(s, plainLetters, func() bool { lost, _ := tally(p.rootsIn("plain"), events); return lost == 0 })
	if _, doubled := tally(p.rootsIn("plain"), events); doubled == 0 {
		t.Fatal("a sink without position doubled nothing: the test above proves nothing")
	}
}

// crashingLetters stores dead letters and crashes before their neighbours' rows.
type crashingLetters struct{ underLease }

func (c crashingLetters) StoreDeadLetters(ctx context.Context, letters []stream.DeadLetter) error {
	if err := c.underLease.StoreDeadLetters(ctx, letters); err != nil {
		return err
	}
	return c.crash()
}

// rejecting refuses the event with root "7" until nobody offers it.
func rejecting(s node.Sink) func(ctx context.Context, u *node.Unit) error {
	return func(ctx context.Context, u *node.Unit) error {
		for i, ev := range u.Events {
			if ev.RootID == "7" {
				return &node.RejectedError{Rejects: []node.EventReject{{Index: i, Reject: node.Reject{Record: -1, Code: "bad", Text: "seven"}}}}
			}
		}
		return s.Write(ctx, u)
	}
}

func (p *plant) deadLetters() int {
	p.t.Helper()
	l := p.live()
	defer l.over()
	list, err := l.log.DeadLetters(l.ctx, "", 100)
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}

func TestFaultCrashBetweenDeadLetterAndNeighbours(t *testing.T) {
	p := newPlant(t)
	p.table(orderTable)
	first := p.live()
	first.fill(events)
	s := p.openSink()
	defer s.Close()
	sink := positioned{hooked{s, rejecting(s)}, s}
	first.sink(sink, func(u underLease) stage.DeadLetterStore { return crashingLetters{u} }, func() bool { return false })
	last := p.live()
	last.sink(sink, plainLetters, func() bool { return len(p.rootsIn("rows_")) >= events-1 })
	lost, doubled := tally(p.rootsIn("rows_"), events)
	if n := p.deadLetters(); n != 1 || lost != 1 || doubled != 0 {
		t.Fatalf("%d dead letters, %d rows lost, %d doubled; want 1, 1 (the dead one), 0", n, lost, doubled)
	}
}

// Control: rows and position first, the dead letter after: the crash loses it.
func TestFaultControlNeighboursBeforeDeadLetterLoseIt(t *testing.T) {
	p := newPlant(t)
	p.table(orderTable)
	first := p.live()
	first.fill(events)
	s := p.openSink()
	defer s.Close()
	swapped := func(ctx context.Context, u *node.Unit) error {
		rest := *u
		rest.Events = nil
		for _, ev := range u.Events {
			if ev.RootID != "7" {
				rest.Events = append(rest.Events, ev)
			}
		}
		if err := s.Write(ctx, &rest); err != nil || len(rest.Events) == len(u.Events) {
			return err
		}
		return first.crash()
	}
	first.sink(positioned{hooked{s, swapped}, s}, plainLetters, func() bool { return false })
	last := p.live()
	last.sink(positioned{hooked{s, rejecting(s)}, s}, plainLetters, func() bool { return len(p.rootsIn("rows_")) >= events-1 })
	if n := p.deadLetters(); n != 0 {
		t.Fatalf("%d dead letters: the test above proves nothing", n)
	}
}
