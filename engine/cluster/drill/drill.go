// Package drill rehearses the failure of a node: it sends messages into a queue of
// its own that is kept as the planned ones are, has the queue's leader stopped and
// started, and accounts for every message. The planned queues are not touched, but
// those that the node leads get another leader, as they would in earnest.
package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/cluster/canary"
	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/topology"
)

// Queue and policy of a drill.
const (
	QueueName  = "millrace.drill"
	policyName = "millrace-drill"
)

// Node stops and starts the node that is to fail.
type Node interface {
	Stop(ctx context.Context) error
	Start(ctx context.Context) error
}

// Options say what is rehearsed.
type Options struct {
	Topology *topology.Topology
	Victim   *topology.Node // leads the drill's queue; not the replica's node
	Node     Node
	Client   *management.Client // of a node that stays, the replica's as a rule
	Publish  []canary.Endpoint  // not the victim's
	Consume  canary.Endpoint    // the replica's node
	Rate     int                // messages per second
	Before   time.Duration      // of load before the node is stopped
	Down     time.Duration      // how long the node is away, at least
	Limit    time.Duration      // for each thing that must happen
	Told     func(format string, args ...any)
}

// Report is the outcome.
type Report struct {
	Node   string `json:"node"`
	Leader string `json:"leader"` // while the node was away
	canary.Ledger
}

// OK reports whether nothing was lost or doubled and messages moved while the node
// was away.
func (r Report) OK() bool { return len(r.Lost) == 0 && r.Doubled == 0 && r.First > 0 }

// Run rehearses. Whatever happens, it tries to start the node again and takes its
// queue away.
func Run(ctx context.Context, o Options) (r Report, err error) {
	r.Node = o.Victim.Name
	if err := o.prepare(ctx); err != nil {
		return r, fmt.Errorf("drill's queue: %w", err)
	}
	defer func() { err = errors.Join(err, o.tidy()) }()
	flow := canary.NewFlow(ctx, canary.FlowOptions{Queue: QueueName, Publish: o.Publish, Consume: []canary.Endpoint{o.Consume}, Rate: o.Rate})
	finished := false
	defer func() {
		if !finished {
			flow.Finish(0)
		}
	}()
	if err := o.warm(ctx, flow); err != nil {
		return r, err
	}
	r.Leader, err = o.fail(ctx, flow)
	if err != nil {
		return r, err
	}
	o.Told("%s is back; waiting for the last messages", o.Victim.Name)
	finished = true
	r.Ledger = flow.Finish(o.Limit)
	return r, nil
}

// prepare makes the drill's queue, led by the victim, with a copy elsewhere.
func (o *Options) prepare(ctx context.Context) error {
	t := o.Topology
	arguments := map[string]any{}
	if t.Profile == topology.Mirrored {
		p := management.Policy{
			Name: policyName, Pattern: "^" + QueueName + "$", ApplyTo: "queues", Priority: 100,
			Definition: management.Table{
				"ha-mode": "nodes", "ha-params": []string{o.Victim.Erlang, t.Replica().Erlang}, "ha-sync-mode": "automatic",
				"ha-promote-on-failure": "when-synced", "ha-promote-on-shutdown": "when-synced",
			},
		}
		if err := o.Client.SetPolicy(ctx, t.VHost, p); err != nil {
			return err
		}
	} else {
		arguments["x-queue-type"] = "quorum"
		arguments["x-quorum-initial-group-size"] = min(3, len(t.Nodes))
	}
	err := o.Client.RemoveQueue(ctx, t.VHost, QueueName) // of a drill that was broken off
	if err != nil && !management.NotFound(err) {
		return err
	}
	if err := o.Client.AddQueue(ctx, t.VHost, QueueName, o.Victim.Erlang, arguments); err != nil {
		return err
	}
	return o.until(ctx, "copies of the drill's queue", o.copied)
}

// copied reports whether the queue has its copies.
func (o *Options) copied(ctx context.Context) error {
	q, err := o.Client.Queue(ctx, o.Topology.VHost, QueueName)
	if err != nil {
		return err
	}
	copies := q.Members
	if o.Topology.Profile == topology.Mirrored {
		copies = q.Synced
	}
	if copies == nil || len(*copies) == 0 || q.LeaderNode() == "" {
		return errors.New("none are told")
	}
	if q.LeaderNode() != o.Victim.Erlang {
		return fmt.Errorf("%s leads it", q.LeaderNode())
	}
	return nil
}

func (o *Options) warm(ctx context.Context, flow *canary.Flow) error {
	o.Told("%d messages a second into %s, led by %s", o.Rate, QueueName, o.Victim.Name)
	enough := int(float64(o.Rate) * o.Before.Seconds())
	return o.until(ctx, "messages", func(context.Context) error {
		if n := flow.Confirmed(); n < enough {
			return fmt.Errorf("%d of %d are confirmed: %w", n, enough, flow.Trouble())
		}
		return nil
	})
}

// fail stops the node, waits until messages move and the time is over, and starts
// it. It returns who led meanwhile.
func (o *Options) fail(ctx context.Context, flow *canary.Flow) (leader string, err error) {
	if err := o.Node.Stop(ctx); err != nil {
		return "", fmt.Errorf("stop %s: %w", o.Victim.Name, errors.Join(err, o.restart(ctx)))
	}
	flow.Mark()
	o.Told("%s is stopped", o.Victim.Name)
	timer := time.NewTimer(o.Down)
	defer timer.Stop()
	moved := o.until(ctx, "a message sent after the stop", func(context.Context) error {
		if !flow.Moving() {
			return fmt.Errorf("none has arrived: %w", flow.Trouble())
		}
		return nil
	})
	if moved == nil {
		q, err := o.Client.Queue(ctx, o.Topology.VHost, QueueName)
		if err == nil {
			leader = q.LeaderNode()
		}
		o.Told("messages move again, %s leads", leader)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return leader, errors.Join(moved, o.restart(ctx))
}

// restart starts the node also when the drill is broken off.
func (o *Options) restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	if err := o.Node.Start(ctx); err != nil {
		return fmt.Errorf("start %s by hand: %w", o.Victim.Name, err)
	}
	return nil
}

func (o *Options) tidy() error {
	ctx, cancel := context.WithTimeout(context.Background(), o.Limit)
	defer cancel()
	err := o.Client.RemoveQueue(ctx, o.Topology.VHost, QueueName)
	if o.Topology.Profile == topology.Mirrored {
		err = errors.Join(err, o.Client.RemovePolicy(ctx, o.Topology.VHost, policyName))
	}
	if err != nil {
		return fmt.Errorf("the drill's queue %s is left: %w", QueueName, err)
	}
	return nil
}

// until asks cond until it has nothing to say.
func (o *Options) until(ctx context.Context, what string, cond func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, err)
		case <-tick.C:
		}
	}
}

// Victims returns the names of the nodes that may be stopped: owners of queues.
func Victims(t *topology.Topology) []string {
	var names []string
	for _, q := range t.Queues {
		if !slices.Contains(names, q.Owner) {
			names = append(names, q.Owner)
		}
	}
	return names
}
