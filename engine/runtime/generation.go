package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// generation is one incarnation of a plan's stages and sinks: the live one, or one
// beside it with positions, leases and streams of its own. Open it with openStages
// and openSinks, run it, close it.
type generation struct {
	*Engine
	name    string
	spec    *spec.Pipeline // the file that the plan was made of
	plan    *plan.Plan
	replay  *replayRun                  // nil if it is none
	stretch *stretch                    // of a replay; nil: everything, from the journal's start
	placed  bool                        // whoever opens it gives its readers their places
	until   map[string][]event.Position // streams that are read up to there only, by lane
	stages  []*stageRun
	sinks   []*sinkRun
	closers []func() error
	say     func(what string) // tells people what is being waited for
}

// stretch is a replay's part of the journal, by lane, and how fast it may be read.
type stretch struct {
	after, until []event.Position
	gate         *gate
}

// register gives a stage or sink its place in one of its streams.
func (g *generation) register(ctx context.Context, id, name string, external bool) error {
	if g.placed {
		return nil
	}
	if n := g.spec.Node(id); n != nil && n.Start == spec.Now && g.name == Live {
		heads, err := g.log.Heads(ctx, name)
		if err != nil {
			return err
		}
		return g.log.RegisterReaderAfter(ctx, g.reader(id), name, external, heads)
	}
	if g.stretch != nil && name == stream.Journal {
		return g.log.RegisterReaderAfter(ctx, g.reader(id), name, external, g.stretch.after)
	}
	return g.log.RegisterReader(ctx, g.reader(id), name, external)
}

// origin is where a sink begins that has no position of its own yet.
func (g *generation) origin(name string, lane int) event.Position {
	if g.stretch != nil && name == stream.Journal {
		return g.stretch.after[lane]
	}
	return event.Position{Epoch: g.log.Epoch()}
}

// reader names the position that a stage or sink keeps in the log.
func (g *generation) reader(id string) string { return id + "@" + g.name }

// run runs the stages and sinks until ctx ends, and ends the stages first.
func (g *generation) run(ctx context.Context) {
	afterStages, endSinks := context.WithCancel(context.WithoutCancel(ctx))
	defer endSinks()
	var stages, sinks sync.WaitGroup
	for _, s := range g.sinks {
		sinks.Go(func() { g.keep(afterStages, "sink:"+g.reader(s.plan.ID), s.run) })
	}
	for _, s := range g.stages {
		stages.Go(func() { g.keep(ctx, "stage:"+g.reader(s.plan.ID), s.run) })
	}
	<-ctx.Done()
	stages.Wait()
	endSinks()
	sinks.Wait()
}

// close closes transforms and sinks. It may be called however far opening came.
func (g *generation) close() error { return closeAll(g.closers) }

// patiently calls f until it does anything else than meet a server that is away.
func (g *generation) patiently(ctx context.Context, what string, f func() error) error {
	pause := 100 * time.Millisecond
	for {
		err := f()
		if err == nil || node.ClassOf(err) != node.Away {
			return err
		}
		g.say(fmt.Sprintf("%s: %v", what, err))
		g.Logger.Warn("server is away, trying again", "what", what, "pause", pause, "error", err)
		if !lifecycle.Sleep(ctx, pause) {
			return errors.Join(ctx.Err(), err)
		}
		pause = min(2*pause, 5*time.Second)
	}
}
