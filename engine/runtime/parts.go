package runtime

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

// definition is a pipeline file and its plan.
type definition struct {
	file *spec.Pipeline
	plan *plan.Plan
}

// part is one source, stage or sink of the engine's own generation: what is open for
// it alone, and who runs it.
type part struct {
	kind   plan.PartKind
	id     string
	gen    *generation // of one stage or one sink; nil for a source
	source *sourceRun  // nil for others
	keeper *keeper
}

// leaseName names the lease of the part.
func (p *part) leaseName() string {
	if p.source != nil {
		return "source:" + p.id
	}
	return string(p.kind) + ":" + p.gen.reader(p.id)
}

// work is what the part does under its lease.
func (p *part) work() runner {
	switch {
	case p.source != nil:
		return p.source.run
	case p.kind == plan.StagePart:
		return p.gen.stages[0].run
	}
	return p.gen.sinks[0].run
}

// close frees what was opened for the part.
func (p *part) close() error {
	if p.source != nil {
		return p.source.source.Close()
	}
	return p.gen.close()
}

// reasons lists why the part is not ready.
func (p *part) reasons() (list []httpapi.Reason) {
	add := func(id string, s node.Status) {
		if !s.Ready {
			list = append(list, httpapi.Reason{Component: id, Reason: s.Reason})
		}
	}
	if p.source != nil {
		add(p.id, p.source.source.Status())
		return list
	}
	for _, s := range p.gen.sinks {
		add(s.plan.ID, s.sink.Status())
	}
	for _, s := range p.gen.stages {
		for _, n := range s.nodes {
			if t, ok := n.Transform.(interface{ Status() node.Status }); ok {
				add(n.ID, t.Status())
			}
		}
	}
	return list
}

// opening is how a part is opened.
type opening struct {
	placed bool              // its readers get their places elsewhere
	say    func(what string) // tells people what is being waited for
}

// openPart opens one part of d, which is to be closed unless there is an error.
func (e *Engine) openPart(ctx context.Context, d definition, kind plan.PartKind, id string, how opening) (*part, error) {
	p := &part{kind: kind, id: id}
	own := func(small *plan.Plan) *generation {
		p.gen = &generation{Engine: e, name: e.Generation, spec: d.file, plan: small, say: how.say, placed: how.placed}
		return p.gen
	}
	var err error
	switch kind {
	case plan.SourcePart:
		p.source, err = e.openSource(d.file, id)
	case plan.StagePart:
		err = own(d.plan.OnlyStage(id)).openStages(ctx)
	default:
		err = own(d.plan.OnlySink(id)).openSinks(ctx)
	}
	if err != nil && p.gen != nil {
		err = errors.Join(err, p.gen.close())
	}
	if err != nil {
		return nil, err
	}
	p.keeper = e.keeper(p.leaseName(), p.work())
	return p, nil
}

// crew runs the parts of the engine's own generation; parts may come, go and be
// exchanged while it runs.
type crew struct {
	mu    sync.Mutex
	parts []*part                  // guarded by mu
	shift map[plan.PartKind]*group // guarded by mu; nil: nothing runs yet
	ends  map[*keeper]func()       // guarded by mu: of parts at work; each ends one and waits for that
}

// group is the parts of one kind at work.
type group struct {
	ctx  context.Context
	end  context.CancelFunc
	work sync.WaitGroup
}

// add adds a part, which begins at once if the crew runs.
func (c *crew) add(p *part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = append(c.parts, p)
	if c.shift != nil {
		c.begin(p)
	}
}

// begin lets a part work. mu is held.
func (c *crew) begin(p *part) {
	g := c.shift[p.kind]
	ctx, end := context.WithCancel(g.ctx)
	done := make(chan struct{})
	c.ends[p.keeper] = func() { end(); <-done }
	g.work.Go(func() {
		defer close(done)
		defer end()
		p.keeper.run(ctx)
	})
}

// exchange puts next in the place of p; its keeper stays.
func (c *crew) exchange(p, next *part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next.keeper = p.keeper
	c.parts[slices.Index(c.parts, p)] = next
}

// drop takes a part out and waits for its end; what is open for it stays open.
func (c *crew) drop(p *part) {
	c.mu.Lock()
	c.parts = slices.DeleteFunc(c.parts, func(q *part) bool { return q == p })
	end := c.ends[p.keeper]
	delete(c.ends, p.keeper)
	c.mu.Unlock()
	if end != nil {
		end()
	}
}

// find returns the part, nil if there is none.
func (c *crew) find(kind plan.PartKind, id string) *part {
	for _, p := range c.all() {
		if p.kind == kind && p.id == id {
			return p
		}
	}
	return nil
}

func (c *crew) all() []*part {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.parts)
}

// kindsAsEventsGo are the kinds of part in the order in which events pass them.
var kindsAsEventsGo = []plan.PartKind{plan.SourcePart, plan.StagePart, plan.SinkPart}

// run runs the parts until ctx ends, and ends them upstream first. When settle has
// returned nothing is added any more; behindSources is called when no source runs.
func (c *crew) run(ctx context.Context, settle, behindSources func()) {
	groups := map[plan.PartKind]*group{}
	for _, kind := range kindsAsEventsGo {
		g := &group{}
		g.ctx, g.end = context.WithCancel(context.WithoutCancel(ctx))
		groups[kind] = g
	}
	c.start(groups)
	<-ctx.Done()
	settle()
	for _, kind := range kindsAsEventsGo {
		groups[kind].end()
		groups[kind].work.Wait()
		if kind == plan.SourcePart {
			behindSources()
		}
	}
}

// start lets the parts work, downstream first.
func (c *crew) start(groups map[plan.PartKind]*group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shift, c.ends = groups, map[*keeper]func(){}
	for _, kind := range slices.Backward(kindsAsEventsGo) {
		for _, p := range c.parts {
			if p.kind == kind {
				c.begin(p)
			}
		}
	}
}

// close closes all parts.
func (c *crew) close() error {
	var errs []error
	for _, p := range slices.Backward(c.all()) {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}
