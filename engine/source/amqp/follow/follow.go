// Package follow watches a queue that is kept on several nodes while a source reads
// it: who leads it, whether the replica is complete, what came again, and what is
// missing from the producers' numbers. It stands between a source and ingest and
// hands every message on as it came.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp/gap"
)

const (
	askEvery  = 10 * time.Second // while all is well
	waitEvery = time.Second      // while the source waits for its replica
)

// Cluster tells about a queue; [*management.Client] does.
type Cluster interface {
	Overview(ctx context.Context) (*management.Overview, error)
	Queue(ctx context.Context, vhost, name string) (*management.Queue, error)
}

// Words computes a text from a message; ok is false if it has none.
type Words func(*node.Message) (text string, ok bool, err error)

// Config says what is watched.
type Config struct {
	Source       node.Source
	VHost, Queue string
	Cluster      Cluster // the replica's node; nil: nobody is asked
	Require      bool    // nothing is read before the replica is complete
	Sequence     Words   // the producer's number; nil: gaps are not looked for
	Producer     Words   // nil: the routing key
	Log          *slog.Logger
}

// Facts are what is known of the queue.
type Facts struct {
	Leader       string    // "" while unknown
	Replica      string    // the node that was asked
	Synchronised bool      // the replica has all messages
	Known        bool      // the three above have been told
	Promotions   uint64    // changes of the leader seen
	Redelivered  uint64    // messages that the broker marked so
	Missing      uint64    // numbers that have not come
	Unnumbered   uint64    // messages without a number
	Gaps         []gap.Gap // the newest last
}

// Follower is a source that is watched. It implements [node.Source].
type Follower struct {
	node.Source
	c      Config
	begin  func() // starts the asking, once
	stop   context.CancelFunc
	closed <-chan struct{}
	asking sync.WaitGroup
	change chan struct{} // one token: the facts have changed

	mu       sync.Mutex
	facts    Facts        // guarded by mu
	detector gap.Detector // guarded by mu
	opened   bool         // guarded by mu: the replica has been complete once, or need not be
}

var _ node.Source = (*Follower)(nil)

// New returns a source that is c.Source, watched. It asks nobody before Receive.
func New(c Config) *Follower {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &Follower{Source: c.Source, c: c, change: make(chan struct{}, 1), opened: !c.Require}
	ctx, stop := context.WithCancel(context.Background())
	f.stop, f.closed = stop, ctx.Done()
	f.begin = sync.OnceFunc(func() {
		if c.Cluster != nil {
			f.asking.Go(func() { f.ask(ctx) })
		}
	})
	return f
}

// Receive implements [node.Source].
func (f *Follower) Receive(ctx context.Context) ([]node.Message, error) {
	f.begin()
	if err := f.complete(ctx); err != nil {
		return nil, err
	}
	batch, err := f.Source.Receive(ctx)
	f.see(batch)
	return batch, err
}

// complete waits for the replica where it is required.
func (f *Follower) complete(ctx context.Context) error {
	for !f.open() {
		select {
		case <-f.change:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.closed:
			return errors.New("source is closed")
		}
	}
	return nil
}

func (f *Follower) open() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened
}

// Status implements [node.Source]: a source that waits for its replica says so.
func (f *Follower) Status() node.Status {
	if !f.open() {
		return node.Status{Reason: fmt.Sprintf("queue %q: waits until its replica is complete (require_synchronised)", f.c.Queue)}
	}
	return f.Source.Status()
}

// Close implements [node.Source].
func (f *Follower) Close() error {
	f.stop()
	f.asking.Wait()
	return f.Source.Close()
}

// Facts returns what is known now.
func (f *Follower) Facts() Facts {
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := f.facts
	facts.Missing, facts.Gaps = f.detector.Missing(), f.detector.Gaps()
	return facts
}

// see counts what came again and follows the numbers.
func (f *Follower) see(batch []node.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range batch {
		m := &batch[i]
		if m.Redelivered {
			f.facts.Redelivered++
		}
		if f.c.Sequence == nil {
			continue
		}
		producer, n, ok := f.number(m)
		if !ok {
			f.facts.Unnumbered++
			continue
		}
		if g, opened := f.detector.See(producer, n); opened {
			f.c.Log.Warn("messages are missing", "queue", f.c.Queue, "producer", producer, "from", g.From, "to", g.To, "messages", g.Count())
		}
	}
}

func (f *Follower) number(m *node.Message) (producer string, n uint64, ok bool) {
	text, ok, err := f.c.Sequence(m)
	if err != nil || !ok {
		return "", 0, false
	}
	if n, err = strconv.ParseUint(text, 10, 64); err != nil {
		return "", 0, false
	}
	producer = m.RoutingKey
	if f.c.Producer != nil {
		if producer, ok, err = f.c.Producer(m); err != nil || !ok {
			return "", 0, false
		}
	}
	return producer, n, true
}

// ask asks the cluster until Close.
func (f *Follower) ask(ctx context.Context) {
	said := ""
	for {
		err := f.once(ctx)
		if err != nil && err.Error() != said {
			f.c.Log.Warn("the queue's nodes are not known", "queue", f.c.Queue, "reason", err)
		}
		said = ""
		if err != nil {
			said = err.Error()
		}
		pause := askEvery
		if !f.open() {
			pause = waitEvery
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (f *Follower) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	o, err := f.c.Cluster.Overview(ctx)
	if err != nil {
		return err
	}
	q, err := f.c.Cluster.Queue(ctx, f.c.VHost, f.c.Queue)
	if err != nil {
		return err
	}
	f.learn(o.Node, q)
	return nil
}

// learn takes in what the cluster has told.
func (f *Follower) learn(replica string, q *management.Queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	leader, complete := q.LeaderNode(), complete(q, replica)
	if before := f.facts.Leader; before != "" && leader != "" && leader != before {
		f.facts.Promotions++
		f.c.Log.Warn("another node leads the queue", "queue", f.c.Queue, "leader", leader, "before", before)
	}
	if !complete && (f.facts.Synchronised || !f.facts.Known) {
		f.c.Log.Warn("the queue's replica is not complete: if its leader fails now, it stands still or loses messages", "queue", f.c.Queue, "replica", replica, "leader", leader)
	}
	if leader != "" {
		f.facts.Leader = leader
	}
	f.facts.Replica, f.facts.Synchronised, f.facts.Known = replica, complete, true
	f.opened = f.opened || complete
	select {
	case f.change <- struct{}{}:
	default:
	}
}

// complete reports whether node has all of the queue's messages, as far as told,
// and is not alone with them.
func complete(q *management.Queue, node string) bool {
	if q.Online != nil {
		return slices.Contains(*q.Online, node) && len(*q.Online) > 1
	}
	if q.Synced == nil {
		return false
	}
	if q.LeaderNode() == node {
		return len(*q.Synced) > 0
	}
	return slices.Contains(*q.Synced, node)
}
