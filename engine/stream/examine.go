package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/engine/node"
)

// Examination is what a Redis says of itself and of one pipeline's log.
type Examination struct {
	Network, Address string // "tcp" and host:port, or "unix" and a path

	Version  string
	Role     string            // master or slave
	Master   string            // host:port of a slave's master
	Settings map[string]string // appendonly, appendfsync, maxmemory-policy, ...; nil if NoConfig
	NoConfig error             // why CONFIG GET is refused to this user

	MaxMemory  int64         // bytes that Redis may hold, 0: no limit
	UsedMemory int64         // bytes that Redis holds now
	MaxBytes   int64         // bytes that the log's frames may take there
	Clock      time.Duration // how far Redis' clock is ahead of this machine's
	ClockError time.Duration // at most this much of Clock is the network's

	Log LogExamination
}

// LogExamination is what a Redis holds of one pipeline's log.
type LogExamination struct {
	Epoch   uint64 // 0: there is no log
	Format  string // version of its format
	Lanes   string // of every stream, as the log says
	Streams int
	Bytes   int64 // taken by frames
	// Refused is why an engine with this configuration would not open the log, nil
	// if it would: [ErrLanes], [ErrFormat], [ErrBehind].
	Refused error
}

// ErrFormat marks a log that another version of the engine has written.
var ErrFormat = errors.New("log has a format that this engine does not know")

// Examine asks Redis for everything that [Open] would look at, and more, once and
// without waiting; it creates nothing and takes no lease. Errors never hold the
// URL. Away: no answer; Fatal: a URL that cannot be used, or a Redis that refuses
// this user.
func Examine(ctx context.Context, cfg Config) (x *Examination, err error) {
	l, err := connectOnly(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = closeAfter(l, err) }()
	x = &Examination{Network: l.opts.Network, Address: l.opts.Addr}
	for _, look := range []func(context.Context, *Examination) error{l.examineServer, l.examineClock, l.examineLog} {
		if err := look(ctx, x); err != nil {
			return nil, fmt.Errorf("redis at %s: %w", x.Address, l.awayOrFatal(err))
		}
	}
	return x, nil
}

func (l *Log) examineServer(ctx context.Context, x *Examination) error {
	s, err := ask(ctx, l.rdb)
	if err != nil {
		return err
	}
	x.Version, x.Role, x.Master = s.version, s.role, s.master
	x.Settings, x.NoConfig = s.settings, s.noConfig
	x.UsedMemory, x.MaxBytes = s.usedBytes, l.memoryLimit(s)
	x.MaxMemory, _ = strconv.ParseInt(s.settings["maxmemory"], 10, 64) // 0 where it is not told
	return nil
}

// examineClock takes the server's time to be that of the middle of the round trip.
func (l *Log) examineClock(ctx context.Context, x *Examination) error {
	before := time.Now()
	theirs, err := l.rdb.Time(ctx).Result()
	if err != nil {
		return notRefused(err)
	}
	x.ClockError = time.Since(before) / 2
	x.Clock = theirs.Sub(before.Add(x.ClockError))
	return nil
}

func (l *Log) examineLog(ctx context.Context, x *Examination) error {
	meta, err := l.rdb.HGetAll(ctx, l.keys.meta).Result()
	if err != nil {
		return err
	}
	if meta["epoch"] == "" {
		return l.examineAbsence(ctx, x)
	}
	x.Log.Format, x.Log.Lanes = meta["format"], meta["lanes"]
	x.Log.Epoch, _ = strconv.ParseUint(meta["epoch"], 10, 64) // adopt says what is wrong with it
	if err := l.examineUsage(ctx, x); err != nil {
		return err
	}
	err = l.adopt(ctx, x.Log.Format, meta["epoch"], x.Log.Lanes, 0)
	if node.ClassOf(err) == node.Fatal {
		x.Log.Refused, err = err, nil
	}
	return err
}

// examineAbsence tells a Redis that never had the log from one that has lost it.
func (l *Log) examineAbsence(ctx context.Context, x *Examination) error {
	left, err := l.rdb.Exists(ctx, l.keys.owners, l.keys.positions).Result()
	if err == nil && left > 0 {
		x.Log.Refused = fmt.Errorf("%w: its meta key is gone while positions are there", ErrBehind)
	}
	return err
}

func (l *Log) examineUsage(ctx context.Context, x *Examination) error {
	pipe := l.rdb.Pipeline()
	usage, streams := pipe.HGetAll(ctx, l.keys.usage), pipe.HLen(ctx, l.keys.streams)
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	x.Log.Streams = int(streams.Val())
	for name, bytes := range usage.Val() {
		if name != deadUsage {
			x.Log.Bytes += asInt(bytes)
		}
	}
	return nil
}

// Reach is [Examine] for a Redis that holds no log: it fills in nothing but the
// address, the version and the role.
func Reach(ctx context.Context, url string) (x *Examination, err error) {
	l, err := connectOnly(Config{URL: url, Pipeline: "none", EngineID: "none", Lanes: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = closeAfter(l, err) }()
	s, err := ask(ctx, l.rdb)
	if err != nil {
		return nil, fmt.Errorf("redis at %s: %w", l.opts.Addr, l.awayOrFatal(err))
	}
	return &Examination{Network: l.opts.Network, Address: l.opts.Addr, Version: s.version, Role: s.role}, nil
}
