package node

import (
	"errors"
	"fmt"
)

// Class says what the engine does about an error.
type Class uint8

// The classes, from the mildest policy to the sternest.
const (
	// Unsure is an error that nobody classified, a deadline or a crash: the unit is
	// tried again a limited number of times, then bisected and the guilty event
	// becomes a dead letter.
	Unsure Class = iota
	// Away means that a server cannot be reached or is busy (deadlock, lock wait,
	// too many connections): the lane waits with backoff, without limit.
	Away
	// Rejected means bad data: trying again can never succeed. The unit is bisected
	// at once and the bad event becomes a dead letter.
	Rejected
	// Fatal means that going on would do harm (schema drift, a foreign log, changed
	// lanes): the pipeline pauses and says why.
	Fatal
)

// String returns the class's name as dead letters, metrics and logs show it.
func (c Class) String() string {
	return [...]string{"unsure", "away", "rejected", "fatal"}[c]
}

type classified struct {
	class Class
	err   error
}

func (e *classified) Error() string { return e.err.Error() }
func (e *classified) Unwrap() error { return e.err }

func withClass(c Class, err error) error {
	if err == nil {
		return nil
	}
	return &classified{c, err}
}

// AsAway marks err as [Away]. nil stays nil.
func AsAway(err error) error { return withClass(Away, err) }

// AsFatal marks err as [Fatal]. nil stays nil.
func AsFatal(err error) error { return withClass(Fatal, err) }

// AsRejected marks err as [Rejected]. nil stays nil.
func AsRejected(err error) error { return withClass(Rejected, err) }

// AsUnsure marks err as [Unsure], whatever class it wraps. nil stays nil.
func AsUnsure(err error) error { return withClass(Unsure, err) }

// ClassOf returns the class of the outermost mark in err's chain; a
// [*RejectedError] is Rejected, anything unmarked is Unsure.
func ClassOf(err error) Class {
	if c, ok := errors.AsType[*classified](err); ok {
		return c.class
	}
	if _, ok := errors.AsType[*RejectedError](err); ok {
		return Rejected
	}
	return Unsure
}

// ErrTakenOver is wrapped by a [Fatal] error of [Sink.Write] when another engine
// has become the lane's writer in the outside system: what this one still holds
// is not stored, and the lane is no longer its own.
var ErrTakenOver = errors.New("another engine has taken over the lane")

// EventReject names one event of a unit that a sink can never store.
type EventReject struct {
	Index int // in Unit.Events
	Reject
}

// RejectedError is returned by [Sink.Write] when events of the unit can never be
// stored. It names all that the sink found, in rising Index, each once.
type RejectedError struct {
	Rejects []EventReject
}

func (e *RejectedError) Error() string {
	first := e.Rejects[0]
	return fmt.Sprintf("%d events rejected, first: event %d: %s: %s", len(e.Rejects), first.Index, first.Code, first.Text)
}

// Error is an error of one node of a chain; the stage takes the retry policy of
// the node that it names.
type Error struct {
	Node string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("node %q: %v", e.Node, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// MakerError is an error that a plugin made, or that it was the cause of. It leaves
// the class to the error that it wraps.
type MakerError struct {
	Maker string // "name@version#hash8"
	Err   error
}

func (e *MakerError) Error() string { return fmt.Sprintf("plugin %s: %v", e.Maker, e.Err) }
func (e *MakerError) Unwrap() error { return e.Err }

// MakerOf returns the plugin that err is laid to, "" if none.
func MakerOf(err error) string {
	if e, ok := errors.AsType[*MakerError](err); ok {
		return e.Maker
	}
	return ""
}
