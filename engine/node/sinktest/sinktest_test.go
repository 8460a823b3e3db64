package sinktest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/sinktest"
)

// target is the smallest thing that keeps the contract: a slice under a lock.
type target struct {
	mu     sync.Mutex
	events []event.ID
	places map[place]*mark
}

type place struct {
	pipeline, id, stream string
	lane                 int
}

type mark struct {
	at    event.Position
	owner *sink
}

type sink struct {
	t            *target
	pipeline, id string
	failed       string
}

func (s *sink) Position(_ context.Context, stream string, lane int, start event.Position) (event.Position, error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	key := place{s.pipeline, s.id, stream, lane}
	if s.t.places[key] == nil {
		s.t.places[key] = &mark{at: start}
	}
	s.t.places[key].owner = s
	return s.t.places[key].at, nil
}

func (s *sink) Write(ctx context.Context, u *node.Unit) error {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	m := s.t.places[place{s.pipeline, s.id, u.Stream, u.Lane}]
	switch {
	case ctx.Err() != nil:
		return node.AsAway(ctx.Err())
	case m.at.Compare(u.Last) >= 0:
		return nil
	case m.owner != s:
		return node.AsFatal(node.ErrTakenOver)
	case m.at != u.After:
		s.failed = "gap"
		return node.AsFatal(fmt.Errorf("gap"))
	}
	var rejected node.RejectedError
	var ids []event.ID
	for i, e := range u.Events {
		if e.Key == "bad" {
			rejected.Rejects = append(rejected.Rejects, node.EventReject{Index: i, Reject: node.Reject{Record: -1, Code: "bad", Text: "is bad"}})
		}
		ids = append(ids, e.ID)
	}
	if len(rejected.Rejects) > 0 {
		return &rejected
	}
	s.t.events = append(s.t.events, ids...)
	m.at = u.Last
	return nil
}

func (s *sink) Status() node.Status { return node.Status{Ready: s.failed == "", Reason: s.failed} }
func (s *sink) Close() error        { return nil }

func (t *target) Features() sinktest.Features {
	return sinktest.Features{Positioned: true, Fenced: true, Ordered: true}
}

func (t *target) Open(_ *testing.T, pipeline, id string) node.Sink {
	return &sink{t: t, pipeline: pipeline, id: id}
}

func (t *target) Good(_ *testing.T, n int) *event.Event {
	return &event.Event{ID: event.RootID(event.Identity{byte(n), byte(n >> 8)}, 0)}
}

func (t *target) Bad(tt *testing.T, n int) *event.Event {
	e := t.Good(tt, n)
	e.Key = "bad"
	return e
}

func (t *target) Stored(*testing.T) []event.ID { return append([]event.ID(nil), t.events...) }

// TestSmallestSink shows that the suite asks for no more than the contract.
func TestSmallestSink(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sinktest.Harness { return &target{places: map[place]*mark{}} })
}
