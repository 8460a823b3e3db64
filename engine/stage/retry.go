package stage

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/node"
)

// RetryPolicy bounds what one node tries again.
type RetryPolicy struct {
	Max        int           // tries after the first, for unsure errors
	Initial    time.Duration // first pause
	Cap        time.Duration // longest pause
	Multiplier float64       // from pause to pause, at least 1
	Jitter     float64       // 0..1: a pause is drawn from (1-Jitter .. 1+Jitter) times its length
}

// pause returns how long to wait before try number n (from 1).
func (p RetryPolicy) pause(n int) time.Duration {
	d := float64(p.Initial) * math.Pow(p.Multiplier, float64(n-1))
	d = min(d, float64(p.Cap))
	return time.Duration(d * (1 + p.Jitter*(2*rand.Float64()-1)))
}

// pausedCheck is how often a lane that a fatal error has paused looks whether the
// cause is gone.
const pausedCheck = 5 * time.Second

// retrier decides for one lane what happens after an error. It runs inside
// watermill's Retry middleware, which drives the loop; the pauses are the
// failing node's own.
type retrier struct {
	policies map[string]RetryPolicy // by node id
	fallback RetryPolicy
	observe  Observer
	stopping context.Context    // ends when the stage is to stop: no pause outlives it
	hold     func(reason error) // shows why the lane stands still; nil error: it goes on
	unsure   int                // unsure errors of the run at work
	away     int                // away errors in a row
}

// middleware wraps h. Its interval is as short as possible: shouldRetry waits.
func (r *retrier) middleware(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		r.unsure, r.away = 0, 0
		retry := middleware.Retry{
			MaxRetries: math.MaxInt32, InitialInterval: time.Nanosecond, MaxInterval: time.Nanosecond, Multiplier: 1,
			ShouldRetry: func(p middleware.RetryParams) bool { return r.shouldRetry(p.Err) },
		}
		out, err := retry.Middleware(h)(msg)
		if err == nil && r.unsure+r.away > 0 {
			r.hold(nil)
		}
		return out, err
	}
}

// shouldRetry waits as the failing node's policy says and reports whether to try
// again; not once the stage is to stop.
func (r *retrier) shouldRetry(err error) bool {
	if r.stopping.Err() != nil {
		return false
	}
	policy, id := r.fallback, ""
	if e, ok := errors.AsType[*node.Error](err); ok {
		id = e.Node
		if p, ok := r.policies[id]; ok {
			policy = p
		}
	}
	var pause time.Duration
	switch node.ClassOf(err) {
	case node.Away:
		r.away++
		pause = policy.pause(r.away)
	case node.Fatal:
		r.away++
		pause = pausedCheck
	case node.Rejected:
		return false
	default:
		r.unsure++
		if r.unsure > policy.Max {
			return false
		}
		pause = policy.pause(r.unsure)
	}
	r.hold(err)
	r.observe.Retried(id, node.ClassOf(err), err)
	return lifecycle.Sleep(r.stopping, pause)
}
