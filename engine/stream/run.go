package stream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// Run does the log's background work until ctx ends: it renews leases, watches
// for another Redis behind the address, for lost settings and lost frames, trims
// what is no longer needed, and refreshes [Log.Stats]. When it returns nothing
// that it started is left, and it returns the error that stopped the log, nil
// if ctx did. Run it once, for as long as leases are held.
func (l *Log) Run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { // apart from the rest: trimming must not keep leases waiting
		defer end()
		l.repeat(ctx, l.cfg.LeaseTTL/4, nil, &chore{what: "renew leases", do: l.renew})
	})
	tend := &chore{what: "tend", do: l.tend}
	l.attempt(ctx, tend)
	l.repeat(ctx, tendEvery, l.urgent, tend)
	end()
	wg.Wait()
	if err := l.usable(); !errors.Is(err, errClosed) {
		return err
	}
	return nil
}

// tendEvery is how often the log looks at its server, trims and counts.
const tendEvery = time.Second

// chore is a piece of background work.
type chore struct {
	what    string
	do      func(context.Context) error
	failing bool // the last attempt failed, which was said
}

// repeat does c again and again, and at once when urgent says so, until ctx ends
// or the log must not be used any more.
func (l *Log) repeat(ctx context.Context, every time.Duration, urgent <-chan struct{}, c *chore) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for l.usable() == nil {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-urgent:
		}
		l.attempt(ctx, c)
	}
}

// attempt does c once within a lease's time. What fails for now comes again at
// the next tick; a row of failures is told once.
func (l *Log) attempt(ctx context.Context, c *chore) {
	timed, cancel := context.WithTimeout(ctx, max(l.cfg.LeaseTTL, time.Second))
	defer cancel()
	err := c.do(timed)
	if ctx.Err() != nil || node.ClassOf(err) == node.Fatal {
		return // the end, or said by fail
	}
	switch {
	case err != nil && !c.failing:
		l.logger.Warn("background work of the log waits", "work", c.what, "error", err)
	case err == nil && c.failing:
		l.logger.Info("background work of the log goes on", "work", c.what)
	}
	c.failing = err != nil
}

func (l *Log) tend(ctx context.Context) error {
	facts, err := l.watch(ctx)
	if err != nil {
		return err
	}
	if err := l.refreshStats(ctx, facts); err != nil {
		return err
	}
	if err := l.expireDead(ctx); err != nil {
		return err
	}
	return l.Trim(ctx)
}

// watch looks whether the server is still the one that was examined, keeps its
// promises and holds what it ought to.
func (l *Log) watch(ctx context.Context) (*facts, error) {
	s, err := ask(ctx, l.rdb)
	if err != nil {
		return nil, l.awayOrFatal(err)
	}
	if err := s.prove(); err != nil && l.cfg.Strict {
		return nil, l.fail(err)
	}
	l.mu.Lock()
	before := l.runID
	l.runID = s.runID
	l.mu.Unlock()
	if before != s.runID {
		l.logger.Warn("redis was restarted or replaced", "run_id", s.runID, "before", before)
	}
	epoch, err := l.rdb.HGet(ctx, l.keys.meta, "epoch").Result()
	if err != nil && !isNil(err) {
		return nil, l.awayOrFatal(err)
	}
	if epoch != l.epochText {
		return nil, l.answered("wrong_epoch", "")
	}
	return l.checkLanes(ctx)
}
