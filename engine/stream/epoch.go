package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/node"
)

// StoredEpoch returns the epoch of the log that cfg names, 0 if this Redis has no
// such log. It needs no open log and changes nothing. While Redis is away it waits
// with backoff until ctx ends.
func StoredEpoch(ctx context.Context, cfg Config) (epoch uint64, err error) {
	l, err := connectOnly(cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = closeAfter(l, err) }()
	err = l.patiently(ctx, "read the epoch", func(ctx context.Context) error {
		text, err := l.rdb.HGet(ctx, l.keys.meta, "epoch").Result()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the epoch: %w", l.awayOrFatal(err))
		}
		if epoch, err = strconv.ParseUint(text, 10, 64); err != nil {
			return fatalf("log epoch %q: %w", text, err)
		}
		return nil
	})
	return epoch, err
}

// connectOnly returns a log with connections and nothing read: for those who look
// at one that [Open] may refuse.
func connectOnly(cfg Config) (*Log, error) {
	cfg.Strict = false // nothing is stored that could be lost
	if err := cfg.Validate(); err != nil {
		return nil, node.AsFatal(fmt.Errorf("log configuration: %w", err))
	}
	cfg.setDefaults()
	l := newLog(cfg)
	var err error
	if l.opts, err = l.options(); err != nil {
		return nil, err
	}
	l.opts.OnConnect = nil // whoever looks changes nothing, not even the file
	l.connect()
	return l, nil
}
