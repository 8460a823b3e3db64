package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Journal is the name of a pipeline's first stream.
const Journal = "journal"

// Answer is what the commit script says.
type Answer uint8

// The answers of a commit; each is handled in its own way.
const (
	OK         Answer = iota // committed now
	Already                  // position is at or past the unit's end: an earlier commit arrived
	LostLease                // another owner holds the lane: drop the unit, stop the lane
	Gap                      // position is neither just before the unit nor past it: stop the pipeline
	WrongEpoch               // another log (flushed, restored, foreign): stop the pipeline
	Full                     // a stream that the unit writes to is at its share: wait and commit again
	Unblocked                // a letter of the unit waits behind one that is gone: handle the unit anew
)

// String returns the answer's name as the script and FORMAT.md spell it.
func (a Answer) String() string {
	return [...]string{"ok", "already", "lost_lease", "gap", "wrong_epoch", "full", "unblocked"}[a]
}

// Errors of the log. Each is wrapped with the stream and lane it befell and
// carries its [node.Class].
var (
	ErrLostLease  = errors.New("lease lost to another owner")
	ErrGap        = errors.New("reader position does not join the unit")
	ErrWrongEpoch = errors.New("log belongs to another epoch")
	ErrFull       = errors.New("log is full")
	ErrReplaced   = errors.New("a newer incarnation of this engine has taken over")
	ErrLanes      = errors.New("lanes differ from those stored in the log")
	ErrDurability = errors.New("redis does not keep what it acknowledges")
	ErrUnblocked  = node.AsAway(errors.New("what an event was to wait for is gone meanwhile"))
	ErrBehind     = errors.New("log tail is behind what was stored")
)

// KnownError is returned by [Log.Append] when messages of the frame are already
// stored: nothing was appended. The caller leaves them out and appends the rest.
type KnownError struct {
	Indexes []int // into AppendRequest.Identities, rising
}

// Error says how many messages are stored.
func (e *KnownError) Error() string {
	return fmt.Sprintf("%d messages are already stored", len(e.Indexes))
}

// AppendRequest is one frame for one lane, with the identities of its messages.
type AppendRequest struct {
	Stream string
	Lane   int
	Frame  []byte // encoded by event.Frame; the log keeps it, so it must not be written to any more
	Events int    // number of events in Frame, for counting
	Source string // source node whose identity buckets are checked; "" checks none
	// Identities of the events that have one; distinct. Checked and stored in
	// the same atomic step as the frame.
	Identities []event.Identity
}

// Output is one frame that a unit's commit appends.
type Output struct {
	Stream string
	Lane   int
	Frame  []byte // as in AppendRequest
	Events int
}

// StateChange sets (or with nil Value removes) the state of one key of one node.
type StateChange struct {
	Node  string
	Key   string
	Value []byte
}

// Effects is everything that one unit's commit stores in the same atomic step
// that moves the reader's position.
type Effects struct {
	Outputs     []Output
	DeadLetters []DeadLetter
	State       []StateChange
	Released    []Released
}

// Released are events of a key that were driven again by a node with strict order:
// they do not hold their key up there any more.
type Released struct {
	Node, Key string
	Events    int
}

// DeadLetter is an event that could not be delivered, complete enough to be
// examined and driven again from the failing node.
type DeadLetter struct {
	Event      *event.Event // the failing node's complete input event; nil if the entry could not be decoded
	Raw        []byte       // such an entry as it was found; nil otherwise
	Node       string       // the failing node
	Generation string       // the stage generation that gave up
	Record     int          // number of the record within the event; -1: the whole event
	Class      node.Class
	Code       string
	Text       string
	Plugin     string // name@version#hash of the failing plugin, "" if none
	Attempt    int    // how often it was tried
	TimeMs     int64  // when it was given up, ms since the Unix epoch
	Stream     string // the failing stage's input stream and lane
	Lane       int
	At         event.Position // entry the event came in
	Strict     bool           // later events of its key wait behind it
	Waits      bool           // it is fine itself, and waits behind another letter of its key
	Cut        *Cut           // what is gone of a content above 16 MiB; nil: nothing
}

// Cut tells of the content, payload or record, of which a dead letter holds only
// the first 64 KiB, as payload.
type Cut struct {
	Length int64  // bytes that it had
	SHA256 string // of all of them, 64 hex digits
}

// Delivery is one unit on its way through a watermill handler. It travels in the
// message's context; the handler stages the unit's effects on it, and Ack
// commits them.
type Delivery struct {
	Unit *node.Unit
	// Unsure says that the unit before this one was committed already when its
	// effects arrived: what its handler staged need not be what is stored.
	Unsure  bool
	effects Effects
}

// Stage replaces what the unit's commit will store. A handler that runs again
// after an error stages anew: nothing of the earlier attempt remains.
func (d *Delivery) Stage(e Effects) { d.effects = e }

// Effects returns what is staged.
func (d *Delivery) Effects() Effects { return d.effects }

// WithDelivery returns a context that carries d to a handler; see [DeliveryFrom].
// Logs other than [Log], such as one in memory, hand out their units with it.
func WithDelivery(ctx context.Context, d *Delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}
