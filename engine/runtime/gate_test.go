package runtime

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/stream"
)

func never() bool { return false }

func TestGateKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{rate: 100, behind: never}
		begun := time.Now()
		for range 11 {
			g.pass(t.Context(), 50, 0)
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("500 events before the last unit took %s at 100 a second, want 5s", took)
		}
		time.Sleep(time.Hour) // what was not used is not saved up
		begun = time.Now()
		for range 3 {
			g.pass(t.Context(), 50, 0)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("after an hour of rest 100 events took %s, want 1s", took)
		}
	})
}

func TestGateStandsBackWhileLiveTrafficIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		behind := true
		g := &gate{behind: func() bool { return behind }}
		begun := time.Now()
		g.pass(t.Context(), 1, time.Second)
		if took := time.Since(begun); took != 9*time.Second {
			t.Errorf("after a second of work it rests for %s, want nine tenths of its time", took)
		}
		behind = false
		begun = time.Now()
		g.pass(t.Context(), 1, time.Second)
		if took := time.Since(begun); took != 0 {
			t.Errorf("it rests for %s although live traffic is on time", took)
		}
	})
}

func TestGatePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{behind: never}
		g.pause(true)
		begun := time.Now()
		time.AfterFunc(time.Minute, func() { g.pause(false) })
		if !g.pass(t.Context(), 1, 0) || time.Since(begun) < time.Minute {
			t.Errorf("a paused gate let a unit through after %s", time.Since(begun))
		}
		g.pause(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if g.pass(ctx, 1, 0) {
			t.Error("a unit came through a paused gate")
		}
	})
}

// units hands out units one after another as a lane does.
type units struct {
	message.Subscriber
	out   chan *message.Message
	nacks int
}

func (u *units) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	go func() {
		defer close(u.out)
		for range 3 {
			msg := message.NewMessage("unit", nil)
			msg.SetContext(stream.WithDelivery(context.Background(), &stream.Delivery{Unit: &node.Unit{Events: make([]*event.Event, 10)}}))
			select {
			case u.out <- msg:
			case <-ctx.Done():
				return
			}
			select {
			case <-msg.Acked():
			case <-msg.Nacked():
				u.nacks++
			}
		}
	}()
	return u.out, nil
}

// TestGatedLane: units come through one by one, and those that cannot when the stage
// ends go back, so that nothing waits for them.
func TestGatedLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &units{out: make(chan *message.Message)}
		lane := gated{in, &gate{rate: 10, behind: never}}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		out, err := lane.Subscribe(ctx, "journal/0")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for range 2 {
			(<-out).Ack()
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("the second unit came after %s, want the second that the first one's events take", took)
		}
		stop()
		if msg, ok := <-out; ok {
			t.Errorf("after the end came %v", msg)
		}
		synctest.Wait()
		if in.nacks > 1 {
			t.Errorf("%d units went back", in.nacks)
		}
	})
}
