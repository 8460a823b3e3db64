package stream

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// Run does the log's background work until ctx ends: it renews leases, watches
// for another Redis behind the address, for lost settings and lost frames, trims
// what is no longer needed, and refreshes [Log.Stats]. When it returns nothing
// that it started is left, and it returns the error that stopped the log, nil
// if ctx did. Run it once, for as long as leases are held.
func (l *Log) Run(ctx context.Context) error {
	renew := time.NewTicker(l.cfg.LeaseTTL / 4)
	defer renew.Stop()
	tend := time.NewTicker(tendEvery)
	defer tend.Stop()
	l.attempt(ctx, "tend", l.tend)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
			l.attempt(ctx, "renew leases", l.renew)
		case <-tend.C:
			l.attempt(ctx, "tend", l.tend)
		case <-l.urgent:
			l.attempt(ctx, "trim", l.Trim)
		}
		if err := l.usable(); err != nil {
			if errors.Is(err, errClosed) {
				return nil
			}
			return err
		}
	}
}

// tendEvery is how often the log looks at its server, trims and counts.
const tendEvery = time.Second

// attempt does one piece of work within a lease's time. What fails for now is
// tried again at the next tick.
func (l *Log) attempt(ctx context.Context, what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, max(l.cfg.LeaseTTL, time.Second))
	defer cancel()
	if err := do(ctx); err != nil && ctx.Err() == nil && node.ClassOf(err) != node.Fatal {
		l.logger.Warn("background work waits", "work", what, "error", err)
	}
}

func (l *Log) tend(ctx context.Context) error {
	facts, err := l.watch(ctx)
	if err != nil {
		return err
	}
	if err := l.refreshStats(ctx, facts); err != nil {
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
