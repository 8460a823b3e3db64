package stream

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/millrace/millrace/engine/node"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script joins the files of these names to one script.
func script(names ...string) *redis.Script {
	var all strings.Builder
	for _, name := range names {
		text, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic("stream: script " + name + " is not embedded")
		}
		all.Write(text)
	}
	return redis.NewScript(all.String())
}

var (
	openScript        = script("open")
	acquireScript     = script("acquire")
	releaseScript     = script("release")
	renewScript       = script("renew")
	appendScript      = script("append")
	commitScript      = script("outputs", "letters", "commit")
	deadLettersScript = script("letters", "deadletters")
	dropDeadScript    = script("letters", "dropdead")
	redriveScript     = script("outputs", "letters", "redrive")
	ensureScript      = script("ensure")
	dropStreamsScript = script("dropstreams")
	alignScript       = script("align")
	registerScript    = script("register")
	moveScript        = script("move")
	trimScript        = script("trim")
	peekScript        = script("peek")
	factsScript       = script("facts")
	lossScript        = script("acceptloss")
)

// Times of the connections. A command that takes longer than commandTimeout
// counts as lost, and what it did is found out by trying again.
const (
	dialTimeout    = 3 * time.Second
	commandTimeout = 15 * time.Second
	blockTime      = 5 * time.Second // one blocking read
)

func (l *Log) options() (*redis.Options, error) {
	o, err := redis.ParseURL(l.cfg.URL)
	if err != nil {
		return nil, fatalf("redis url: not of the form redis://[user:password@]host:port[/db]")
	}
	o.Protocol = 2
	o.MaxRetries = -1 // the log repeats by itself, knowing what may be repeated
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, commandTimeout, commandTimeout
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.PoolSize = 32
	o.PoolTimeout = commandTimeout
	o.DialerRetries = 1
	o.OnConnect = l.enter
	if dial := l.cfg.Dial; dial != nil {
		o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	}
	return o, nil
}

// call runs a script and returns its answer: a word and what follows it.
func (l *Log) call(ctx context.Context, s *redis.Script, keys []string, args []any) (string, []any, error) {
	if err := l.usable(); err != nil {
		return "", nil, err
	}
	v, err := s.EvalSha(ctx, l.rdb, keys, args...).Result()
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		v, err = s.Eval(ctx, l.rdb, keys, args...).Result()
	}
	if err != nil {
		return "", nil, l.awayOrFatal(err)
	}
	if word, ok := v.(string); ok {
		return word, nil, nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return "", nil, fatalf("script answered %T", v)
	}
	word, ok := list[0].(string)
	if !ok {
		return "", nil, fatalf("script answered %T first", list[0])
	}
	return word, list[1:], nil
}

func isNil(err error) bool { return errors.Is(err, redis.Nil) }

// errOutOfMemory marks a write that Redis refused as a whole.
var errOutOfMemory = errors.New("redis is out of memory")

// passing are the replies of a Redis that may serve the same command later.
var passing = []string{
	"LOADING", "BUSY", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS", "MISCONF",
	"UNBLOCKED", "ERR max number of clients reached", "NOSCRIPT",
}

// awayOrFatal gives an error of go-redis its class. An answer that Redis gave
// and that time does not change is Fatal; everything else is Away.
func (l *Log) awayOrFatal(err error) error {
	if err == nil {
		return nil
	}
	if node.ClassOf(err) == node.Fatal || errors.Is(err, ErrDurability) { // go-redis takes the class off an error of OnConnect
		return node.AsFatal(err)
	}
	if errors.Is(err, redis.ErrClosed) {
		return errClosed
	}
	if reply, ok := errors.AsType[redis.Error](err); ok {
		text := reply.Error()
		if strings.Contains(text, "OOM ") {
			return node.AsAway(fmt.Errorf("%w: %w", errOutOfMemory, err))
		}
		for _, p := range passing {
			if strings.HasPrefix(text, p) || strings.Contains(text, " -"+p) || strings.Contains(text, "script: "+p) {
				return node.AsAway(err)
			}
		}
		return node.AsFatal(err)
	}
	return node.AsAway(err)
}

// replyText returns the text after the answer's word at index i, "" if none.
func replyText(rest []any, i int) string {
	if i < len(rest) {
		if s, ok := rest[i].(string); ok {
			return s
		}
	}
	return ""
}

func replyInt(rest []any, i int) int64 {
	if i < len(rest) {
		if n, ok := rest[i].(int64); ok {
			return n
		}
	}
	return 0
}
