package stream

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// Lease is the right to append for a source, or to read and commit for a stage
// or sink. It is kept up by [Log.Run] until it is released or lost. Its holder's
// appends and commits are refused from the moment another owner takes it.
type Lease struct {
	log   *Log
	name  string
	key   string
	token string // engine id : incarnation : number of the acquisition

	lost     chan struct{}
	loseOnce sync.Once

	mu    sync.Mutex
	lanes map[*lane]*appending // guarded by mu
}

// Name returns the name under which the lease was acquired.
func (le *Lease) Name() string { return le.name }

// Lost is closed when another owner has the lease or it was released.
func (le *Lease) Lost() <-chan struct{} { return le.lost }

func (le *Lease) lose() { le.loseOnce.Do(func() { close(le.lost) }) }

func (le *Lease) isLost() bool {
	select {
	case <-le.lost:
		return true
	default:
		return false
	}
}

// Acquire takes the lease of that name, waiting until its present owner releases
// it or has been silent for [Config.LeaseTTL], and while Redis is away. An older
// process of the same engine id is replaced at once. It fails when ctx ends,
// with [ErrReplaced] if a newer process of this engine id holds the lease, or if
// the log must not be used any more.
func (l *Log) Acquire(ctx context.Context, name string) (*Lease, error) {
	if !isName(name) && !isLeaseName(name) {
		return nil, fatalf("lease %q: not a name", name)
	}
	var le *Lease
	for {
		var left time.Duration
		err := l.patiently(ctx, "lease "+name, func(ctx context.Context) (err error) {
			le, left, err = l.tryAcquire(ctx, name)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("acquire lease %s: %w", name, err)
		}
		if le != nil {
			return le, nil
		}
		if !l.waitForLease(ctx, name, min(left+time.Millisecond, l.cfg.LeaseTTL/10)) {
			return nil, fmt.Errorf("acquire lease %s: %w", name, context.Cause(ctx))
		}
	}
}

// waitForLease waits before the lease is asked for again: for d, or, if it is held
// in this process, until it is given back.
func (l *Log) waitForLease(ctx context.Context, name string, d time.Duration) bool {
	l.mu.RLock()
	held := l.leases[name]
	l.mu.RUnlock()
	if held == nil {
		return sleep(ctx, d)
	}
	select {
	case <-held.lost:
		return true
	case <-ctx.Done():
		return false
	}
}

// isLeaseName reports whether s is "kind:node".
func isLeaseName(s string) bool {
	for i := range s {
		if s[i] == ':' {
			return isName(s[:i]) && isName(s[i+1:])
		}
	}
	return false
}

// tryAcquire returns the lease, or how long its owner may stay silent.
func (l *Log) tryAcquire(ctx context.Context, name string) (*Lease, time.Duration, error) {
	token := fmt.Sprintf("%s:%d:%d", l.cfg.EngineID, l.incarnation, l.acquired.Add(1))
	key := l.keys.lease(name)
	word, rest, err := l.call(ctx, acquireScript,
		[]string{l.keys.meta, l.keys.owners, l.keys.none, key},
		[]any{l.epochText, name, l.cfg.EngineID, l.incarnation, token, l.cfg.LeaseTTL.Milliseconds()})
	if err != nil {
		return nil, 0, err
	}
	switch word {
	case "ok":
		le := &Lease{log: l, name: name, key: key, token: token, lost: make(chan struct{}), lanes: map[*lane]*appending{}}
		l.hold(le)
		return le, 0, nil
	case "busy":
		return nil, time.Duration(replyInt(rest, 0)) * time.Millisecond, nil
	case "replaced":
		return nil, 0, l.fail(ErrReplaced)
	default:
		return nil, 0, l.answered(word, "")
	}
}

func (l *Log) hold(le *Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leases[le.name] = le
}

func (l *Log) drop(le *Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leases[le.name] == le {
		delete(l.leases, le.name)
	}
}

// Release gives the lease to whoever waits for it. Nothing may be appended or
// committed under it afterwards. Releasing a lost lease does nothing. On an error
// it runs out by itself.
func (le *Lease) Release(ctx context.Context) error {
	err := le.giveBack(ctx)
	le.log.drop(le)
	le.lose()
	if err != nil {
		return fmt.Errorf("release lease %s: %w", le.name, err)
	}
	return nil
}

func (le *Lease) giveBack(ctx context.Context) error {
	l := le.log
	if l.closed.Load() {
		return errClosed
	}
	return l.awayOrFatal(releaseScript.Run(ctx, l.rdb, []string{l.keys.owners, le.key}, le.name, le.token).Err())
}

// renew keeps every held lease up in one round trip and finds out which are lost.
func (l *Log) renew(ctx context.Context) error {
	held := l.held()
	if len(held) == 0 {
		return nil
	}
	keys := []string{l.keys.meta, l.keys.owners}
	args := []any{l.epochText, l.cfg.LeaseTTL.Milliseconds()}
	for _, le := range held {
		keys = append(keys, le.key)
		args = append(args, le.name, le.token)
	}
	first, rest, err := l.call(ctx, renewScript, keys, args)
	if err != nil {
		return fmt.Errorf("renew %d leases: %w", len(held), err)
	}
	if first == "wrong_epoch" {
		return l.answered(first, "")
	}
	for i, le := range held {
		owner := first
		if i > 0 {
			owner = replyText(rest, i-1)
		}
		if owner != "ok" {
			l.lostTo(le, owner)
		}
	}
	return nil
}

func (l *Log) held() []*Lease {
	l.mu.RLock()
	defer l.mu.RUnlock()
	held := make([]*Lease, 0, len(l.leases))
	for _, le := range l.leases {
		held = append(held, le)
	}
	return held
}

// lostTo ends a lease that owner has now. A newer process of the same engine id
// means that this one has been replaced altogether.
func (l *Log) lostTo(le *Lease, owner string) {
	if le.isLost() {
		return
	}
	l.drop(le)
	le.lose()
	l.logger.Warn("lease lost", "lease", le.name, "owner", owner)
	if l.isSuccessor(owner) {
		_ = l.fail(fmt.Errorf("lease %s: %w", le.name, ErrReplaced)) // told to OnFatal
	}
}

func (l *Log) isSuccessor(owner string) bool {
	var incarnation, number uint64
	rest, ok := strings.CutPrefix(owner, l.cfg.EngineID+":")
	if !ok {
		return false
	}
	n, err := fmt.Sscanf(rest, "%d:%d", &incarnation, &number)
	return n == 2 && err == nil && incarnation > l.incarnation
}

// answered turns a script's refusal into an error. Those that concern the whole
// log stop it.
func (l *Log) answered(word, detail string) error {
	switch word {
	case "lost_lease":
		return ErrLostLease
	case "full":
		signal(l.urgent)
		return node.AsAway(ErrFull)
	case "wrong_epoch":
		return l.fail(fmt.Errorf("%w: it was flushed, restored or is another one; `engine log accept-loss` goes on with what is there", ErrWrongEpoch))
	case "behind":
		return l.failAsTorn(fmt.Errorf("%w: it ends at %s", ErrBehind, detail))
	case "gap":
		return l.failAsTorn(fmt.Errorf("%w: the position is %q (put back to an older state?)", ErrGap, detail))
	default:
		return fatalf("script answered %q", word)
	}
}
