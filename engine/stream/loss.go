package stream

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// AcceptLoss makes the log usable again after Redis has lost some of it, for an
// operator who has decided to go on with what is there. It needs no open log,
// because [Open] refuses such a one; no engine may be running. The log gets a new
// epoch, its lanes end and start where their entries do, readers that stand
// elsewhere are moved to the nearest place, and every lease is void. It returns
// the new epoch.
//
// A reader that keeps its own position under an older epoch is then placed by
// [Log.Align] at the last entry that it shares with what is there.
func AcceptLoss(ctx context.Context, cfg Config) (uint64, error) {
	l, err := connectOnly(cfg)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	var epoch uint64
	err = l.patiently(ctx, "accept the loss", func(ctx context.Context) (err error) {
		epoch, err = l.acceptLoss(ctx)
		return err
	})
	return epoch, err
}

// AcceptLoss does what [AcceptLoss] does. The log must not be used afterwards but
// for Close: it belongs to the old epoch.
func (l *Log) AcceptLoss(ctx context.Context) error {
	_, err := l.acceptLoss(ctx)
	return err
}

func (l *Log) acceptLoss(ctx context.Context) (uint64, error) {
	meta, err := l.rdb.HGetAll(ctx, l.keys.meta).Result()
	if err != nil {
		return 0, fmt.Errorf("accept loss: %w", l.awayOrFatal(err))
	}
	names, err := l.rdb.HKeys(ctx, l.keys.streams).Result()
	if err != nil {
		return 0, fmt.Errorf("accept loss: %w", l.awayOrFatal(err))
	}
	lanes, err := strconv.Atoi(defaultTo(meta["lanes"], strconv.Itoa(l.cfg.Lanes)))
	if err != nil || lanes < 1 || lanes > maxLanes {
		return 0, fatalf("accept loss: the log says that it has %q lanes", meta["lanes"])
	}
	old, _ := strconv.ParseUint(meta["epoch"], 10, 64) // gone or damaged: any later one will do
	epoch := max(uint64(time.Now().UnixMilli()), old+1)
	keys, args := l.lossArgs(epoch, lanes, names)
	if err := lossScript.Run(ctx, l.rdb, keys, args...).Err(); err != nil {
		return 0, fmt.Errorf("accept loss: %w", l.awayOrFatal(err))
	}
	l.logger.Warn("loss accepted", "epoch", epoch, "streams", len(names))
	return epoch, nil
}

func (l *Log) lossArgs(epoch uint64, lanes int, names []string) ([]string, []any) {
	keys := []string{l.keys.meta, l.keys.owners, l.keys.positions, l.keys.usage}
	args := []any{formatVersion, epoch, lanes}
	for _, name := range names {
		for i := range lanes {
			keys = append(keys, l.keys.stream(name, i), l.keys.lane(name, i))
			args = append(args, name, positionField("", name, i))
		}
	}
	return keys, args
}

func (l *Log) connect() {
	quietClient()
	l.rdb, l.reads = redis.NewClient(l.opts), redis.NewClient(waiting(l.opts, 256))
}
