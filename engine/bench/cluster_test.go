//go:build bench

package bench

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/testserver"
)

// kept is one way in which a cluster keeps a queue.
type kept struct {
	name, vhost string
	arguments   map[string]any
	policy      management.Table // nil: none
}

// waysToKeep are those of the table. Each queue is led by a node of its own.
func waysToKeep() []kept {
	mirror := func(mode string) management.Table {
		return management.Table{"ha-mode": mode, "ha-sync-mode": "automatic", "ha-promote-on-failure": "when-synced", "ha-promote-on-shutdown": "when-synced"}
	}
	two := mirror("exactly")
	two["ha-params"] = 2
	return []kept{
		{"classic, one copy", "classic", map[string]any{}, nil},
		{"mirrored to one", "mirrored-one", map[string]any{}, two},
		{"mirrored to all", "mirrored-all", map[string]any{}, mirror("all")},
		{"quorum of 3", "quorum", map[string]any{"x-queue-type": "quorum", "x-quorum-initial-group-size": 3}, nil},
	}
}

// cluster drains queues of five nodes, on this one machine, with the engine at the
// Linux node.
func (tb *table) cluster() {
	c := testserver.RabbitClusterOf(tb.t, 5)
	for _, k := range waysToKeep() {
		url := keep(tb.t, c, k)
		pour(tb.t, url, tb.n)
		at := &table{n: tb.n, servers: &servers{t: tb.t, redis: tb.redis, maria: tb.maria, bin: tb.bin, url: url}}
		dsn, db := at.store(0)
		p := at.start("bench_"+k.vhost, "strict", dsn)
		took := p.drain(tb.t, ingestedMetric, tb.n)
		tb.add(line{"(k) engine, five nodes, " + k.name, tb.n, took, p.stop(tb.t)})
		expect(tb.t, db, tb.n)
	}
}

// keep declares the four queues, each on its owner, and returns the URL of their
// virtual host on the Linux node.
func keep(t testing.TB, c *testserver.RabbitCluster, k kept) string {
	t.Helper()
	client, ctx := c.Client(c.Node("linux")), t.Context()
	must(t, client.AddVHost(ctx, k.vhost))
	must(t, client.SetPermission(ctx, management.Permission{User: "guest", VHost: k.vhost, Configure: ".*", Write: ".*", Read: ".*"}))
	if k.policy != nil {
		must(t, client.SetPolicy(ctx, k.vhost, management.Policy{Name: "ha", Pattern: ".*", ApplyTo: "queues", Definition: k.policy}))
	}
	for i, q := range queues {
		must(t, client.AddQueue(ctx, k.vhost, q, c.Node(fmt.Sprintf("WIN%d", i+1)).Erlang, k.arguments))
	}
	return "amqp://guest:guest@" + c.Node("linux").AMQPAddr() + "/" + k.vhost
}
