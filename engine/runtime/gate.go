package runtime

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/stream"
)

// gate lets a replay's units through: not while it is paused, not faster than its
// rate, and in a small share of its lanes' time while live traffic is behind.
type gate struct {
	rate   int         // events per second; 0: no limit
	behind func() bool // live traffic is late; must not block

	mu     sync.Mutex
	paused bool      // guarded by mu
	free   time.Time // guarded by mu: when the next event may go
}

const (
	// behindAfter is how late live traffic may be before a replay stands back.
	behindAfter = time.Second
	// sharePart of a lane's time is what a replay then takes: one part of so many.
	sharePart = 10
	// gateCheck is how often a paused replay looks whether it may go on.
	gateCheck = 100 * time.Millisecond
)

func (g *gate) pause(yes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = yes
}

func (g *gate) isPaused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused
}

// pass waits until a unit of so many events may go on, worked being how long the
// lane's last unit took. It reports false if ctx ended first.
func (g *gate) pass(ctx context.Context, events int, worked time.Duration) bool {
	for g.isPaused() {
		if !lifecycle.Sleep(ctx, gateCheck) {
			return false
		}
	}
	pause := g.reserve(events)
	if g.behind() {
		pause = max(pause, (sharePart-1)*worked)
	}
	return pause <= 0 || lifecycle.Sleep(ctx, pause)
}

// reserve takes the time of events under the rate and returns how long to wait.
func (g *gate) reserve(events int) time.Duration {
	if g.rate == 0 {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.free.Before(now) {
		g.free = now
	}
	wait := g.free.Sub(now)
	g.free = g.free.Add(time.Duration(events) * time.Second / time.Duration(g.rate))
	return wait
}

// gated hands on a subscriber's units when the gate lets them through.
type gated struct {
	message.Subscriber
	gate *gate
}

// Subscribe implements [message.Subscriber].
func (s gated) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		s.forward(ctx, in, out)
	}()
	return out, nil
}

// forward ends when in is closed; a unit that does not get through goes back.
func (s gated) forward(ctx context.Context, in <-chan *message.Message, out chan<- *message.Message) {
	var worked time.Duration
	for msg := range in {
		events := 0
		if d, ok := stream.DeliveryFrom(msg); ok {
			events = len(d.Unit.Events)
		}
		if !s.gate.pass(ctx, events, worked) {
			msg.Nack()
			continue
		}
		begun := time.Now()
		select {
		case out <- msg:
		case <-ctx.Done():
			msg.Nack()
			continue
		}
		select {
		case <-msg.Acked():
		case <-msg.Nacked():
		case <-msg.Context().Done():
		}
		worked = time.Since(begun)
	}
}
