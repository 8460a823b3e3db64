package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/plan"
)

// exchange puts one definition in the place of another while the engine runs. Until
// its readers are moved, which is one step in the log, everything can go on as it was;
// behind it nothing can fail.
type exchange struct {
	engine    *Engine
	old, next definition
	diff      *plan.Diff

	opened  []*part               // new parts, not at work yet
	guests  []*part               // those of them that are added, and ask for their leases
	drawing *drawing              // new charts; nil if they stay
	halted  map[*part]time.Time   // old parts that stand still, since when
	moved   map[plan.Reading]bool // sinks' own places that were put somewhere, and pins
	left    []plan.Reading        // places that were here and are forgotten
	stopped bool                  // something was ended for it
	follows bool                  // another engine runs what changes, and moves the places
	unknown bool                  // nobody knows whether the places are moved
	paused  time.Duration         // that the part which stood still longest did
	notes   []string
}

// Times within which a reload comes to its end, or leaves everything as it was.
const (
	openWithin   = 2 * time.Minute  // new parts: a plugin may have to be built
	settleWithin = 30 * time.Second // old parts: until they have read what is left to them
	placeWithin  = 20 * time.Second // sinks' own places
	leaseWithin  = 8 * time.Second  // of a part that is added: longer than a lease lasts
	clearWithin  = 5 * time.Second  // what is forgotten behind it
	lookEvery    = 20 * time.Millisecond
)

func newExchange(e *Engine, old, next definition, diff *plan.Diff) *exchange {
	return &exchange{engine: e, old: old, next: next, diff: diff, halted: map[*part]time.Time{}, moved: map[plan.Reading]bool{}}
}

// run makes the exchange, or leaves everything as it was.
func (x *exchange) run(ctx context.Context) error {
	err := x.prepare(ctx)
	if err == nil {
		err = x.commit(ctx)
	}
	if err != nil {
		x.undo(ctx)
		return err
	}
	x.finish(ctx)
	return nil
}

// prepare opens everything that is new, beside the old, and waits until the old parts
// have nearly caught up with what they have to finish.
func (x *exchange) prepare(ctx context.Context) error {
	opening, done := context.WithTimeoutCause(ctx, openWithin, fmt.Errorf("the new parts were not open within %s", openWithin))
	defer done()
	if err := x.open(opening); err != nil {
		return causeOf(opening, err)
	}
	if err := x.mine(); err != nil {
		return err
	}
	if err := x.invite(ctx); err != nil {
		return err
	}
	return x.nearlyDone(ctx)
}

// causeOf adds why ctx ended to an error that came of it.
func causeOf(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && !errors.Is(err, c) {
		return fmt.Errorf("%w: %w", c, err)
	}
	return err
}

// commit ends the old parts and moves their readers' places.
func (x *exchange) commit(ctx context.Context) error {
	x.stopped = true
	x.engine.redrive.close()
	if err := x.end(ctx); err != nil {
		return err
	}
	if err := x.align(ctx); err != nil {
		return err
	}
	return x.place(ctx)
}

// open opens the new parts, downstream first, and asks for the leases of those that
// are added.
func (x *exchange) open(ctx context.Context) error {
	e := x.engine
	if err := e.log.EnsureStreams(ctx, x.next.plan.StreamNames()); err != nil {
		return err
	}
	say := func(what string) { e.Logger.Info("reload waits", "for", what) }
	for _, c := range slices.Backward(x.diff.New) {
		if c.Change == plan.Kept || c.Kind == plan.ChartPart {
			continue
		}
		if c.Kind == plan.SourcePart {
			if err := e.askBroker(ctx, x.next.file, c.ID); err != nil {
				return err
			}
		}
		p, err := e.openPart(ctx, x.next, c.Kind, c.ID, opening{placed: true, say: say})
		if err != nil {
			return err
		}
		x.opened = append(x.opened, p)
	}
	return x.openCharts(ctx)
}

// openCharts makes the hub that draws the new charts, if they change, and waits until
// it can show something.
func (x *exchange) openCharts(ctx context.Context) error {
	changes := func(c plan.PartChange) bool { return c.Kind == plan.ChartPart && c.Change != plan.Kept }
	if !slices.ContainsFunc(x.diff.Old, changes) && !slices.ContainsFunc(x.diff.New, changes) {
		return nil
	}
	hub, err := x.engine.hub(x.next.plan.Charts)
	if err != nil {
		return err
	}
	x.drawing = x.engine.draw(hub)
	select {
	case <-hub.Ready():
		return nil
	case <-ctx.Done():
		return errors.New("the charts cannot read the log: " + hub.Status().Reason)
	}
}

// mine refuses an exchange of parts some of which run in another engine: nobody could
// end them all. An engine of which none runs here only learns the new plan: the other
// one moves the readers.
func (x *exchange) mine() error {
	var here, elsewhere []string
	for _, p := range x.changing() {
		if p.source != nil {
			continue
		}
		if p.keeper.held() != nil {
			here = append(here, p.id)
		} else {
			elsewhere = append(elsewhere, p.id)
		}
	}
	x.follows = len(here) == 0 && len(elsewhere) > 0 && x.structural()
	if len(here) > 0 && len(elsewhere) > 0 && x.structural() {
		return fmt.Errorf("places in streams change hands between %v, which run here, and %v, which wait for their leases or run in another engine: end that engine first, or reload again in a moment", here, elsewhere)
	}
	if len(elsewhere) > 0 {
		x.notes = append(x.notes, fmt.Sprintf("%v do not run here: reload the engine where they do", elsewhere))
	}
	return nil
}

// structural reports whether any place of an old part changes hands.
func (x *exchange) structural() bool {
	inherits := func(m plan.Move) bool { return len(m.From) > 0 }
	return len(x.diff.Finish)+len(x.diff.Align)+len(x.diff.Forget) > 0 || slices.ContainsFunc(x.diff.Moves, inherits)
}

// changing lists the old parts that are ended, as events go.
func (x *exchange) changing() (list []*part) {
	for _, c := range x.diff.Old {
		if c.Change == plan.Kept || c.Kind == plan.ChartPart {
			continue
		}
		if p := x.engine.crew.find(c.Kind, c.ID); p != nil {
			list = append(list, p)
		}
	}
	return list
}

// halt ends a part between two units.
func (x *exchange) halt(ctx context.Context, p *part) error {
	if _, ok := x.halted[p]; !ok {
		x.halted[p] = time.Now()
	}
	if _, err := p.keeper.halt(ctx); err != nil {
		return fmt.Errorf("end %s %q: %w", p.kind, p.id, err)
	}
	x.engine.recorder.Unhold(p.id)
	return nil
}

// goesOn notes how long the part stood still that was the first to be ended.
func (x *exchange) goesOn() {
	for _, since := range x.halted {
		x.paused = max(x.paused, time.Since(since))
	}
}

// undo lets everything go on as it was.
func (x *exchange) undo(ctx context.Context) {
	e := x.engine
	for _, p := range slices.Backward(x.changing()) {
		if _, ok := x.halted[p]; ok && !x.unknown {
			x.asBefore(ctx, p)
		}
	}
	if x.stopped {
		x.reopenRedrive(ctx)
	}
	for _, p := range x.guests {
		e.crew.drop(p)
	}
	x.goesOn()
	clear, done := context.WithTimeout(context.WithoutCancel(ctx), clearWithin)
	defer done()
	if !x.unknown {
		x.unplace(clear)
	}
	if x.drawing != nil {
		x.drawing.stop()
	}
	x.close(x.opened)
}

// asBefore lets an old part work on as if nothing had been.
func (x *exchange) asBefore(ctx context.Context, p *part) {
	if p.gen != nil && p.gen.until != nil { // it may be at work up to there
		_, _ = p.keeper.halt(context.WithoutCancel(ctx)) // which ends within a drain's time
		p.gen.until = nil
	}
	p.keeper.resume(nil)
}

func (x *exchange) reopenRedrive(ctx context.Context) {
	if err := x.engine.redrive.open(ctx); err != nil && ctx.Err() == nil {
		x.notes = append(x.notes, fmt.Sprintf("dead letters that wait are driven again later: %v", err))
		x.engine.Logger.Error("cannot look for dead letters to drive again", "error", err)
	}
}

func (x *exchange) close(parts []*part) {
	for _, p := range parts {
		if err := p.close(); err != nil {
			x.engine.Logger.Warn("part not closed in good order", "part", p.id, "error", err)
		}
	}
}

// finish lets the new parts work, downstream first, and clears up behind the old.
func (x *exchange) finish(ctx context.Context) {
	e := x.engine
	e.defined.Store(&x.next)
	e.tapped.Use(x.next.plan)
	old := x.changing()
	x.close(slices.DeleteFunc(slices.Clone(old), func(p *part) bool { return p.source == nil })) // a queue has one consumer
	for _, p := range x.opened {                                                                 // opened downstream first
		was := e.crew.find(p.kind, p.id)
		switch {
		case slices.Contains(x.guests, p):
			p.keeper.resume(nil)
		case was != nil:
			e.crew.exchange(was, p)
			p.keeper.resume(p.work())
		default:
			e.crew.add(p)
		}
	}
	x.goesOn()
	if x.drawing != nil {
		was := e.drawn.Swap(x.drawing)
		was.hub.Replace(x.drawing.hub)
		was.stop()
	}
	x.clear(ctx, old)
	x.reopenRedrive(ctx)
}

// clear forgets what the plan has no more.
func (x *exchange) clear(ctx context.Context, old []*part) {
	e := x.engine
	for _, c := range x.diff.Old {
		if c.Change != plan.Removed || c.Kind == plan.ChartPart {
			continue
		}
		at := slices.IndexFunc(old, func(p *part) bool { return p.kind == c.Kind && p.id == c.ID })
		if at >= 0 {
			e.crew.drop(old[at])
		}
	}
	x.forgetOwnPlaces(ctx, old)
	x.close(slices.DeleteFunc(old, func(p *part) bool { return p.source != nil }))
	for _, n := range x.diff.Nodes {
		if n.Change == plan.Removed {
			e.recorder.Forget(n.ID)
		}
	}
}
