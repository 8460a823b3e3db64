package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Keeper is where replays are kept; [stream.Log] is one.
type Keeper interface {
	SaveReplay(ctx context.Context, field string, value []byte) error
	Replays(ctx context.Context) (map[string]string, error)
	DropReplay(ctx context.Context, fields ...string) error
}

// wantedSuffix ends the field that says what a user wants of a replay. It is apart
// from the replay, which only the engine that runs it writes.
const wantedSuffix = "|wanted"

// ErrNone says that there is no replay of the name that was given.
var ErrNone = errors.New("no such replay")

// Save keeps r.
func Save(ctx context.Context, k Keeper, r *Replay) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("keep replay %s: %w", r.Name, err)
	}
	return k.SaveReplay(ctx, r.Name, text)
}

// Want keeps what a user wants of the replay: one of its states.
func Want(ctx context.Context, k Keeper, name, state string) error {
	return k.SaveReplay(ctx, name+wantedSuffix, []byte(state))
}

// Drop forgets the replay.
func Drop(ctx context.Context, k Keeper, name string) error {
	return k.DropReplay(ctx, name, name+wantedSuffix)
}

// Wanted is a replay and what a user wants of it, "" if nothing was said.
type Wanted struct {
	*Replay
	Want string
}

// All returns every replay that is kept, oldest first. One that cannot be read is
// left out and named by the error.
func All(ctx context.Context, k Keeper) ([]Wanted, error) {
	fields, err := k.Replays(ctx)
	if err != nil {
		return nil, err
	}
	var all []Wanted
	var errs []error
	for name, text := range fields {
		if strings.HasSuffix(name, wantedSuffix) {
			continue
		}
		r := &Replay{}
		if err := json.Unmarshal([]byte(text), r); err != nil || r.Name != name {
			errs = append(errs, fmt.Errorf("replay %q cannot be read: %w", name, err))
			continue
		}
		all = append(all, Wanted{r, fields[name+wantedSuffix]})
	}
	slices.SortFunc(all, func(a, b Wanted) int { return cmp.Or(a.Begun.Compare(b.Begun), cmp.Compare(a.Name, b.Name)) })
	return all, errors.Join(errs...)
}

// Get returns one replay. The error is [ErrNone] if there is none.
func Get(ctx context.Context, k Keeper, name string) (Wanted, error) {
	all, err := All(ctx, k)
	for _, r := range all {
		if r.Name == name {
			return r, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: %s", ErrNone, name)
	}
	return Wanted{}, err
}
