package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stream"
)

// Driver drives events again through a node of the running pipeline. Its methods
// may be called concurrently.
type Driver interface {
	// Knows reports whether the pipeline has such a transform or sink.
	Knows(node string) bool
	// Entries lists the nodes that read source and lead to node, or are node.
	Entries(source, node string) []string
	// Prepare makes the node's stream, [plan.StreamOf] of the node and [plan.Redriven],
	// and its reader.
	Prepare(ctx context.Context, node string) error
	// Drive sees to it that what is in the node's stream is driven. It does not wait.
	Drive(node string)
	// Follow sees to it that letters which wait for nothing any more are driven.
	Follow()
	// Lag counts the events in the node's stream that are still to be driven.
	Lag(ctx context.Context, node string) (int64, error)
}

// Journal is the log as replays see it; [stream.Log] is one.
type Journal interface {
	Log
	Lanes() int
	// LastDeadLetter names the newest letter, "" if there is none.
	LastDeadLetter(ctx context.Context) (string, error)
	// Redrive takes letters out and appends outputs in one step.
	Redrive(ctx context.Context, letters []stream.StoredDeadLetter, outputs []stream.Output) error
	ReadFrames(ctx context.Context, name string, lane int, after event.Position, maxFrames int, block time.Duration) ([]stream.Entry, error)
}

// Choice says which letters are meant: those of the names IDs, or if there are none
// those that the filter takes.
type Choice struct {
	IDs    []string
	Filter Filter
}

// ReplayOptions say how letters are driven again.
type ReplayOptions struct {
	// FromSource takes each letter's root message from the journal and drives it through
	// everything between its source and the failing node; otherwise what the failing
	// node was given is given to it again.
	FromSource bool
	DryRun     bool // only say what would happen
}

// Replayed is the answer to a wish to drive letters again.
type Replayed struct {
	DryRun  bool         `json:"dry_run"`
	Letters int          `json:"letters"` // taken out of the dead letters; with DryRun: that would be
	Events  int          `json:"events"`  // driven again: letters of one event are driven once
	Nodes   []NodeEvents `json:"nodes"`   // where they are driven from, by node
	Skipped []Skip       `json:"skipped"` // letters that stay, by reason
	Last    string       `json:"last"`    // newest letter before; later ones may come from this replay
}

// NodeEvents counts the events that are given to one node.
type NodeEvents struct {
	Node   string `json:"node"`
	Events int    `json:"events"`
}

// Skip is why letters cannot be driven again.
type Skip struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// pick is a letter that is to be driven, without its event.
type pick struct {
	id   string
	node string
	root event.Position
}

// replay is one replay at work.
type replay struct {
	log    Journal
	driver Driver
	opts   ReplayOptions
	out    Replayed
	driven map[string]bool // node and event id: given to the node in this replay
}

// batchLetters and batchBytes bound one atomic step.
const (
	batchLetters = 256
	batchBytes   = 4 << 20
)

// Replay drives the letters of the choice again, in the order in which their
// messages came in. Each leaves the dead letters in the same step that gives its
// event to the node, so that it is in one of the two places whatever happens; one
// that is refused again is a dead letter again. Replaying twice adds nothing: what
// the first one took is not there any more, and events keep their ids.
//
// An error of class Away may come after some letters were driven; calling it again
// goes on with the rest.
func Replay(ctx context.Context, log Journal, driver Driver, c Choice, opts ReplayOptions) (*Replayed, error) {
	r := &replay{log: log, driver: driver, opts: opts, driven: map[string]bool{}}
	r.out = Replayed{DryRun: opts.DryRun, Nodes: []NodeEvents{}, Skipped: []Skip{}}
	picks, err := r.choose(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := r.driveAll(ctx, picks); err != nil {
		return &r.out, err
	}
	slices.SortFunc(r.out.Nodes, func(a, b NodeEvents) int { return cmp.Compare(a.Node, b.Node) })
	return &r.out, nil
}

// Follow drives those letters of a node with strict order again that wait for nothing
// any more, in order.
func Follow(ctx context.Context, log Journal, driver Driver, node string) error {
	r := &replay{log: log, driver: driver, driven: map[string]bool{}}
	dead := map[string]bool{} // keys with a letter that is no mere waiting one
	waiting := map[string][]pick{}
	err := each(ctx, log, Filter{Node: node}, "", func(letters []stream.StoredDeadLetter) error {
		for i := range letters {
			d := &letters[i]
			switch {
			case d.Event == nil || !d.Strict:
			case d.Waits:
				waiting[d.Event.Key] = append(waiting[d.Event.Key], pick{d.ID, node, d.Event.Root})
			default:
				dead[d.Event.Key] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var picks []pick
	for key, list := range waiting {
		if !dead[key] {
			picks = append(picks, list...)
		}
	}
	return r.driveAll(ctx, picks)
}

// choose collects the letters that are meant and can be driven.
func (r *replay) choose(ctx context.Context, c Choice) ([]pick, error) {
	var picks []pick
	take := func(letters []stream.StoredDeadLetter) {
		for i := range letters {
			d := &letters[i]
			if reason := r.refuse(d); reason != "" {
				r.skip(reason)
				continue
			}
			picks = append(picks, pick{d.ID, d.Node, d.Event.Root})
		}
	}
	var err error
	if r.out.Last, err = r.log.LastDeadLetter(ctx); err != nil {
		return nil, err
	}
	if len(c.IDs) == 0 {
		return picks, each(ctx, r.log, c.Filter, "", func(l []stream.StoredDeadLetter) error { take(l); return nil })
	}
	letters, err := named(ctx, r.log, c.IDs)
	take(letters)
	return picks, err
}

// refuse returns why d cannot be driven again, "" if it can.
func (r *replay) refuse(d *stream.StoredDeadLetter) string {
	switch {
	case d.Event == nil:
		return "the entry could not be read at all: it is no event"
	case d.Generation != live && d.Generation != plan.Redriven:
		return fmt.Sprintf("it belongs to the replay %q", d.Generation)
	case d.Waits:
		return "it waits behind another one, and follows by itself once that is driven again or dropped"
	case d.Node == d.Event.Source.Node:
		return "its source has refused it: it must be published anew"
	case !r.driver.Knows(d.Node):
		return fmt.Sprintf("the pipeline has no node %q", d.Node)
	case d.Cut != nil && !r.opts.FromSource:
		return "only the first 64 KiB of its content are left: use --from-source"
	case r.opts.FromSource && len(r.driver.Entries(d.Event.Source.Node, d.Node)) == 0:
		return fmt.Sprintf("no way leads from its source %q to %q", d.Event.Source.Node, d.Node)
	}
	return ""
}

const live = "live" // the generation of the pipeline's own run

func (r *replay) skip(reason string) {
	for i := range r.out.Skipped {
		if r.out.Skipped[i].Reason == reason {
			r.out.Skipped[i].Count++
			return
		}
	}
	r.out.Skipped = append(r.out.Skipped, Skip{reason, 1})
}

func (r *replay) driveAll(ctx context.Context, picks []pick) error {
	slices.SortStableFunc(picks, func(a, b pick) int { return cmp.Or(cmp.Compare(a.node, b.node), a.root.Compare(b.root)) })
	for batch := range slices.Chunk(picks, batchLetters) {
		if err := r.drive(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// drive takes the batch's letters and drives their events, in steps of bounded
// size. Letters that somebody else took meanwhile are left out.
func (r *replay) drive(ctx context.Context, batch []pick) error {
	for len(batch) > 0 {
		step, err := r.gather(ctx, batch)
		if err != nil {
			return err
		}
		batch = batch[step.picks:]
		if len(step.letters) == 0 {
			continue
		}
		if err := r.take(ctx, step); err != nil {
			if errors.Is(err, stream.ErrLetterGone) {
				batch = append(slices.Clone(step.again), batch...)
				continue
			}
			return err
		}
	}
	return nil
}

// step is what one atomic step moves.
type step struct {
	picks   int    // of the batch
	again   []pick // the same, to be gathered anew
	letters []stream.StoredDeadLetter
	given   []given
}

func (s *step) gives(g given) bool {
	return slices.ContainsFunc(s.given, func(have given) bool { return have.node == g.node && have.event.ID == g.event.ID })
}

// given is an event for a node.
type given struct {
	node  string
	event *event.Event
}

func (g given) name() string { return g.node + " " + g.event.ID.String() }

// gather reads the letters from the front of batch that fit into one step.
func (r *replay) gather(ctx context.Context, batch []pick) (*step, error) {
	s := &step{}
	size := 0
	for _, p := range batch {
		d, ok, err := r.log.DeadLetter(ctx, p.id)
		if err != nil {
			return nil, err
		}
		s.picks++
		s.again = append(s.again, p)
		if !ok {
			continue
		}
		list, err := r.events(ctx, &d)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			r.skip("its message is not in the journal any more")
			continue
		}
		d.Released = true
		for _, g := range list {
			if s.gives(g) || r.driven[g.name()] {
				continue
			}
			d.Released = r.opts.FromSource // then it is another node that the event is given to
			s.given = append(s.given, g)
			size += g.event.Size()
		}
		s.letters = append(s.letters, d)
		if size >= batchBytes {
			break
		}
	}
	return s, nil
}

// events returns what is to be given to which node for one letter.
func (r *replay) events(ctx context.Context, d *stream.StoredDeadLetter) ([]given, error) {
	if !r.opts.FromSource {
		return []given{{d.Node, d.Event}}, nil
	}
	root, err := r.root(ctx, d.Event)
	if err != nil || root == nil {
		return nil, err
	}
	var list []given
	for _, entry := range r.driver.Entries(d.Event.Source.Node, d.Node) {
		list = append(list, given{entry, root})
	}
	return list, nil
}

// root finds the journal event that ev descends from; nil if it is there no more.
func (r *replay) root(ctx context.Context, ev *event.Event) (*event.Event, error) {
	before := ev.Root
	before.Seq--
	for lane := range r.log.Lanes() {
		entries, err := r.log.ReadFrames(ctx, stream.Journal, lane, before, 1, 0)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 || entries[0].At != ev.Root {
			continue
		}
		f, err := event.DecodeFrame(entries[0].Frame)
		if err != nil {
			continue
		}
		for _, root := range f.Events {
			if root.RootID == ev.RootID && root.Source.Node == ev.Source.Node {
				root.Root = ev.Root
				return root, nil
			}
		}
	}
	return nil, nil
}

// take does one step, or with DryRun counts it.
func (r *replay) take(ctx context.Context, s *step) error {
	fresh := s.given
	if !r.opts.DryRun {
		outputs, err := r.outputs(ctx, fresh)
		if err != nil {
			return err
		}
		if err := r.log.Redrive(ctx, s.letters, outputs); err != nil {
			return err
		}
	}
	r.out.Letters += len(s.letters)
	r.out.Events += len(fresh)
	for _, g := range fresh {
		r.driven[g.name()] = true
		r.count(g.node)
		if !r.opts.DryRun {
			r.driver.Drive(g.node)
		}
	}
	return nil
}

func (r *replay) count(node string) {
	for i := range r.out.Nodes {
		if r.out.Nodes[i].Node == node {
			r.out.Nodes[i].Events++
			return
		}
	}
	r.out.Nodes = append(r.out.Nodes, NodeEvents{node, 1})
}

// outputs makes frames of the events: one for each run of events of the same node
// and lane.
func (r *replay) outputs(ctx context.Context, list []given) ([]stream.Output, error) {
	type place struct {
		node string
		lane int
	}
	byPlace := map[place][]*event.Event{}
	var order []place
	for _, g := range list {
		p := place{g.node, stream.LaneOf(g.event.Key, r.log.Lanes())}
		if byPlace[p] == nil {
			order = append(order, p)
		}
		byPlace[p] = append(byPlace[p], g.event)
	}
	outputs := make([]stream.Output, 0, len(order))
	for _, p := range order {
		if err := r.driver.Prepare(ctx, p.node); err != nil {
			return nil, err
		}
		f := event.Frame{Events: byPlace[p]}
		frame, err := f.Encode(nil, event.None)
		if err != nil {
			return nil, fmt.Errorf("encode events of node %s: %w", p.node, err)
		}
		outputs = append(outputs, stream.Output{Stream: plan.StreamOf(p.node, plan.Redriven), Lane: p.lane, Frame: frame, Events: len(byPlace[p])})
	}
	return outputs, nil
}
