package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// reader names an old or new part's reader in the log.
func (x *exchange) reader(id string) string { return id + "@" + x.engine.Generation }

// leads reports whether the part runs here: else its places are another engine's.
func (x *exchange) leads(id string) bool {
	for _, kind := range []plan.PartKind{plan.StagePart, plan.SinkPart} {
		if p := x.engine.crew.find(kind, id); p != nil {
			return p.keeper.held() != nil
		}
	}
	return false
}

// nearlyDone waits, while everything runs, until the parts that have something to
// finish, or to come to one place, are where their streams ended when it began: what
// they then have to do while others stand still is short.
func (x *exchange) nearlyDone(ctx context.Context) error {
	var list []plan.Reading
	list = append(list, x.diff.Finish...)
	for _, a := range x.diff.Align {
		for _, id := range a.Parts {
			list = append(list, plan.Reading{Part: id, Stream: a.Stream})
		}
	}
	ctx, done := context.WithTimeout(ctx, x.engine.reloads.settle)
	defer done()
	for _, r := range list {
		if err := x.readToEnd(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// readToEnd waits until an old part has read a stream up to where it ends now.
func (x *exchange) readToEnd(ctx context.Context, r plan.Reading) error {
	if !x.leads(r.Part) {
		return nil
	}
	heads, err := x.engine.log.Heads(ctx, r.Stream)
	if err != nil {
		return err
	}
	return x.readUpTo(ctx, r, heads)
}

// readUpTo waits until an old part has read a stream up to there, in every lane.
func (x *exchange) readUpTo(ctx context.Context, r plan.Reading, to []event.Position) error {
	for {
		at, err := x.engine.log.Places(ctx, x.reader(r.Part), r.Stream)
		if err == nil && reached(at, to) {
			return nil
		}
		if err != nil && node.ClassOf(err) != node.Away && ctx.Err() == nil {
			return err
		}
		if !lifecycle.Sleep(ctx, lookEvery) {
			return x.late(ctx, r, errors.Join(context.Cause(ctx), err))
		}
	}
}

// reached reports whether at is nowhere before to.
func reached(at, to []event.Position) bool {
	for lane := range to {
		if at[lane].Seq < to[lane].Seq {
			return false
		}
	}
	return true
}

// late says what a part has not finished, and why not.
func (x *exchange) late(ctx context.Context, r plan.Reading, cause error) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), clearWithin)
	defer done()
	text := fmt.Sprintf("%s must first finish what waits in stream %s, and has not within %s", r.Part, r.Stream, x.engine.reloads.settle)
	if lag, err := x.engine.log.Lag(ctx, x.reader(r.Part), r.Stream); err == nil {
		text += fmt.Sprintf(": %d events are left", lag)
	}
	for _, h := range x.engine.recorder.Holds() {
		if h.Stage == r.Part {
			text += "; it stands still: " + h.Reason
			break
		}
	}
	return fmt.Errorf("%s; reload again when it has caught up: %w", text, cause)
}

// end ends the old parts upstream first. Each goes on until it has read what it has to
// finish: by then nobody adds to that any more.
func (x *exchange) end(ctx context.Context) error {
	limit, done := context.WithTimeout(ctx, x.engine.reloads.settle)
	defer done()
	for _, p := range x.changing() {
		for _, r := range x.diff.Finish {
			if r.Part != p.id || p.source != nil {
				continue
			}
			if err := x.readToEnd(limit, r); err != nil {
				return err
			}
		}
		if err := x.halt(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// align brings old parts that stand still to one place in a stream: those behind go
// on up to the one that is furthest, and what they hand on is finished behind them.
func (x *exchange) align(ctx context.Context) error {
	if len(x.diff.Align) == 0 {
		return nil
	}
	limit, done := context.WithTimeout(ctx, x.engine.reloads.settle)
	defer done()
	furthest := map[plan.Reading][]event.Position{}
	for _, a := range x.diff.Align {
		to, err := x.furthest(limit, a)
		if err != nil {
			return err
		}
		for _, id := range a.Parts {
			furthest[plan.Reading{Part: id, Stream: a.Stream}] = to
		}
	}
	for _, p := range x.changing() {
		if p.source != nil || !x.leads(p.id) {
			continue
		}
		if err := x.goOn(limit, ctx, p, furthest); err != nil {
			return err
		}
	}
	return nil
}

// furthest returns for each lane the place of the part that is furthest in it.
func (x *exchange) furthest(ctx context.Context, a plan.Alignment) ([]event.Position, error) {
	var to []event.Position
	for _, id := range a.Parts {
		if !x.leads(id) {
			continue
		}
		at, err := x.engine.log.Places(ctx, x.reader(id), a.Stream)
		if err != nil {
			return nil, err
		}
		if to == nil {
			to = at
		}
		for lane := range at {
			if at[lane].Seq > to[lane].Seq {
				to[lane] = at[lane]
			}
		}
	}
	return to, nil
}

// goOn lets a part that stands still read on, up to its furthest places and to the end
// of what it has to finish, and no further.
func (x *exchange) goOn(limit, ctx context.Context, p *part, furthest map[plan.Reading][]event.Position) error {
	until := map[string][]event.Position{}
	behind := false
	for _, name := range p.gen.streams() {
		r := plan.Reading{Part: p.id, Stream: name}
		at, err := x.engine.log.Places(limit, x.reader(p.id), name)
		if err != nil {
			return err
		}
		to := furthest[r]
		if to == nil && slices.Contains(x.diff.Finish, r) {
			if to, err = x.engine.log.Heads(limit, name); err != nil {
				return err
			}
		}
		if to == nil {
			to = at
		}
		until[name] = to
		behind = behind || !reached(at, to)
	}
	if !behind {
		return nil
	}
	p.gen.until = until
	p.keeper.resume(nil)
	for name, to := range until {
		if err := x.readUpTo(limit, plan.Reading{Part: p.id, Stream: name}, to); err != nil {
			return err
		}
	}
	if err := x.halt(ctx, p); err != nil {
		return err
	}
	p.gen.until = nil
	return nil
}

// streams lists what a part's generation reads.
func (g *generation) streams() (names []string) {
	for _, in := range g.inputs() {
		names = append(names, in.stream)
	}
	return names
}

// place gives the new parts their places. The sinks' own come first: they are of no
// account until the log's are there, which all come in one step.
func (x *exchange) place(ctx context.Context) error {
	if x.follows {
		return nil
	}
	moves := stream.Moves{States: x.diff.States}
	for _, c := range x.diff.Moves {
		if x.theirs(ctx, c) {
			continue
		}
		p, err := x.placeOf(ctx, c)
		if err != nil {
			return err
		}
		moves.Place = append(moves.Place, p)
	}
	for _, r := range x.diff.Forget {
		if x.leads(r.Part) {
			moves.Forget = append(moves.Forget, stream.Place{Reader: x.reader(r.Part), Stream: r.Stream})
			x.left = append(x.left, r)
		}
	}
	if len(moves.Place)+len(moves.Forget)+len(moves.States) == 0 {
		return nil
	}
	if err := x.placeSinks(ctx, moves.Place); err != nil {
		return err
	}
	for _, p := range append(x.changing(), x.guests...) {
		if lease := p.keeper.held(); lease != nil && p.source == nil {
			moves.Leases = append(moves.Leases, lease)
		}
	}
	return x.moveAll(ctx, moves)
}

// moveAll makes the moves. Without an answer nobody knows whether they are made, and
// there is no way back or forth before that is known.
func (x *exchange) moveAll(ctx context.Context, moves stream.Moves) error {
	for {
		err := x.engine.log.Move(ctx, moves)
		switch {
		case err == nil:
			x.unknown = false
			return nil
		case node.ClassOf(err) != node.Away && x.unknown && x.areMoved(ctx, moves):
			return nil
		case node.ClassOf(err) != node.Away:
			return err
		}
		x.unknown = true
		x.engine.Logger.Warn("reload waits for the log, trying again", "error", err)
		if !lifecycle.Sleep(ctx, time.Second) {
			return err
		}
	}
}

// areMoved finds out whether moves that were refused had been made before, without an
// answer.
func (x *exchange) areMoved(ctx context.Context, moves stream.Moves) bool {
	known := func(p stream.Place) bool {
		_, err := x.engine.log.Places(ctx, p.Reader, p.Stream)
		return err == nil
	}
	x.unknown = false
	if len(moves.Forget) > 0 {
		return !known(moves.Forget[0])
	}
	return len(moves.Place) > 0 && known(moves.Place[0])
}

// theirs reports whether a place is another engine's to choose: the part runs there.
func (x *exchange) theirs(ctx context.Context, m plan.Move) bool {
	if x.leads(m.Part) {
		return false
	}
	_, err := x.engine.log.Places(ctx, x.reader(m.Part), m.Stream)
	return err == nil
}

// invite lets the added parts ask for their leases, so that none of them runs in
// another engine while its place is chosen here.
func (x *exchange) invite(ctx context.Context) error {
	if x.follows {
		return nil
	}
	limit, done := context.WithTimeout(ctx, leaseWithin)
	defer done()
	for _, p := range x.opened {
		if p.source != nil || x.engine.crew.find(p.kind, p.id) != nil {
			continue
		}
		p.keeper.haltAtFirst()
		x.guests = append(x.guests, p)
		x.engine.crew.add(p)
	}
	for _, p := range x.guests {
		for p.keeper.held() == nil && lifecycle.Sleep(limit, lookEvery) {
		}
	}
	return ctx.Err()
}

// placeOf finds the place of a new reader.
func (x *exchange) placeOf(ctx context.Context, m plan.Move) (stream.Place, error) {
	log, reader := x.engine.log, x.reader(m.Part)
	p := stream.Place{Reader: reader, Stream: m.Stream, External: m.Sink && x.positioned(m.Part) != nil}
	var err error
	switch {
	case len(m.From) > 0:
		p.After, err = log.Places(ctx, x.reader(m.From[0]), m.Stream)
	case m.Start == spec.Earliest: // held fast there, or it is trimmed before it is read
		x.moved[m.Reading] = true
		if err = errors.Join(log.ForgetReader(ctx, reader, m.Stream), log.RegisterReader(ctx, reader, m.Stream, p.External)); err == nil {
			p.After, err = log.Places(ctx, reader, m.Stream)
		}
	default:
		p.After, err = log.Heads(ctx, m.Stream)
	}
	if err != nil {
		err = fmt.Errorf("place of %s in %s: %w", m.Part, m.Stream, err)
	}
	return p, err
}

// positioned returns the sink of a new part if its place can be chosen, else nil.
func (x *exchange) positioned(id string) node.Placer {
	return placerOf(x.opened, id)
}

func placerOf(parts []*part, id string) node.Placer {
	for _, p := range parts {
		if p.kind == plan.SinkPart && p.id == id {
			placer, _ := p.gen.sinks[0].sink.(node.Placer)
			return placer
		}
	}
	return nil
}

// placeSinks puts the sinks' own places where the log's will be.
func (x *exchange) placeSinks(ctx context.Context, places []stream.Place) error {
	ctx, done := context.WithTimeout(ctx, placeWithin)
	defer done()
	for _, p := range places {
		id := strings.TrimSuffix(p.Reader, "@"+x.engine.Generation)
		sink := x.positioned(id)
		if sink == nil {
			continue
		}
		x.moved[plan.Reading{Part: id, Stream: p.Stream}] = true
		for lane, at := range p.After {
			if err := sink.Place(ctx, p.Stream, lane, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// unplace takes back what was placed for parts that do not come to work.
func (x *exchange) unplace(ctx context.Context) {
	for r := range x.moved {
		err := x.engine.log.ForgetReader(ctx, x.reader(r.Part), r.Stream)
		if sink := x.positioned(r.Part); sink != nil {
			err = errors.Join(err, x.leave(ctx, sink, r.Stream))
		}
		if err != nil {
			x.engine.Logger.Warn("a place is left behind", "part", r.Part, "stream", r.Stream, "error", err)
		}
	}
}

// forgetOwnPlaces removes the places that sinks keep themselves in streams which they
// read no more: one that came back would go on from there.
func (x *exchange) forgetOwnPlaces(ctx context.Context, old []*part) {
	ctx, done := context.WithTimeout(ctx, clearWithin)
	defer done()
	for _, r := range x.left {
		sink := placerOf(old, r.Part)
		if sink == nil {
			continue
		}
		if err := x.leave(ctx, sink, r.Stream); err != nil {
			x.notes = append(x.notes, fmt.Sprintf("the place of sink %s in %s is left in its database: %v", r.Part, r.Stream, err))
		}
	}
}

func (x *exchange) leave(ctx context.Context, sink node.Placer, name string) error {
	for lane := range x.engine.log.Lanes() {
		if err := sink.Place(ctx, name, lane, event.Position{}); err != nil {
			return err
		}
	}
	return nil
}
