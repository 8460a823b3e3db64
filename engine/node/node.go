// Package node holds the contracts of the three kinds of pipeline node: source,
// transform and sink, the unit of work that stages hand to them, and the classes
// of error that decide what becomes of a unit that went wrong. It knows no
// server and no plugin; the suites sourcetest, transformtest and sinktest below
// it hold every implementation to the promises written here.
package node

import (
	"context"
	"time"

	"github.com/millrace/millrace/engine/event"
)

// Message is what a source hands over: a message as the outside system sent it,
// before it has an identity.
type Message struct {
	Seq         uint64 // rises by at least 1 from message to message, also across reconnects
	Body        []byte // not reused by the source
	ContentType string
	Headers     []event.Header
	Exchange    string
	RoutingKey  string
	Queue       string
	MessageID   string    // the broker's message id, "" if none
	Timestamp   time.Time // the broker's timestamp, zero if none
	Redelivered bool
}

// Source brings messages in from an outside system, in the order in which that
// system hands them over, and tells it what has been stored.
type Source interface {
	// Receive returns the next messages, at least one, at most a bounded batch. It
	// blocks until something arrives or ctx ends, and reconnects by itself with
	// backoff: an outside system that is away is not an error. It returns an error
	// only if waiting cannot help (see [ClassOf]: Fatal) or ctx has ended. After a
	// reconnect the outside system may send messages again whose Ack did not reach
	// it; they come with new Seqs.
	//
	// The number and the bytes of messages received and not yet acknowledged are
	// bounded by the source's configuration; Receive waits for Acks beyond it.
	// Receive is called from one goroutine at a time.
	Receive(ctx context.Context) ([]Message, error)

	// Ack tells the outside system that every message up to and including seq is
	// stored durably, so that it may forget them. Seqs of a connection that is gone
	// are ignored. Ack may be called while Receive blocks; it does not wait for
	// the outside system.
	Ack(seq uint64) error

	// Suspend gives every message that is not acknowledged back to the outside
	// system and stops consuming; the next Receive consumes again. It is called
	// when the log is full, never while Receive runs.
	Suspend(ctx context.Context) error

	// Status reports whether the source is consuming and, if not, why. It may be
	// called at any time from any goroutine and never blocks on the outside.
	Status() Status

	// Close gives back what is unacknowledged and frees every resource. It may be
	// called while Receive blocks, which then returns.
	Close() error
}

// Status is a node's readiness with the reason when it is not ready.
type Status struct {
	Ready  bool
	Reason string // one line for people; "" when ready
}

// Batch is the input of one transform call: consecutive events of one lane, in
// order. It must not be changed or kept after the call.
type Batch struct {
	Lane      int // counts the lanes of all streams that the transform reads, from 0
	Events    []*event.Event
	Watermark int64 // ms: no earlier event time is expected any more; 0 if unknown
	State     State // keyed state; nil unless the transform is [Stateful] and names keys
}

// State is the keyed state of one node within one unit. What is put is stored in
// the same commit that moves the unit's position, or not at all. Values are in the
// form of [PackState].
type State interface {
	// Get returns the key's value, nil if it has none. The caller must not change it.
	Get(key string) []byte
	// Put sets the key's value; nil removes it. The value is not copied.
	Put(key string, value []byte)
}

// Result is what became of one input event: any number of outputs (none and no
// reject means it was dropped on purpose) and the records that could not be used.
type Result struct {
	Outputs []*event.Event
	Rejects []Reject
}

// Reject says that an event, or one record of it, can never be processed.
type Reject struct {
	Record int    // number of the record within the event, from 0; -1: the event as a whole
	Code   string // short machine-readable reason, such as "bad_number"
	Text   string // for people: what was found and what was expected
	Maker  string // "name@version#hash8" of the plugin that says so; "": a built-in node
}

// Transform turns events into events.
type Transform interface {
	// Process returns one Result for each event of in, in order. Outputs are new
	// events made with [event.Event.Derive], whose ordinals count the records found
	// in the input event, rejected and filtered ones included: processing the same
	// event again gives the same ids.
	//
	// Bad data is a Reject, never an error. An error means that nothing of the
	// batch was processed: by its class the batch waits, is tried again, or is
	// cut in halves until the guilty event stands alone. Process is called from one
	// goroutine at a time per lane and concurrently for different lanes.
	Process(ctx context.Context, in *Batch) ([]Result, error)

	// Close frees every resource, after the last Process has returned.
	Close() error
}

// Stateful is implemented by transforms that keep state by key, or may come to do
// so: whether one keeps any now is what [StatefulOf] says.
type Stateful interface {
	// StateVersion names the layout of the state values; "": it keeps none now.
	StateVersion() string
	// StateKeys returns the keys whose state Process may read or write for in, each
	// once; nil: none, and in gets no State. An event's key is the only one that one
	// lane alone works on. It is called just before Process, by the same goroutine.
	StateKeys(in *Batch) []string
}

// Unit is 1..K consecutive frames of one lane, handled as one watermill message,
// one plugin exchange, one transaction and one commit.
type Unit struct {
	Stream    string
	Lane      int
	After     event.Position // the last entry before the unit: what the reader's position must be
	Last      event.Position // the unit's last entry: what the position becomes
	Events    []*event.Event
	Watermark int64 // ms; 0 if unknown
}

// Sink delivers events to a system outside the engine.
type Sink interface {
	// Write delivers the unit's events in order and returns once the outside system
	// has made all of it durable. If some events can never be stored it stores
	// nothing and returns a [*RejectedError] that names all of them; the caller
	// keeps them as dead letters and calls again with the rest, under the same
	// After and Last. Any other error means that the unit was not stored, or that
	// nobody can tell; the same unit then comes again, and Write must tell repeats.
	//
	// Write does not change or keep u. It is called from one goroutine at a time
	// per (stream, lane), and concurrently for different lanes.
	Write(ctx context.Context, u *Unit) error

	// Status reports whether the sink accepts units. It never blocks.
	Status() Status

	// Close frees every resource, after the last Write has returned.
	Close() error
}

// Positioned is implemented by sinks that store their position in the same
// transaction as their rows, and so tell repeats exactly.
type Positioned interface {
	// Position returns where the sink stands in (stream, lane) and creates the
	// position at start if the sink has none yet. Reading goes on from here,
	// whatever the log's own position says.
	Position(ctx context.Context, stream string, lane int, start event.Position) (event.Position, error)
}

// Placer is implemented by sinks with a position of their own whose place can be
// chosen anew while nobody writes: when a pipeline's plan is changed under way.
type Placer interface {
	// Place puts the sink's position in (stream, lane) to at, whether or not it has
	// one there; the zero Position removes it. Position must be called before the
	// next Write.
	Place(ctx context.Context, stream string, lane int, at event.Position) error
}

// Rejoiner is implemented by sinks with a position of their own that can go on with
// a log which lost a part of itself, once a person has accepted the loss.
type Rejoiner interface {
	// Rejoin moves the sink's position in (stream, lane) from one of the log's
	// earlier epochs to the place in the present one that the log gives it. It does
	// nothing if the sink stands there already, and it is Fatal if it stands
	// anywhere else. Position must have been called.
	Rejoin(ctx context.Context, stream string, lane int, from, to event.Position) error
}
