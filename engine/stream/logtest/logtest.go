// Package logtest is the conformance suite of package stream: what a log on any
// Redis must do, one subtest per promise. It is run on real servers and on the
// embedded one. Promises that need a server to be killed or misconfigured are
// tested in package stream itself.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// Database returns the URL of a fresh, empty Redis database that lives as long
// as the test.
type Database func(t testing.TB) string

// Run runs the suite.
func Run(t *testing.T, database Database) {
	for _, s := range []struct {
		name string
		test func(*testing.T, Database)
	}{
		{"append stores a frame at the end of its lane", appendsInOrder},
		{"a repeated append is stored once", appendsOnce},
		{"known identities refuse the whole frame", refusesKnown},
		{"identities are the source's own and outlive the window once", rotatesIdentities},
		{"a full stream refuses appends and leaves the others room", refusesWhenFull},
		{"commit answers ok, already and gap", answersOfCommit},
		{"commit stores outputs, dead letters and state or nothing", commitsAtomically},
		{"versions of state are kept by generation", recordsStateVersions},
		{"a unit behind one that was committed before says so", tellsOfRepeats},
		{"a stale owner's append and commit are refused", fencesStaleOwners},
		{"a newer incarnation takes over at once", takesOverAtOnce},
		{"a silent owner's lease runs out", leaseRunsOut},
		{"a lease that ran out unclaimed is kept", keepsUnclaimedLease},
		{"dead letters are stored once", storesDeadLettersOnce},
		{"a dead letter above 16 MiB is cut", cutsDeadLetters},
		{"dropped dead letters are gone and may come again", dropsDeadLetters},
		{"dead letters are kept for their own time", expiresDeadLetters},
		{"a letter that waits has something to wait for", waitsForSomething},
		{"a letter of strict order holds its key up until it is driven", holdsKeysUp},
		{"letters of strict order stay, and keep no other", expiresBehindStrict},
		{"a dead letter that is driven again is in one place", redrivesDeadLetters},
		{"a reader begins behind the place that it is told", beginsWhereTold},
		{"a reader ends at its last entry", endsAtUntil},
		{"readers are moved in one step or not at all", movesReaders},
		{"streams of a generation are dropped, also for others", dropsStreams},
		{"align follows the reader's own store", aligns},
		{"trimming never passes a reader", trimsBehindReaders},
		{"retention keeps finished frames by age and bytes", retains},
		{"a flushed log stops the pipeline", stopsWhenFlushed},
		{"a log trimmed by others stops the pipeline", stopsWhenTrimmedByOthers},
		{"a lane that ends before what was stored stops the pipeline", stopsWhenBehind},
		{"other lanes and formats are refused", refusesOtherLanes},
		{"entries in the places of lost ones are not passed over", findsReusedPlaces},
		{"an accepted loss lets the log go on", acceptsLoss},
		{"units merge what has queued up", mergesUnits},
		{"a reader that rests leaves time between small units", restsBetweenUnits},
		{"an undecodable entry becomes a dead letter", passesUndecodable},
		{"a nacked unit comes again", redelivers},
		{"a unit in flight at the end may still be finished", drains},
		{"a lost lease stops the lane", stopsLostLane},
		{"cursors read and wait", readsFrames},
		{"stats count lag and bytes", counts},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.test(t, database)
		})
	}
}

// rig is one engine's log in a test.
type rig struct {
	*stream.Log
	t     testing.TB
	url   string
	raw   *redis.Client
	fatal chan error // capacity 1: what OnFatal heard
	stop  func()     // ends Run, as a crash or a pause of the process would
}

// limit bounds every wait of the suite.
const limit = 30 * time.Second

// config is changed by a test before its log is opened.
type config func(*stream.Config)

// start opens a log with background work, ended with the test.
func start(t testing.TB, url string, changes ...config) *rig {
	t.Helper()
	r := &rig{t: t, url: url, fatal: make(chan error, 1)}
	cfg := stream.Config{
		URL: url, Pipeline: "suite", EngineID: "one", Lanes: 2, LeaseTTL: 2 * time.Second,
		Logger: slog.New(slog.DiscardHandler), OnFatal: func(err error) { r.fatal <- err },
	}
	for _, change := range changes {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var err error
	if r.Log, err = stream.Open(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	r.raw = rawClient(t, url)
	r.must(r.EnsureStreams(ctx, []string{stream.Journal, "out"}))
	r.run()
	t.Cleanup(func() {
		r.stop()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func rawClient(t testing.TB, url string) *redis.Client {
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// run starts the background work; r.stop ends it.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx) // what stops it is heard through OnFatal
	}()
	r.stop = func() { cancel(); <-done }
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) wantFatal(target error) {
	r.t.Helper()
	select {
	case err := <-r.fatal:
		if !errors.Is(err, target) {
			r.t.Fatalf("OnFatal heard %v; want %v", err, target)
		}
	case <-time.After(limit):
		r.t.Fatalf("OnFatal heard nothing; want %v", target)
	}
}

func (r *rig) wantNoFatal() {
	r.t.Helper()
	select {
	case err := <-r.fatal:
		r.t.Fatalf("OnFatal heard %v", err)
	default:
	}
}

func (r *rig) lease(name string) *stream.Lease {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	le, err := r.Acquire(ctx, name)
	r.must(err)
	return le
}

// frame encodes n events that are named after label.
func frame(t testing.TB, label string, n int) []byte {
	t.Helper()
	f := event.Frame{Events: make([]*event.Event, n)}
	for i := range f.Events {
		f.Events[i] = makeEvent(fmt.Sprintf("%s-%d", label, i))
	}
	b, err := f.Encode(nil, event.None)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func makeEvent(name string) *event.Event {
	return &event.Event{
		ID: event.RootID(identity(name), 0), RootID: name, Key: name, Payload: []byte(name),
		Source: event.Source{Node: "source", MessageID: name},
	}
}

func identity(name string) event.Identity { return event.NewIdentity("suite", "source", name) }

// put appends one frame of n events named label to the lane.
func (r *rig) put(le *stream.Lease, name string, lane int, label string, n int) event.Position {
	r.t.Helper()
	at, err := r.Append(r.t.Context(), le, stream.AppendRequest{Stream: name, Lane: lane, Frame: frame(r.t, label, n), Events: n})
	r.must(err)
	return at
}

// all reads every frame of a lane and returns the names of its events.
func (r *rig) all(name string, lane int) []string {
	r.t.Helper()
	entries, err := r.ReadFrames(r.t.Context(), name, lane, event.Position{}, 10000, 0)
	r.must(err)
	var names []string
	for _, e := range entries {
		f, err := event.DecodeFrame(e.Frame)
		r.must(err)
		for _, ev := range f.Events {
			names = append(names, ev.RootID)
		}
	}
	return names
}

func (r *rig) position(reader, name string, lane int) event.Position {
	r.t.Helper()
	at, err := r.Position(r.t.Context(), reader, name, lane)
	r.must(err)
	return at
}

// eventually waits until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func equal[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v; want %v", what, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: %v; want %v", what, got, want)
		}
	}
}
