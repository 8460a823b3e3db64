// Package stream is the log of a pipeline: lanes of frames in Redis streams,
// readers' positions, leases, the one-script commit of a unit, identities of
// messages and dead letters. Every event rests here and nowhere else, first
// behind the sources and again between stages. It knows go-redis and the
// contracts of watermill's publisher and subscriber, and nothing of what nodes do
// with events. FORMAT.md lists everything that it writes.
package stream

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/node"
)

// Log is one pipeline's log, opened by one engine. Its methods may be called
// concurrently; those that take a lease, by that lease's owner.
//
// Errors carry a [node.Class]. Away: Redis cannot be reached or cannot serve just
// now, trying again may do. Fatal: going on would do harm; the log has then told
// [Config.OnFatal] where it affects the whole pipeline, and refuses further work.
type Log struct {
	cfg         Config
	keys        keys
	logger      *slog.Logger
	opts        *redis.Options
	rdb         *redis.Client // commands that answer at once
	reads       *redis.Client // reads that wait
	epoch       uint64
	epochText   string
	incarnation uint64
	laneCount   int
	maxBytes    int64
	embedded    bool // a Redis without INFO: the one in this process

	mu         sync.RWMutex
	lanes      map[string][]*lane // by stream; guarded by mu
	leases     map[string]*Lease  // held now, by name; guarded by mu
	runID      string             // of the Redis that was looked at last; guarded by mu
	fileStayed stay               // the last time that Redis would not write its file anew; guarded by mu

	growth   growth        // used by Run alone
	urgent   chan struct{} // capacity 1: a stream is full, trim now
	starved  atomic.Int64  // when Redis last refused a write for want of memory, in ms
	acquired atomic.Uint64 // numbers the leases taken by this process
	fatal    atomic.Pointer[error]
	closed   atomic.Bool
	stats    atomic.Pointer[Stats]
	cuts     atomic.Int64 // dead letters stored with a part of their content
}

// Open connects to Redis, waiting with backoff while it is away or loading until
// ctx ends, creates the log if this Redis has none, and counts up this engine's
// incarnation. Whatever forbids using this Redis is a Fatal error: a strict log
// without proof of durability ([ErrDurability]), other lanes ([ErrLanes]), another
// format, a log that lost parts of itself ([ErrBehind]).
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, node.AsFatal(fmt.Errorf("log configuration: %w", err))
	}
	cfg.setDefaults()
	l := newLog(cfg)
	var err error
	if l.opts, err = l.options(); err != nil {
		return nil, err
	}
	l.connect()
	if err := l.patiently(ctx, "open the log", l.open); err != nil {
		return nil, fmt.Errorf("open log of pipeline %s: %w", cfg.Pipeline, closeAfter(l, err))
	}
	return l, nil
}

func newLog(cfg Config) *Log {
	return &Log{
		cfg: cfg, keys: newKeys(cfg.Pipeline), logger: cfg.Logger.With("pipeline", cfg.Pipeline),
		lanes: map[string][]*lane{}, leases: map[string]*Lease{}, urgent: make(chan struct{}, 1),
	}
}

func closeAfter(l *Log, err error) error {
	l.closed.Store(true)
	l.closeClients()
	return err
}

// waiting returns options for connections on which reads block.
func waiting(o *redis.Options, pool int) *redis.Options {
	w := *o
	w.ReadTimeout = blockTime + commandTimeout
	w.PoolSize = pool
	return &w
}

// patiently repeats do with backoff while Redis is away.
func (l *Log) patiently(ctx context.Context, what string, do func(context.Context) error) error {
	b := l.newBackoff()
	for tries := 0; ; tries++ {
		err := do(ctx)
		if err == nil || node.ClassOf(err) != node.Away {
			return err
		}
		if tries == 3 {
			l.logger.Warn("redis is away, waiting", "for", what, "error", err)
		}
		if !b.wait(ctx) {
			return err
		}
	}
}

func (l *Log) open(ctx context.Context) error {
	if err := l.examine(ctx); err != nil {
		return err
	}
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	word, rest, err := l.call(ctx, openScript,
		[]string{l.keys.meta, l.keys.owners, l.keys.positions, l.keys.none},
		[]any{formatVersion, now, l.cfg.Lanes, l.cfg.EngineID})
	if err != nil {
		return err
	}
	if word == "torn" {
		return fatalf("%w: its meta key is gone while positions are there; `engine log accept-loss` goes on without it", ErrBehind)
	}
	return l.adopt(ctx, replyText(rest, 0), replyText(rest, 1), replyText(rest, 2), replyInt(rest, 3))
}

// adopt takes over what the meta key says.
func (l *Log) adopt(ctx context.Context, format, epoch, lanes string, incarnation int64) error {
	if format != formatVersion {
		return fatalf("%w: it has %q, this engine knows %q", ErrFormat, format, formatVersion)
	}
	var err error
	if l.epoch, err = strconv.ParseUint(epoch, 10, 64); err != nil {
		return fatalf("log epoch %q: %w", epoch, err)
	}
	if lanes != strconv.Itoa(l.cfg.Lanes) {
		return fatalf("%w: the log has %s, the pipeline says %d; drain it and use new streams", ErrLanes, lanes, l.cfg.Lanes)
	}
	l.epochText, l.laneCount, l.incarnation = epoch, l.cfg.Lanes, uint64(incarnation)
	names, err := l.rdb.HKeys(ctx, l.keys.streams).Result()
	if err != nil {
		return l.awayOrFatal(err)
	}
	l.addStreams(names)
	if err := l.learnHeads(ctx, names); err != nil {
		return err
	}
	_, err = l.checkLanes(ctx)
	return err
}

// Epoch names this log: another epoch means that its entries are others.
func (l *Log) Epoch() uint64 { return l.epoch }

// Lanes is the number of lanes of every stream.
func (l *Log) Lanes() int { return l.laneCount }

// Incarnation counts the times that this engine id has opened the log, from 1.
func (l *Log) Incarnation() uint64 { return l.incarnation }

// MaxBytes is the number of bytes that the log's frames may take.
func (l *Log) MaxBytes() int64 { return l.maxBytes }

// usable returns why the log must not be used any more.
func (l *Log) usable() error {
	if p := l.fatal.Load(); p != nil {
		return *p
	}
	if l.closed.Load() {
		return errClosed
	}
	return nil
}

// fail stops the log for good and tells the owner, once.
func (l *Log) fail(err error) error {
	err = node.AsFatal(err)
	if l.closed.Load() || !l.fatal.CompareAndSwap(nil, &err) {
		return err
	}
	l.logger.Error("the log must not be used any more", "error", err)
	l.cfg.OnFatal(err)
	return err
}

// Close ends the connections. Leases that were not released run out by
// themselves. Close may be called twice, and while other calls are under way:
// they end with an error.
func (l *Log) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	return l.closeClients()
}

func (l *Log) closeClients() error {
	err := l.rdb.Close()
	if err2 := l.reads.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
