package stream

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// silent drops what the client library would print by itself: errors reach the
// caller anyway, and the library's lines know no logger of ours.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

var quietClient = sync.OnceFunc(func() { redis.SetLogger(silent{}) })
