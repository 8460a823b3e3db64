package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a source that keeps every message until it is acknowledged and sends
// what is not again after Suspend.
type broker struct {
	mu      sync.Mutex
	queue   []node.Message // not handed over yet; guarded by mu
	flight  []node.Message // handed over, not acknowledged; guarded by mu
	seq     uint64         // guarded by mu
	acked   []string       // message ids in order; guarded by mu
	stored  func(id string) bool
	early   []string // acknowledged before they were stored; guarded by mu
	batch   int
	empty   func() // called when everything is acknowledged
	suspend int
}

func (b *broker) Receive(ctx context.Context) ([]node.Message, error) {
	b.mu.Lock()
	n := min(b.batch, len(b.queue))
	out := slices.Clone(b.queue[:n])
	b.queue = b.queue[n:]
	for i := range out {
		b.seq++
		out[i].Seq = b.seq
	}
	b.flight = append(b.flight, out...)
	b.mu.Unlock()
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return out, nil
}

func (b *broker) Ack(seq uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.flight) > 0 && b.flight[0].Seq <= seq {
		id := b.flight[0].MessageID
		if !b.stored(id) {
			b.early = append(b.early, id)
		}
		b.acked = append(b.acked, id)
		b.flight = b.flight[1:]
	}
	if len(b.flight)+len(b.queue) == 0 {
		b.empty()
	}
	return nil
}

func (b *broker) Suspend(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspend++
	for i := range b.flight {
		b.flight[i].Redelivered = true
	}
	b.queue = append(slices.Clone(b.flight), b.queue...)
	b.flight = nil
	return nil
}

func (b *broker) Status() node.Status { return node.Status{Ready: true} }
func (b *broker) Close() error        { return nil }

// memoryLog is a journal with the checks of the real one: known identities are
// refused as a whole, and one append at a time per lane.
type memoryLog struct {
	mu      sync.Mutex
	lanes   map[int][]string // root ids; guarded by mu
	known   map[event.Identity]bool
	busy    map[int]bool
	letters []stream.DeadLetter
	fail    func(n int) error // error of the n-th append, before it is stored
	appends int
	t       testing.TB
}

func newMemoryLog(t testing.TB) *memoryLog {
	return &memoryLog{
		lanes: map[int][]string{}, known: map[event.Identity]bool{}, busy: map[int]bool{}, t: t, fail: func(int) error { return nil },
	}
}

func (l *memoryLog) Append(_ context.Context, r stream.AppendRequest) (event.Position, error) {
	l.mu.Lock()
	if l.busy[r.Lane] {
		l.t.Errorf("two appends in flight in lane %d", r.Lane)
	}
	l.busy[r.Lane] = true
	l.mu.Unlock()
	time.Sleep(time.Millisecond) // a durable append takes a while; instant under synctest
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy[r.Lane] = false
	l.appends++
	if err := l.fail(l.appends); err != nil {
		return event.Position{}, err
	}
	var known []int
	for i, id := range r.Identities {
		if l.known[id] {
			known = append(known, i)
		}
	}
	if len(known) > 0 {
		return event.Position{}, &stream.KnownError{Indexes: known}
	}
	f, err := event.DecodeFrame(r.Frame)
	if err != nil || len(f.Events) != r.Events {
		l.t.Errorf("frame of %d events: %v", r.Events, err)
		return event.Position{}, err
	}
	for _, id := range r.Identities {
		if l.known[id] {
			l.t.Error("one frame holds an identity twice")
		}
		l.known[id] = true
	}
	for _, ev := range f.Events {
		l.lanes[r.Lane] = append(l.lanes[r.Lane], ev.RootID)
	}
	return event.Position{Epoch: 1, Ms: 1, Seq: uint64(l.appends)}, nil
}

func (l *memoryLog) StoreDeadLetters(_ context.Context, letters []stream.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters = append(l.letters, letters...)
	return nil
}

func (l *memoryLog) holds(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.lanes {
		if slices.Contains(lane, id) {
			return true
		}
	}
	return slices.ContainsFunc(l.letters, func(d stream.DeadLetter) bool { return d.Event.Source.MessageID == id })
}

type silent struct{}

func (silent) Ingested(string, int, int, time.Duration) {}
func (silent) Repeated(string, int)                     {}
func (silent) Unidentified(string, int)                 {}
func (silent) Held(string, string, int, error)          {}
func (silent) DeadLettered(string, node.Class, int)     {}
func byMessageID(m *node.Message) (string, bool, error) {
	if m.MessageID == "bad" {
		return "", false, errors.New("payload is no JSON")
	}
	return m.MessageID, m.MessageID != "", nil
}

// ingestAll runs an ingest until the broker has nothing left.
func ingestAll(t testing.TB, b *broker, l *memoryLog) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	b.stored, b.empty = l.holds, cancel
	in, err := New(Config{
		Pipeline: "p", Node: "plant1", Source: b, Log: l, Lanes: 4, Identify: byMessageID, FrameEvents: 8,
		Observer: silent{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != context.Canceled {
		t.Fatal("not everything was acknowledged")
	}
	if len(b.early) > 0 {
		t.Fatalf("acknowledged before stored: %v", b.early)
	}
}

func messages(n int) []node.Message {
	list := make([]node.Message, n)
	for i := range list {
		list[i] = node.Message{MessageID: fmt.Sprint(i), Queue: "q", RoutingKey: fmt.Sprint(i % 3), Body: []byte("{}")}
	}
	return list
}

// checkOrder checks that every message is stored once and in order within its key.
func checkOrder(t testing.TB, l *memoryLog, n int) {
	t.Helper()
	seen := map[string]bool{}
	for number, lane := range l.lanes {
		last := map[int]int{}
		for _, id := range lane {
			var i int
			if _, err := fmt.Sscan(id, &i); err != nil {
				t.Fatal(err)
			}
			if seen[id] {
				t.Fatalf("message %s is stored twice", id)
			}
			seen[id] = true
			if prev, ok := last[i%3]; ok && prev > i {
				t.Fatalf("lane %d: message %d comes after %d", number, i, prev)
			}
			last[i%3] = i
		}
	}
	if len(seen) != n {
		t.Fatalf("%d messages are stored; want %d", len(seen), n)
	}
}

func TestEveryMessageOnceInOrderWhateverTheLogDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 120).Draw(rt, "messages")
		batch := rapid.IntRange(1, 30).Draw(rt, "batch")
		faults := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 12).Draw(rt, "faults")
		synctest.Test(t, func(t *testing.T) {
			l := newMemoryLog(t)
			l.fail = func(n int) error {
				if n > len(faults) {
					return nil
				}
				switch faults[n-1] {
				case 1:
					return node.AsAway(errors.New("no answer"))
				case 2:
					return node.AsAway(stream.ErrFull)
				default:
					return nil
				}
			}
			ingestAll(t, &broker{queue: messages(n), batch: batch}, l)
			checkOrder(t, l, n)
		})
	})
}

func TestRepeatedIdentitiesAreStoredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(t)
		list := messages(20)
		twice := append(slices.Clone(list), list...)
		ingestAll(t, &broker{queue: append(twice, list[3]), batch: 7}, l)
		checkOrder(t, l, 20)
	})
}

// Control: without identity the same repeats are stored again, at least once.
func TestWithoutIdentityRepeatsAreStoredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(t)
		list := make([]node.Message, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b := &broker{queue: list, batch: 3, stored: func(string) bool { return true }, empty: cancel}
		in, err := New(Config{Pipeline: "p", Node: "n", Source: b, Log: l, Lanes: 1, Observer: silent{}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := len(l.lanes[0]); got != 10 {
			t.Fatalf("%d events; want 10", got)
		}
	})
}

func TestFullLogSuspendsTheSourceAndResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := time.Now().Add(time.Minute)
		l := newMemoryLog(t)
		l.fail = func(int) error {
			if time.Now().Before(room) {
				return node.AsAway(stream.ErrFull)
			}
			return nil
		}
		b := &broker{queue: messages(50), batch: 10}
		ingestAll(t, b, l)
		checkOrder(t, l, 50)
		if b.suspend < 10 {
			t.Fatalf("suspended %d times in a minute; want about one a second", b.suspend)
		}
	})
}

func TestMalformedMessageIsKeptBeforeItIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(t)
		list := messages(5)
		list[2].MessageID, list[2].Body = "bad", []byte("not json")
		ingestAll(t, &broker{queue: list, batch: 5}, l)
		if len(l.letters) != 1 || string(l.letters[0].Event.Payload) != "not json" || l.letters[0].Code != "malformed" {
			t.Fatalf("dead letters = %+v", l.letters)
		}
		only := newMemoryLog(t)
		ingestAll(t, &broker{queue: []node.Message{{MessageID: "bad"}}, batch: 5}, only)
	})
}

// An ingest that ends early has received more than it has stored. Its successor on
// the same source must meet all of that again: acknowledging what comes after it
// would acknowledge it, too.
func TestEndedIngestGivesBackWhatItHasNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(t)
		l.fail = func(n int) error {
			if n%3 == 0 {
				return stream.ErrLostLease
			}
			return nil
		}
		b := &broker{queue: messages(60), batch: 5, stored: l.holds, empty: func() {}}
		in, err := New(Config{
			Pipeline: "p", Node: "plant1", Source: b, Log: l, Lanes: 4, Identify: byMessageID, FrameEvents: 8,
			Observer: silent{}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Run(t.Context()); !errors.Is(err, stream.ErrLostLease) {
			t.Fatalf("Run = %v", err)
		}
		if len(b.flight) > 0 {
			t.Fatalf("%d messages are kept from the other consumers of the queue", len(b.flight))
		}
		l.fail = func(int) error { return nil }
		ingestAll(t, b, l)
		checkOrder(t, l, 60)
	})
}

func TestLostLeaseEndsTheIngest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(t)
		l.fail = func(int) error { return stream.ErrLostLease }
		b := &broker{queue: messages(3), batch: 3, stored: l.holds, empty: func() {}}
		in, err := New(Config{
			Pipeline: "p", Node: "n", Source: b, Log: l, Lanes: 2, Identify: byMessageID, Observer: silent{}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Run(t.Context()); !errors.Is(err, stream.ErrLostLease) || len(b.acked) > 0 {
			t.Fatalf("Run = %v with %d acknowledged; want %v, 0", err, len(b.acked), stream.ErrLostLease)
		}
	})
}

// The control is the same without a rest.
func TestALaneRestsBetweenSmallFrames(t *testing.T) {
	for _, c := range []struct {
		rest float64
		want time.Duration // from one stored frame to the next
	}{{0, time.Millisecond}, {10, 11 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			l := newMemoryLog(t)
			var stored []time.Time
			l.fail = func(int) error {
				stored = append(stored, time.Now())
				return nil
			}
			b := &broker{queue: make([]node.Message, 24), batch: 6, stored: func(string) bool { return true }}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			b.empty = cancel
			in, err := New(Config{
				Pipeline: "p", Node: "n", Source: b, Log: l, Lanes: 1, FrameEvents: 6, Rest: lifecycle.Rest{Share: c.rest}, Observer: silent{}, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Run(ctx); err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(stored); i++ {
				if gap := stored[i].Sub(stored[i-1]); gap != c.want {
					t.Fatalf("rest %v: frame %d came %s after the one before; want %s", c.rest, i, gap, c.want)
				}
			}
			if len(stored) != 4 || len(l.lanes[0]) != 24 {
				t.Fatalf("%d frames of %d events; want 4 of 24", len(stored), len(l.lanes[0]))
			}
		})
	}
}
