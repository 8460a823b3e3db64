package feed

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/node"
)

// DefaultRate is how many readings a second each embedded queue gets.
const DefaultRate = 20

// EmbeddedOptions says what [Embedded] publishes.
type EmbeddedOptions struct {
	Rate   float64  // readings a second and queue; default [DefaultRate]
	Queues []string // default all of [EmbeddedQueues]; unknown ones stay empty
	Log    *slog.Logger
}

// Embedded replays the built-in plants into in-process queues until ctx ends, with
// the time of sending as the readings' time, over and over. publish may block:
// then the readings wait with it. It returns publish's first error, nil if ctx
// ended.
func Embedded(ctx context.Context, publish func(ctx context.Context, queue string, m node.Message) error, o EmbeddedOptions) error {
	if o.Rate <= 0 {
		o.Rate = DefaultRate
	}
	if o.Queues == nil {
		o.Queues = EmbeddedQueues()
	}
	var fed []string
	group, running := errgroup.WithContext(ctx)
	for _, name := range PlantNames() {
		if !slices.Contains(o.Queues, queueOf(name)) {
			continue
		}
		plant, err := LoadPlant(name)
		if err != nil {
			return err
		}
		fed = append(fed, plant.Queue)
		group.Go(func() error { return plant.flow(running, publish, o.Rate) })
	}
	if o.Log != nil {
		o.Log.Info("feeding embedded queues with real data", "queues", strings.Join(fed, " "), "readings_per_second_each", o.Rate)
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *Plant) flow(ctx context.Context, publish func(ctx context.Context, queue string, m node.Message) error, rate float64) error {
	replay := p.Replay(ReplayOptions{Times: Now, Loop: true})
	pace := newPace(rate)
	for {
		messages, records, err := replay.Next(time.Now())
		if err != nil {
			return err
		}
		for i := range messages {
			if err := publish(ctx, p.Queue, messages[i]); err != nil {
				return err
			}
		}
		if err := pace.wait(ctx, records); err != nil {
			return err
		}
	}
}

// pace spreads records over time.
type pace struct {
	rate float64 // records a second, 0: as fast as possible
	due  time.Time
}

func newPace(rate float64) *pace { return &pace{rate: rate, due: time.Now()} }

// wait returns when the next step is due after one of that many records. A debt of
// more than a second (a queue that was blocked) is not made up for.
func (p *pace) wait(ctx context.Context, records int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	p.due = p.due.Add(time.Duration(float64(records) / p.rate * float64(time.Second)))
	now := time.Now()
	if now.Sub(p.due) > time.Second {
		p.due = now
	}
	if pause := p.due.Sub(now); pause >= time.Millisecond {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
