package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
)

// file is what Redis says of its append-only file since it was started
// (https://redis.io/docs/latest/commands/info/, sections server and persistence).
type file struct {
	runID     string // of the server since that start
	kept      bool   // there is one, and the server counts how often it is written anew
	anew      bool   // it was written anew, as a whole
	rewriting bool   // that goes on, or will as soon as something else has ended
}

// askFile asks for it. The embedded Redis has none.
func askFile(ctx context.Context, c *redis.Conn) (file, error) {
	info, err := c.Info(ctx).Result()
	rewrites := infoField(info, "aof_rewrites") // Redis 7.0
	return file{
		runID:     infoField(info, "run_id"),
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
//
// Many connections are made at once after a restart. Whichever asks first has the file
// written; Redis refuses the others, and they wait with it.
func (l *Log) renewFile(ctx context.Context, c *redis.Conn) error {
	var refused error
	for asked := false; ; {
		f, err := askFile(ctx, c)
		switch {
		case err != nil:
			return l.awayOrFatal(err)
		case !f.kept || f.fresh():
			return nil
		case f.rewriting:
			if !lifecycle.Sleep(ctx, rewritePoll) {
				return node.AsAway(fmt.Errorf("redis writes its file anew after its start: %w", context.Cause(ctx)))
			}
		case asked:
			l.fileStays(f, refused)
			return nil
		case !l.mayAskForFile(f):
			return nil
		default:
			asked, refused = true, c.BgRewriteAOF(ctx).Err()
			if err := notRefused(refused); err != nil {
				return l.awayOrFatal(err)
			}
		}
	}
}

// stay is a file's failure to be written anew.
type stay struct {
	runID string // of the server; another start is another file
	at    time.Time
}

// mayAskForFile reports whether this server has not failed yet, or long enough ago.
func (l *Log) mayAskForFile(f file) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return f.runID != l.fileStayed.runID || time.Since(l.fileStayed.at) > rewriteAgain
}

func (l *Log) fileStays(f file, refused error) {
	l.mu.Lock()
	l.fileStayed = stay{runID: f.runID, at: time.Now()}
	l.mu.Unlock()
	if refused == nil {
		refused = errors.New("it began and failed")
	}
	l.logger.Warn("redis does not write its file anew after its start: if it was killed in the middle of a write, its next start may bring half a transaction back; allow BGREWRITEAOF to this user",
		"because", refused)
}
