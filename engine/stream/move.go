package stream

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/engine/event"
)

// Place is where a reader stands in all lanes of a stream.
type Place struct {
	Reader, Stream string
	External       bool             // see [Log.RegisterReader]
	After          []event.Position // the last entry that it has finished with, by lane
}

// Moves is how readers' places change when a plan takes the place of another one.
type Moves struct {
	Place  []Place  // readers that get these places, whether or not they had others
	Forget []Place  // readers that have none from then on; After is not looked at
	States []string // nodes whose keyed state is forgotten
	Leases []*Lease // must be held: of everything that reads, or has read, under these names
}

// Move makes all moves in one step, or none: it fails with [ErrLostLease] if one of
// the leases has another owner. Whoever holds the leases must stand still meanwhile.
func (l *Log) Move(ctx context.Context, m Moves) error {
	a := moveArgs{keys: []string{l.keys.meta, l.keys.owners, l.keys.positions, l.keys.readers, l.keys.none}}
	for _, le := range m.Leases {
		a.leases = append(a.leases, le.name, le.token)
	}
	for i := range m.Place {
		if err := a.place(l, &m.Place[i]); err != nil {
			return err
		}
	}
	for i := range m.Forget {
		a.forget(l, &m.Forget[i])
	}
	for _, node := range m.States {
		a.keys = append(a.keys, l.keys.state(node), l.keys.stateVersions(node))
	}
	word, rest, err := l.call(ctx, moveScript, a.keys, a.all(l.epochText))
	switch {
	case err == nil && word == "lost_lease":
		err = fmt.Errorf("lease %s: %w", replyText(rest, 0), ErrLostLease)
	case err == nil && word != "ok":
		err = l.answered(word, replyText(rest, 0))
	}
	if err != nil {
		return fmt.Errorf("move readers: %w", err)
	}
	return nil
}

// moveArgs are the keys and, by kind, the arguments of move.lua.
type moveArgs struct {
	keys                                   []string
	leases, readers, places, gone, vacated []any
}

func (a *moveArgs) place(l *Log, p *Place) error {
	if len(p.After) != l.laneCount || !isName(p.Reader) {
		return fatalf("move reader %q: %d places for %d lanes", p.Reader, len(p.After), l.laneCount)
	}
	a.readers = append(a.readers, readerField(p.Reader, p.Stream), kindOf(p.External))
	for i, at := range p.After {
		ln, err := l.lane(p.Stream, i)
		if err != nil {
			return err
		}
		a.keys, a.places = append(a.keys, ln.info), append(a.places, positionField(p.Reader, p.Stream, i), entryID(at))
	}
	return nil
}

func (a *moveArgs) forget(l *Log, p *Place) {
	a.gone = append(a.gone, readerField(p.Reader, p.Stream))
	for i := range l.laneCount {
		a.vacated = append(a.vacated, positionField(p.Reader, p.Stream, i))
	}
}

func (a *moveArgs) all(epoch string) []any {
	args := []any{epoch, len(a.leases) / 2, len(a.readers) / 2, len(a.places) / 2, len(a.gone), len(a.vacated)}
	return slices.Concat(args, a.leases, a.readers, a.places, a.gone, a.vacated)
}

// kindOf is the word for where a reader keeps its true position.
func kindOf(external bool) string {
	if external {
		return "external"
	}
	return "internal"
}

// Places returns where a registered reader stands in all lanes of a stream.
func (l *Log) Places(ctx context.Context, reader, stream string) ([]event.Position, error) {
	return l.eachLane(func(lane int) (event.Position, error) { return l.Position(ctx, reader, stream, lane) })
}

// Heads returns the place of the newest entry of every lane of a stream, as [Log.Head].
func (l *Log) Heads(ctx context.Context, stream string) ([]event.Position, error) {
	return l.eachLane(func(lane int) (event.Position, error) { return l.Head(ctx, stream, lane) })
}

func (l *Log) eachLane(ask func(lane int) (event.Position, error)) ([]event.Position, error) {
	list := make([]event.Position, l.laneCount)
	for i := range list {
		at, err := ask(i)
		if err != nil {
			return nil, err
		}
		list[i] = at
	}
	return list, nil
}
