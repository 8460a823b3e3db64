package runtime

import (
	"context"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
)

// leased is the log as one part sees it, under that part's lease.
type leased struct {
	log   *stream.Log
	lease *stream.Lease
}

// Append implements ingest.Log.
func (l leased) Append(ctx context.Context, r stream.AppendRequest) (event.Position, error) {
	return l.log.Append(ctx, l.lease, r)
}

// StoreDeadLetters implements ingest.Log and stage.DeadLetterStore.
func (l leased) StoreDeadLetters(ctx context.Context, letters []stream.DeadLetter) error {
	return l.log.StoreDeadLetters(ctx, l.lease, letters)
}

// LoadState implements stage.StateLoader.
func (l leased) LoadState(ctx context.Context, node string, keys []string) (map[string][]byte, error) {
	return l.log.LoadState(ctx, node, keys)
}

// liveLog is the log as the live hub reads it.
type liveLog struct{ *stream.Log }

// ReadFrames implements live.Log.
func (l liveLog) ReadFrames(ctx context.Context, s string, lane int, after event.Position, maxFrames int, block time.Duration) ([]live.Entry, error) {
	entries, err := l.Log.ReadFrames(ctx, s, lane, after, maxFrames, block)
	out := make([]live.Entry, len(entries))
	for i, e := range entries {
		out[i] = live.Entry{At: e.At, Frame: e.Frame}
	}
	return out, err
}

// Rests between small portions: charts do not wait for them, frames of the journal and
// transactions become fewer and larger.
var (
	noRest     lifecycle.Rest
	sourceRest = lifecycle.Rest{Share: 1, From: 4}
	storeRest  = lifecycle.Rest{Share: 2, From: 8}
)

// readers opens a subscriber for every lane of the streams. start gives the position
// to begin after; rest is what the lanes' readers take.
func (g *generation) readers(ctx context.Context, lease *stream.Lease, id string, streams []string, rest lifecycle.Rest, start startFunc, onStop func(error)) ([]stage.Reader, error) {
	var list []stage.Reader
	for _, s := range streams {
		for lane := range g.log.Lanes() {
			at, err := start(ctx, s, lane)
			if err != nil {
				return nil, err
			}
			sub, err := g.subscriber(stream.SubscriberConfig{
				Log: g.log, Lease: lease, Reader: g.reader(id), Stream: s, Lane: lane, Start: at,
				MaxEvents: g.spec.Unit.MaxEvents, MaxBytes: int(g.spec.Unit.MaxBytes), Rest: rest,
				Logger: g.Logger, OnStop: onStop,
			})
			if err != nil {
				return nil, err
			}
			list = append(list, stage.Reader{Stream: s, Lane: lane, Topic: stream.TopicOf(s, lane), Subscriber: sub})
		}
	}
	return list, nil
}

// subscriber reads one lane; a replay reads its stretch of the journal through its
// gate.
func (g *generation) subscriber(cfg stream.SubscriberConfig) (message.Subscriber, error) {
	if until := g.until[cfg.Stream]; until != nil {
		cfg.Until = until[cfg.Lane]
	}
	if g.stretch == nil || cfg.Stream != stream.Journal {
		return stream.NewLaneSubscriber(cfg)
	}
	cfg.Until = g.stretch.until[cfg.Lane]
	sub, err := stream.NewLaneSubscriber(cfg)
	return gated{sub, g.stretch.gate}, err
}

// startFunc returns the position after which a reader begins in one lane.
type startFunc func(ctx context.Context, stream string, lane int) (event.Position, error)

// fromLog begins where the reader's position in the log says.
func (g *generation) fromLog(id string) startFunc {
	return func(ctx context.Context, s string, lane int) (event.Position, error) {
		return g.log.Position(ctx, g.reader(id), s, lane)
	}
}

// streamsOf lists the streams that edges name, each once, in order.
func streamsOf(edges []plan.Edge) []string {
	var names []string
	for _, edge := range edges {
		if edge.Stream != "" && !slices.Contains(names, edge.Stream) {
			names = append(names, edge.Stream)
		}
	}
	return names
}

func orderOf(n *spec.Node) stage.Order {
	return stage.Order{Strict: n.Order == spec.Strict, ParkedMax: int64(n.ParkedMax)}
}

func policyOf(r spec.Retry) stage.RetryPolicy {
	return stage.RetryPolicy{
		Max: r.Max, Initial: r.Backoff.Initial, Cap: r.Backoff.Max, Multiplier: r.Backoff.Multiplier, Jitter: r.Backoff.Jitter,
	}
}
