package pluginhost_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
)

// oneUnit is a lane with one unit; done is called with what it is acknowledged with.
type oneUnit struct {
	unit *node.Unit
	done func(stream.Effects)
}

func (l *oneUnit) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		d := &stream.Delivery{Unit: l.unit}
		msg := message.NewMessage("unit", nil)
		msg.SetContext(stream.WithDelivery(context.WithoutCancel(ctx), d))
		select {
		case out <- msg:
		case <-ctx.Done():
			return
		}
		select {
		case <-msg.Acked():
			l.done(d.Effects())
		case <-msg.Nacked():
		}
		<-ctx.Done()
	}()
	return out, nil
}

func (*oneUnit) Close() error { return nil }

// deaf is an observer that keeps nothing.
type deaf struct{}

func (deaf) Processed(string, int, int, int, time.Duration) {}
func (deaf) Retried(string, node.Class, error)              {}
func (deaf) DeadLettered(string, node.Class, int)           {}
func (deaf) Stored(string, *node.Unit, time.Time)           {}
func (deaf) Held(string, string, int, error)                {}

// noState is a store of keyed state that is empty.
type noState struct{}

func (noState) LoadState(context.Context, string, []string) (map[string][]byte, error) {
	return nil, nil
}

// throughStage runs one unit through a stage with the node alone and returns what
// is committed.
func throughStage(t *testing.T, tr node.Transform, retries int, events []*event.Event) stream.Effects {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var effects stream.Effects
	lane := &oneUnit{
		unit: &node.Unit{Stream: stream.Journal, Events: events},
		done: func(e stream.Effects) { effects = e; cancel() },
	}
	err := stage.RunTransforms(ctx, stage.TransformConfig{
		Config: stage.Config{
			ID: "s", Generation: "live", Observer: deaf{}, Logger: slog.New(slog.DiscardHandler),
			Readers: []stage.Reader{{Stream: stream.Journal, Topic: "journal/0", Subscriber: lane}},
		},
		Nodes: []stage.ChainNode{{
			ID: "n", Edges: []plan.Edge{{Node: "plant", Stream: stream.Journal}}, Transform: tr, Stream: "n",
			Retry: stage.RetryPolicy{Max: retries, Initial: time.Millisecond, Cap: time.Millisecond, Multiplier: 1},
		}},
		Lanes: 1, States: noState{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return effects
}

// TestPluginProbeUnderAStage: the stage's retries and its halving lead to the probe,
// and its verdicts to dead letters; two processes are lost, however many events
// are guilty.
func TestPluginProbeUnderAStage(t *testing.T) {
	for _, retries := range []int{5, 1, 0} {
		t.Run(fmt.Sprintf("retry.max %d", retries), func(t *testing.T) {
			tr := start(t, "good", quick, double)
			events := manyRecords(64)
			guilty := []int{7, 8, 9, 31}
			for _, i := range guilty {
				events[i] = record(i, "do", "crash")
			}
			effects := throughStage(t, tr, retries, events)
			outputs := 0
			for _, out := range effects.Outputs {
				outputs += out.Events
			}
			if outputs != len(events)-len(guilty) || len(effects.DeadLetters) != len(guilty) || tr.Restarts() > 2 {
				t.Fatalf("%d outputs, %d dead letters, %d restarts", outputs, len(effects.DeadLetters), tr.Restarts())
			}
			for i, dl := range effects.DeadLetters {
				if dl.Event.ID != events[guilty[i]].ID || dl.Code != "plugin_crash" || dl.Plugin != tr.Binary().String() {
					t.Errorf("dead letter %+v, want one of event %d", dl, guilty[i])
				}
			}
		})
	}
}
