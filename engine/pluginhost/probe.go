package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
)

// Codes of the rejects that a probe makes, one for each way in which a lone event
// can fail the plugin.
const (
	codeCrash    = "plugin_crash"    // the process ended, or broke its connection
	codeDeadline = "plugin_deadline" // no answer within CallDeadline
	codeContract = "plugin_contract" // an answer that no plugin may give
	codeAnswer   = "plugin_answer"   // an answer that is refused, such as one that is too large
	codeError    = "plugin_error"    // the plugin itself says that it failed
)

const (
	crashesToProbe = 2 // of one unit, before its events go one by one
	triesAlone     = 2 // of one event: a process may be killed from outside once, or die late of the event before
)

// suspect is the unit at which the plugin's process ended, or was ended, last. The
// parts into which a stage cuts a unit count as the unit. It belongs to one lane.
type suspect struct {
	events  map[event.ID]bool
	last    event.ID
	crashes int
}

func (s *suspect) has(in *node.Batch) bool { return s.events[in.Events[0].ID] }

// proven reports whether in has failed so often that it is not for the main process.
func (s *suspect) proven(in *node.Batch) bool { return s.crashes >= crashesToProbe && s.has(in) }

// crashed counts a process that in has cost.
func (s *suspect) crashed(in *node.Batch) {
	if s.has(in) {
		s.crashes++
		return
	}
	*s = suspect{events: make(map[event.ID]bool, len(in.Events)), crashes: 1}
	for _, ev := range in.Events {
		s.events[ev.ID] = true
		s.last = ev.ID
	}
}

// passed forgets the unit once it, or one behind it, has been processed.
func (s *suspect) passed(in *node.Batch) {
	if s.events != nil && (!s.has(in) || in.Events[len(in.Events)-1].ID == s.last) {
		*s = suspect{}
	}
}

// probe is a process of its own for the events of a unit that has cost the main
// process twice. What it dies of is not charged to the restart budget.
type probe struct {
	main   *lane // that the unit belongs to
	stream lane  // to the probe's process
	inst   *instance
	guilty int
}

// probe sends in's events one by one and returns what became of each: those that
// fail alone, twice, as rejects, which name the plugin as their maker. One probe
// runs at a time for each worker, and none for longer than ProbeTimeout; the rest
// of the unit is then cut in halves by the stage.
//
// What an event puts into in.State is seen by the events behind it, as in a unit.
func (l *lane) probe(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	w := l.work
	ctx, end, err := w.beginProbe(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	cfg := w.cfg
	cfg.Logger = cfg.Logger.With("probe", true)
	w.log.Warn("a unit failed the plugin twice: its events go one by one through a process of their own", "events", len(in.Events))
	p := &probe{main: l, stream: lane{number: l.number, work: &worker{cfg: cfg, node: w.node, prog: w.prog, stamp: w.stamp, layouts: w.layouts}}}
	defer p.end()
	started := time.Now()
	results, err := p.run(ctx, in)
	if err != nil {
		w.log.Warn("the probe did not get through", "guilty", p.guilty, "error", err)
		return nil, err
	}
	w.log.Info("probe ended", "guilty", p.guilty, "took", time.Since(started).Round(time.Millisecond))
	return results, nil
}

func (p *probe) run(ctx context.Context, in *node.Batch) ([]node.Result, error) {
	results := make([]node.Result, len(in.Events))
	for i := range in.Events {
		alone := *in
		alone.Events = in.Events[i : i+1]
		var err error
		results[i], err = p.judge(ctx, &alone)
		if errors.Is(context.Cause(ctx), errProbeTime) {
			err = fmt.Errorf("%w: %d of %d events were tried, %d of them failed alone", errProbeTime, i, len(in.Events), p.guilty)
			if len(in.Events) > 1 {
				return nil, node.AsRejected(err) // no more tries, smaller units
			}
			return nil, node.AsUnsure(err)
		}
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// judge returns what becomes of a lone event. An error says nothing about it.
func (p *probe) judge(ctx context.Context, alone *node.Batch) (node.Result, error) {
	for try := 1; ; try++ {
		if err := p.ready(ctx); err != nil {
			return node.Result{}, err
		}
		p.main.began.Store(time.Now().UnixNano())
		results, err := p.stream.carry(ctx, alone)
		if err == nil {
			return results[0], nil
		}
		class := node.ClassOf(err)
		switch {
		case ctx.Err() != nil:
			return node.Result{}, context.Cause(ctx)
		case class == node.Away || class == node.Fatal:
			return node.Result{}, err
		case class == node.Rejected || try == triesAlone:
			p.guilty++
			return node.Result{Rejects: []node.Reject{p.verdict(err)}}, nil
		}
	}
}

// ready makes sure that the probe's process runs.
func (p *probe) ready(ctx context.Context) error {
	if p.inst != nil && p.inst.why() == nil {
		return p.stream.open(p.inst)
	}
	p.end()
	w := p.stream.work
	inst, err := w.relaunch(ctx)
	if err != nil {
		return node.AsUnsure(fmt.Errorf("starting a process for a probe: %w", err))
	}
	p.inst = inst
	return p.stream.open(inst)
}

func (p *probe) end() {
	p.stream.drop()
	if p.inst != nil {
		p.inst.bury()
		p.inst = nil
	}
}

// verdict makes the reject of an event that failed alone.
func (p *probe) verdict(err error) node.Reject {
	reject := node.Reject{Record: -1, Maker: p.main.work.stamp, Code: codeError, Text: clip(err.Error(), 4000) + " (alone in a process of its own)"}
	reason := p.inst.why()
	switch {
	case node.ClassOf(err) == node.Rejected:
		reject.Code = codeAnswer
	case reason == nil:
	case isA[*deadlineError](reason):
		reject.Code = codeDeadline
	case isA[*brokenError](reason):
		reject.Code = codeContract
	default:
		reject.Code = codeCrash
	}
	return reject
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

var errProbeTime = errors.New("the time for a probe is over")

// beginProbe waits for its turn and returns the context of a probe, which ends with
// the worker, and what ends it.
func (w *worker) beginProbe(ctx context.Context) (context.Context, func(), error) {
	select {
	case w.probing <- struct{}{}:
	case <-w.closing:
		return nil, nil, ErrClosed
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	ctx, release := w.untilClosed(ctx)
	ctx, cancel := context.WithTimeoutCause(ctx, w.cfg.ProbeTimeout, errProbeTime)
	return ctx, func() {
		cancel()
		release()
		<-w.probing
	}, nil
}
