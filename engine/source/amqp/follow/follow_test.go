package follow

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/gap"
)

// source hands out one batch a call.
type source struct {
	node.Source
	batches [][]node.Message
}

func (s *source) Receive(ctx context.Context) ([]node.Message, error) {
	if len(s.batches) == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return b, nil
}

func (s *source) Status() node.Status { return node.Status{Ready: true} }
func (s *source) Close() error        { return nil }

// cluster tells what it is told to tell.
type cluster struct {
	mu    sync.Mutex
	queue management.Queue
	err   error
}

func (c *cluster) Overview(context.Context) (*management.Overview, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &management.Overview{Node: "linux"}, c.err
}

func (c *cluster) Queue(context.Context, string, string) (*management.Queue, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queue
	return &q, nil
}

func (c *cluster) set(q management.Queue, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue, c.err = q, err
}

func numbered(n int, key string) node.Message {
	return node.Message{MessageID: strconv.Itoa(n), RoutingKey: key}
}

func id(m *node.Message) (string, bool, error) { return m.MessageID, m.MessageID != "", nil }

func TestGapsAndRedeliveriesAreCounted(t *testing.T) {
	again := numbered(3, "a")
	again.Redelivered = true
	f := New(Config{Queue: "q", Sequence: id, Source: &source{batches: [][]node.Message{
		{numbered(1, "a"), numbered(2, "a"), numbered(9, "b"), numbered(5, "a")}, {again, {RoutingKey: "a"}, {MessageID: "x"}},
	}}})
	for range 2 {
		if _, err := f.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := f.Facts()
	if got.Redelivered != 1 || got.Missing != 1 || got.Unnumbered != 2 || !reflect.DeepEqual(got.Gaps, []gap.Gap{{Producer: "a", From: 4, To: 4}}) {
		t.Errorf("%+v", got)
	}
}

// TestNothingIsReadBeforeTheReplicaIsComplete, where that is required; a cluster
// that does not answer is waited for.
func TestNothingIsReadBeforeTheReplicaIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{err: errors.New("away")}
		f := New(Config{Queue: "q", Cluster: c, Require: true, Source: &source{batches: [][]node.Message{{numbered(1, "")}}}})
		got := make(chan int, 1)
		go func() {
			batch, _ := f.Receive(t.Context())
			got <- len(batch)
		}()
		time.Sleep(time.Minute)
		c.set(management.Queue{Node: "WIN1", Synced: &[]string{}, Mirrors: &[]string{"linux"}}, nil)
		time.Sleep(time.Minute)
		if s := f.Status(); s.Ready || !strings.Contains(s.Reason, "replica") || len(got) != 0 {
			t.Errorf("it reads, or says %+v", s)
		}
		c.set(management.Queue{Node: "WIN1", Synced: &[]string{"linux"}}, nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(got) != 1 || !f.Status().Ready {
			t.Errorf("it waits still: %+v", f.Status())
		}
		c.set(management.Queue{Node: "linux", Synced: &[]string{}}, nil) // the mirror leads, alone
		time.Sleep(time.Minute)
		if facts := f.Facts(); facts.Promotions != 1 || facts.Leader != "linux" || facts.Synchronised || !f.Status().Ready {
			t.Errorf("%+v", facts)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhoIsComplete(t *testing.T) {
	two := &[]string{"WIN1", "linux"}
	for rule, c := range map[string]struct {
		q    management.Queue
		want bool
	}{
		"nothing told":            {management.Queue{}, false},
		"member online":           {management.Queue{Leader: "WIN1", Online: two}, true},
		"member offline":          {management.Queue{Leader: "WIN1", Online: &[]string{"WIN1", "WIN2"}}, false},
		"the only one online":     {management.Queue{Leader: "linux", Online: &[]string{"linux"}}, false},
		"synchronised":            {management.Queue{Node: "WIN1", Synced: &[]string{"linux"}}, true},
		"not synchronised":        {management.Queue{Node: "WIN1", Synced: &[]string{}}, false},
		"leads, with another one": {management.Queue{Node: "linux", Synced: &[]string{"WIN1"}}, true},
		"leads alone":             {management.Queue{Node: "linux", Synced: &[]string{}}, false},
	} {
		if got := complete(&c.q, "linux"); got != c.want {
			t.Errorf("%s: %v", rule, got)
		}
	}
}
