package pluginhost

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/pluginhost/registry"
	pluginv1 "github.com/millrace/millrace/schemas/plugin/v1"
)

// rehearse starts prog beside the version at work and tests it: it must describe
// and configure itself, answer a health call and, if units pass just now, process
// a part of one, whose outcome is thrown away. An error leaves nothing behind.
func (t *Transform) rehearse(ctx context.Context, prog *registry.Program) (*worker, error) {
	w, err := startWorker(ctx, t.cfg, t.node, prog)
	if err != nil {
		return nil, err
	}
	if err := t.selfTest(ctx, w); err != nil {
		w.close()
		return nil, fmt.Errorf("node %q: plugin %s: self-test: %w", t.node.Node, w.stamp, err)
	}
	return w, nil
}

func (t *Transform) selfTest(ctx context.Context, w *worker) error {
	inst, _ := w.running()
	if inst == nil {
		return w.status()
	}
	call, cancel := context.WithTimeout(ctx, t.cfg.CallDeadline)
	defer cancel()
	if _, err := inst.rpc.Health(call, &pluginv1.HealthRequest{}); err != nil && status.Code(err) != codes.Unimplemented {
		return fmt.Errorf("health: %w", err)
	}
	sample := t.sample(ctx)
	if len(sample) == 0 {
		return nil
	}
	trial := newLane(0, w)
	_, err := trial.process(call, &node.Batch{Events: sample})
	trial.drop()
	if node.ClassOf(err) == node.Away {
		return nil // of a server that the plugin needs; the version at work waits for it, too
	}
	return err
}

// Bounds of what a self-test borrows from the units that pass.
const (
	sampleEvents = 16
	samplePause  = 300 * time.Millisecond // for which a unit is waited for
)

// sampler takes a copy of the front of one unit.
type sampler struct {
	once sync.Once
	got  chan []byte
}

func (s *sampler) offer(in *node.Batch) {
	s.once.Do(func() {
		f := event.Frame{Events: in.Events[:min(len(in.Events), sampleEvents)]}
		encoded, err := f.Encode(nil, event.None)
		if err == nil {
			s.got <- encoded
		}
	})
}

// sample returns events that the node has just processed, none if none pass.
func (t *Transform) sample(ctx context.Context) []*event.Event {
	s := &sampler{got: make(chan []byte, 1)}
	for _, l := range t.lanes {
		l.sampler.Store(s)
		defer l.sampler.Store(nil)
	}
	pause := time.NewTimer(samplePause)
	defer pause.Stop()
	select {
	case encoded := <-s.got:
		if f, err := event.DecodeFrame(encoded); err == nil {
			return f.Events
		}
	case <-pause.C:
	case <-ctx.Done():
	}
	return nil
}

// handOver moves every lane to w, each between two of its units, and returns for how
// long each stood still. The version before goes on being ready, until release. It
// reports false, and changes nothing, if the node is closed.
func (t *Transform) handOver(w *worker) ([]time.Duration, bool) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, false
	}
	t.work, t.spare = w, t.work
	t.mu.Unlock()
	pauses := make([]time.Duration, len(t.lanes))
	for i, l := range t.lanes {
		pauses[i] = l.move(w)
	}
	return pauses, true
}

// release drains and ends the version before.
func (t *Transform) release() {
	t.mu.Lock()
	w := t.spare
	t.spare = nil
	t.mu.Unlock()
	if w != nil {
		w.close()
	}
}
