// Package dlq shows dead letters, drops them and drives them again: the events that
// a node refused, kept with the reason. It filters what the log holds, counts it by
// reason and writes it as JSON for the HTTP API and the command line. It chooses
// what is driven again and from where; it runs no node.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/stream"
)

// Log is where dead letters rest; [stream.Log] is one.
type Log interface {
	// DeadLetters returns up to limit letters stored after the one named after, oldest first.
	DeadLetters(ctx context.Context, after string, limit int) ([]stream.StoredDeadLetter, error)
	// DeadLetter returns one letter; ok is false if there is none of that name.
	DeadLetter(ctx context.Context, id string) (letter stream.StoredDeadLetter, ok bool, err error)
	// DropDeadLetters forgets letters and returns how many were still there.
	DropDeadLetters(ctx context.Context, letters []stream.StoredDeadLetter) (int, error)
}

// Limits of a listing.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
	page         = 500 // letters read from the log at a time
)

// Filter chooses dead letters. Zero fields choose all.
type Filter struct {
	Node  string    // the failing node
	Class string    // rejected, unsure, away or fatal
	Code  string    // reason for programs
	Text  string    // part of the reason for people
	Key   string    // key of the event
	From  time.Time // given up at or after
	To    time.Time // given up before

	Generation string // live, redrive, or a replay's

	Through string // no letter that was stored after the one of this id: what came later is not meant
}

// Empty reports whether f chooses all.
func (f Filter) Empty() bool { return f == Filter{} }

func (f Filter) takes(d *stream.StoredDeadLetter) bool {
	if f.Through != "" && place(d.ID).Compare(place(f.Through)) > 0 {
		return false
	}
	key := ""
	if d.Event != nil {
		key = d.Event.Key
	}
	at := time.UnixMilli(d.TimeMs)
	return same(f.Node, d.Node) && same(f.Class, d.Class.String()) && same(f.Code, d.Code) && same(f.Key, key) &&
		same(f.Generation, d.Generation) && strings.Contains(d.Text, f.Text) && (f.From.IsZero() || !at.Before(f.From)) && (f.To.IsZero() || at.Before(f.To))
}

func same(want, got string) bool { return want == "" || want == got }

// each calls do for every letter that f takes, oldest first, one page of the log
// at a time. do must not keep the slice.
func each(ctx context.Context, log Log, f Filter, after string, do func([]stream.StoredDeadLetter) error) error {
	for {
		letters, err := log.DeadLetters(ctx, after, page)
		if err != nil || len(letters) == 0 {
			return err
		}
		after = letters[len(letters)-1].ID
		taken := letters[:0]
		for i := range letters {
			if f.takes(&letters[i]) {
				taken = append(taken, letters[i])
			}
		}
		if err := do(taken); err != nil {
			return err
		}
	}
}

// Reason is why letters were refused, with their number.
type Reason struct {
	Node  string `json:"node"`
	Class string `json:"class"`
	Code  string `json:"code"`
	Count int    `json:"count"`
}

// Listing is the answer to a question for dead letters.
type Listing struct {
	Total   int      `json:"total"`   // letters that the filter takes
	Reasons []Reason `json:"reasons"` // of all of them, in order of their first letter
	Letters []Letter `json:"letters"` // the first of them, without their events
	Next    string   `json:"next,omitempty"`
}

// List counts the letters that f takes after the one named after and returns the
// first limit of them; Next names the last of these if there are more.
func List(ctx context.Context, log Log, f Filter, after string, limit int) (*Listing, error) {
	c := newCounted()
	err := each(ctx, log, f, after, func(letters []stream.StoredDeadLetter) error {
		for i := range letters {
			c.count(&letters[i])
			if len(c.list.Letters) < limit {
				c.list.Letters = append(c.list.Letters, head(&letters[i]))
			}
		}
		return nil
	})
	return c.listing(), err
}

// Newest is List from the other end: it counts the letters that f takes before the one
// named before, "" for all, and returns the last limit of them, newest first.
func Newest(ctx context.Context, log Log, f Filter, before string, limit int) (*Listing, error) {
	c := newCounted()
	end := place(before)
	err := each(ctx, log, f, "", func(letters []stream.StoredDeadLetter) error {
		for i := range letters {
			if before != "" && place(letters[i].ID).Compare(end) >= 0 {
				continue
			}
			c.count(&letters[i])
			c.list.Letters = append(c.list.Letters, head(&letters[i]))
		}
		c.list.Letters = slices.Delete(c.list.Letters, 0, max(0, len(c.list.Letters)-limit))
		return nil
	})
	slices.Reverse(c.list.Letters)
	return c.listing(), err
}

// counted is a listing in the making.
type counted struct {
	list  Listing
	index map[Reason]int // of those in list, with count 0
}

func newCounted() *counted {
	return &counted{Listing{Reasons: []Reason{}, Letters: []Letter{}}, map[Reason]int{}}
}

func (c *counted) count(d *stream.StoredDeadLetter) {
	c.list.Total++
	r := Reason{Node: d.Node, Class: d.Class.String(), Code: d.Code}
	at, known := c.index[r]
	if !known {
		at = len(c.list.Reasons)
		c.index[r] = at
		c.list.Reasons = append(c.list.Reasons, r)
	}
	c.list.Reasons[at].Count++
}

func (c *counted) listing() *Listing {
	if n := len(c.list.Letters); n > 0 && c.list.Total > n {
		c.list.Next = c.list.Letters[n-1].ID
	}
	return &c.list
}

// ErrNone says that there is no dead letter of the name that was given.
var ErrNone = errors.New("no such dead letter")

// Show returns one letter with its event. The error is [ErrNone] if there is none.
func Show(ctx context.Context, log Log, id string) (*Letter, error) {
	if !valid(id) {
		return nil, fmt.Errorf("%w: %q is not of the form 1700000000000-0", ErrNone, id)
	}
	d, ok, err := log.DeadLetter(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNone, id)
	}
	full := whole(&d)
	return &full, nil
}

// valid reports whether id is "<ms>-<number>".
func valid(id string) bool {
	_, err := event.ParsePosition("1." + id)
	return err == nil
}

// place is where the letter of a valid id stands among the others.
func place(id string) event.Position {
	p, _ := event.ParsePosition("1." + id)
	return p
}

// Dropped is the answer to a wish to drop letters.
type Dropped struct {
	Dropped int  `json:"dropped"` // with DryRun: how many it would be
	DryRun  bool `json:"dry_run"`
}

// Drop forgets the letters that f takes; with dryRun it only counts them. Those that
// wait behind another one are fine themselves: only the code "waits" drops them.
func Drop(ctx context.Context, log Log, f Filter, dryRun bool) (Dropped, error) {
	out := Dropped{DryRun: dryRun}
	err := each(ctx, log, f, "", func(letters []stream.StoredDeadLetter) error {
		if f.Code != waits {
			letters = slices.DeleteFunc(letters, func(d stream.StoredDeadLetter) bool { return d.Waits })
		}
		if dryRun {
			out.Dropped += len(letters)
			return nil
		}
		n, err := log.DropDeadLetters(ctx, letters)
		out.Dropped += n
		return err
	})
	return out, err
}

// waits is the reason of a letter that waits behind another one.
const waits = "waits"

// DropIDs forgets the letters of these names; those that are gone already count
// as nothing. It looks at all names before it drops anything.
func DropIDs(ctx context.Context, log Log, ids []string, dryRun bool) (Dropped, error) {
	out := Dropped{DryRun: dryRun}
	there, err := named(ctx, log, ids)
	if err != nil {
		return out, err
	}
	if dryRun {
		out.Dropped = len(there)
		return out, nil
	}
	out.Dropped, err = log.DropDeadLetters(ctx, there)
	return out, err
}

// named returns the letters of these names that are there. A name that is none is
// an [ErrNone].
func named(ctx context.Context, log Log, ids []string) ([]stream.StoredDeadLetter, error) {
	var there []stream.StoredDeadLetter
	for _, id := range ids {
		if !valid(id) {
			return nil, fmt.Errorf("%w: %q is not of the form 1700000000000-0; nothing was done", ErrNone, id)
		}
		d, ok, err := log.DeadLetter(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			there = append(there, d)
		}
	}
	return there, nil
}
