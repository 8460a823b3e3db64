package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// tally counts what a version has done. Its fields may be read at any time.
type tally struct {
	events atomic.Uint64 // of answered and of failed units
	bad    atomic.Uint64 // rejected events, and units that failed by the plugin's doing
}

// count adds one unit. A server that is away speaks against no version.
func (t *tally) count(events int, results []node.Result, err error) {
	bad := 0
	if c := node.ClassOf(err); err != nil && (c == node.Unsure || c == node.Rejected) {
		bad = 1
	}
	for i := range results {
		if len(results[i].Rejects) > 0 {
			bad++
		}
	}
	t.events.Add(uint64(events))
	if bad > 0 {
		t.bad.Add(uint64(bad))
	}
}

// Bounds of a judgement about two versions.
const (
	leastBad = 10  // fewer bad events prove nothing
	leastZ   = 4.0 // standard deviations between the two rates; 1 in 30,000 by chance
)

// worse reports whether a version with these counts has a higher rate of bad events
// than the one before it: the two-proportion z-test, pooled. Without counts of the
// version before nothing is proven.
func worse(events, bad, eventsBefore, badBefore uint64) bool {
	if eventsBefore == 0 || bad < leastBad {
		return false
	}
	n, m := float64(events), float64(eventsBefore)
	pooled := min(1, float64(bad+badBefore)/(n+m))
	spread := math.Sqrt(pooled * (1 - pooled) * (1/n + 1/m))
	return float64(bad)/n-float64(badBefore)/m > leastZ*spread
}

// swap moves the nodes to their new versions, watches over them for the time of
// the trial, and moves them back if one of them fails. Where there is nothing to go
// back to there is no trial.
func (a *action) swap(ctx context.Context, changes []change) {
	tried := !a.oneWay && a.Kind != Rollback && a.Kind != Quarantine
	if tried {
		a.set(Trying)
		a.tell()
	}
	a.handOver(changes)
	if tried {
		if err := a.watch(ctx, changes); ctx.Err() != nil {
			a.end(Stopped, "the engine ended during the trial") // which closes the nodes
			return
		} else if err != nil {
			a.moveBack(changes, err)
			return
		}
	}
	for _, c := range changes {
		c.node.release()
	}
	a.end(Done, "%s", summary(changes, tried))
}

func (a *action) handOver(changes []change) {
	for i := range changes {
		c := &changes[i]
		c.before = [2]uint64{c.from.tally.events.Load(), c.from.tally.bad.Load()}
		if pauses, ok := c.node.handOver(c.to); ok {
			a.paused(c.node, pauses)
		} else {
			c.to.close() // the node is closed
		}
	}
}

func (a *action) moveBack(changes []change, reason error) {
	a.restore()
	state := registry.Quarantined
	if asked, ok := errors.AsType[*abortError](reason); ok {
		state = asked.leaves
	}
	for _, c := range changes {
		c.node.handOver(c.from)
		c.node.release()
		a.brand(c.to.prog.Name, c.to.prog.Version, state, reason.Error())
	}
	a.end(RolledBack, "%v; the version before is at work again", reason)
}

// paused keeps for how long the lanes of a node stood still.
func (a *action) paused(t *Transform, pauses []time.Duration) {
	slices.Sort(pauses)
	a.host.mu.Lock()
	defer a.host.mu.Unlock()
	for i := range a.Nodes {
		if a.Nodes[i].Node == t.node.Node {
			a.Nodes[i].PauseP50Ms = milliseconds(pauses[len(pauses)/2])
			a.Nodes[i].PauseMaxMs = milliseconds(pauses[len(pauses)-1])
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// abortError ends a trial because a person wants it.
type abortError struct {
	text   string
	leaves registry.State // what becomes of the version on trial
}

func (e *abortError) Error() string { return e.text }

// glance is the time between two looks at versions on trial.
const glance = 20 * time.Millisecond

// watch waits until the trial is over. Its error says why a new version may not
// stay: it was lost, its rate of bad events is higher than that of the version
// before, or somebody wants it back.
func (a *action) watch(ctx context.Context, changes []change) error {
	end := time.NewTimer(a.host.cfg.Trial)
	defer end.Stop()
	look := time.NewTicker(glance)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case asked := <-a.abort:
			return asked
		case <-end.C:
			return judge(changes)
		case <-look.C:
			if err := judge(changes); err != nil {
				return err
			}
		}
	}
}

// judge says what speaks against one of the new versions.
func judge(changes []change) error {
	for i := range changes {
		c := &changes[i]
		select {
		case err := <-c.to.mishap:
			return fmt.Errorf("node %q: plugin %s: %w", c.node.node.Node, c.to.stamp, err)
		default:
		}
		events, bad := c.to.tally.events.Load(), c.to.tally.bad.Load()
		if worse(events, bad, c.before[0], c.before[1]) {
			return fmt.Errorf("node %q: plugin %s: %d of %d events are bad, of the version before %d of %d",
				c.node.node.Node, c.to.stamp, bad, events, c.before[1], c.before[0])
		}
	}
	return nil
}

// summary says what the nodes run, and what the new versions did on trial.
func summary(changes []change, tried bool) string {
	var parts []string
	for _, c := range changes {
		text := fmt.Sprintf("node %q runs %s", c.node.node.Node, c.to.stamp)
		if tried {
			text += fmt.Sprintf(", which had %d events in the trial, %d of them bad", c.to.tally.events.Load(), c.to.tally.bad.Load())
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}
