package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
)

// file is what Redis says of its append-only file since it was started
// (https://redis.io/docs/latest/commands/info/, persistence).
type file struct {
	kept      bool // there is one, and the server counts how often it is written anew
	anew      bool // it was written anew, as a whole
	rewriting bool // that goes on, or will as soon as something else has ended
}

// askFile asks for it. The embedded Redis has none.
func askFile(ctx context.Context, c *redis.Conn) (file, error) {
	info, err := c.Info(ctx, "persistence").Result()
	if reply, ok := errors.AsType[redis.Error](err); ok && strings.Contains(reply.Error(), "not supported") {
		return file{}, nil
	}
	rewrites := infoField(info, "aof_rewrites") // Redis 7.0
	return file{
		kept:      infoField(info, "aof_enabled") == "1" && rewrites != "",
		anew:      rewrites != "0" && infoField(info, "aof_last_bgrewrite_status") == "ok",
		rewriting: infoField(info, "aof_rewrite_in_progress") == "1" || infoField(info, "aof_rewrite_scheduled") == "1",
	}, err
}

func (f file) fresh() bool { return f.anew && !f.rewriting }

// Pace of waiting for a file that is written anew, and of trying after a failure.
const (
	rewritePoll  = 50 * time.Millisecond
	rewriteAgain = time.Minute
)

// renewFile has Redis write its file anew, once after each start of Redis, and waits
// until it has. A Redis that was killed in the middle of a transaction (a script's
// writes are one) drops what is incomplete when it comes back, but only from memory:
// the file keeps the beginning, if the cut went through a command of it. What is
// written later stands behind it, and the next start takes the beginning, too: the
// outputs of a unit, say, without its position. A file that is written anew has only
// what is in memory. Where Redis refuses or fails, the log says so and goes on: it
// would notice what came back, and stop.
func (l *Log) renewFile(ctx context.Context, c *redis.Conn) error {
	f, err := askFile(ctx, c)
	if err != nil || !f.kept || f.fresh() || !f.rewriting && !l.mayAskForFile() {
		return l.awayOrFatal(err)
	}
	if !f.rewriting {
		if err := c.BgRewriteAOF(ctx).Err(); notRefused(err) != nil {
			return l.awayOrFatal(err)
		} else if err != nil {
			l.fileStays(err)
			return nil
		}
	}
	for f.rewriting = true; f.rewriting; {
		if !lifecycle.Sleep(ctx, rewritePoll) {
			return node.AsAway(fmt.Errorf("redis writes its file anew after its start: %w", context.Cause(ctx)))
		}
		if f, err = askFile(ctx, c); err != nil {
			return l.awayOrFatal(err)
		}
	}
	if !f.fresh() {
		l.fileStays("it began and failed")
	}
	return nil
}

// mayAskForFile reports whether the last failure is long enough ago.
func (l *Log) mayAskForFile() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.fileStayed) > rewriteAgain
}

func (l *Log) fileStays(because any) {
	l.mu.Lock()
	l.fileStayed = time.Now()
	l.mu.Unlock()
	l.logger.Warn("redis does not write its file anew after its start: if it was killed in the middle of a write, its next start may bring half a transaction back; allow BGREWRITEAOF to this user",
		"because", because)
}
