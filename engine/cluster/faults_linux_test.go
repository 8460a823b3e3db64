package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/cluster/clustertest"
	"github.com/millrace/millrace/engine/cluster/drill"
	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/source/amqp/gap"
	"github.com/millrace/millrace/engine/testserver"
)

// TestClusterLeaderKilledUnderLoad kills the node that leads a mirrored and a quorum
// queue with SIGKILL, three times, each time another: every confirmed message
// arrives, once.
func TestClusterLeaderKilledUnderLoad(t *testing.T) {
	m, q := shared(t, topology.Mirrored), shared(t, topology.Quorum)
	m.Sound(t, "C10")
	for i := range clustertest.Rounds(3, 10) {
		leaderKilled(t, m, q, i%3+1)
	}
	m.Sound(t, "C10")
	q.Sound(t, "C10")
}

func leaderKilled(t *testing.T, m, q planted, n int) {
	t.Helper()
	victim, queue := fmt.Sprintf("WIN%d", n), fmt.Sprintf("master.plant%d", n)
	m.Lead(t, queue, victim)
	q.Lead(t, queue, victim)
	fm, fq := m.Flow(t, queue, victim), q.Flow(t, queue, victim)
	m.KillNode(victim)
	fm.Mark()
	fq.Mark()
	m.Moving(t, fm)
	q.Moving(t, fq)
	m.StartNode(t, victim)
	clustertest.Exact(t, "mirrored, leader killed", fm)
	clustertest.Exact(t, "quorum, leader killed", fq)
	m.Whole(t, queue)
	q.Whole(t, queue)
}

// TestClusterUnsynchronisedPromotionIsReported: with the default rules a mirror that
// lacks messages becomes leader, and they are gone without an error. verify says so
// before, the gaps in the producer's numbers name exactly what is missing after. The
// control: with the planned rules nothing is lost.
func TestClusterUnsynchronisedPromotionIsReported(t *testing.T) {
	const messages = 300
	c := testserver.SharedRabbitCluster(t)
	l := plant(t, c, topology.Mirrored, "unsynchronised")
	l.Sound(t)
	for _, queue := range []string{"master.plant4", "master.plant3"} { // the second has the planned rules
		l.fill(t, queue, 1, messages/2)
	}
	l.alone(t, "WIN4") // only its owner has it; then a mirror that is not synchronised
	l.fill(t, "master.plant4", messages/2+1, messages)
	l.fill(t, "master.plant3", messages/2+1, messages)
	l.unsynchronised(t, "WIN4", "linux")
	l.Fires(t, "C08", "C11", "C12")
	c.KillNode("WIN4")
	defer c.StartNode(t, "WIN4")
	l.Leads(t, "master.plant4", "linux")
	l.fill(t, "master.plant4", messages+1, messages+5) // the gap shows once numbers go on
	want := gap.Gap{Producer: "master.plant4", From: 1, To: messages}
	if got := l.gaps(t, "master.plant4", 5); len(got) != 1 || got[0] != want {
		t.Errorf("gaps %v, want %v", got, want)
	}
	if got := l.gaps(t, "master.plant3", messages); len(got) != 0 {
		t.Errorf("with the planned rules: gaps %v", got)
	}
}

// alone leaves a node's queue without mirrors, unsynchronised adds one that must not
// be filled and may become leader.
func (l planted) alone(t *testing.T, owner string) {
	l.policy(t, owner, []string{owner}, management.Table{})
}

func (l planted) unsynchronised(t *testing.T, owner, mirror string) {
	l.policy(t, owner, []string{owner, mirror}, management.Table{"ha-sync-mode": "manual", "ha-promote-on-failure": "always"})
}

func (l planted) policy(t *testing.T, owner string, on []string, def management.Table) {
	t.Helper()
	var nodes []string
	for _, name := range on {
		nodes = append(nodes, l.Top.Erlang(name))
	}
	def["ha-mode"], def["ha-params"] = "nodes", nodes
	queue := "master.plant" + owner[len(owner)-1:]
	p := management.Policy{Name: "wrong", Pattern: "^" + queue + "$", ApplyTo: "queues", Priority: 99, Definition: def}
	client := l.Client(l.Node("linux"))
	if err := client.SetPolicy(t.Context(), l.Top.VHost, p); err != nil {
		t.Fatal(err)
	}
	l.Await(t, "mirrors as the policy says", func() error {
		q, err := client.Queue(t.Context(), l.Top.VHost, queue)
		if err == nil && (q.Mirrors == nil || len(*q.Mirrors) != len(on)-1) {
			err = fmt.Errorf("mirrors %v", q.Mirrors)
		}
		return err
	})
}

// fill publishes numbered messages through the replica's node, all confirmed.
func (l planted) fill(t *testing.T, queue string, from, to int) {
	t.Helper()
	l.fillThrough(t, "linux", queue, from, to)
}

func (l planted) fillThrough(t *testing.T, node, queue string, from, to int) {
	t.Helper()
	l.channel(t, node, func(ch *amqp091.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for n := from; n <= to; n++ {
			message := amqp091.Publishing{DeliveryMode: amqp091.Persistent, MessageId: strconv.Itoa(n), Headers: amqp091.Table{"seq": int64(n)}}
			confirm, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, true, false, message)
			if err != nil {
				return err
			}
			if ok, err := confirm.WaitContext(t.Context()); err != nil || !ok {
				return fmt.Errorf("message %d is not confirmed: %w", n, err)
			}
		}
		return nil
	})
}

// gaps reads so many messages and tells what is missing from their numbers. That
// the producer begins with 1 is known.
func (l planted) gaps(t *testing.T, queue string, messages int) []gap.Gap {
	t.Helper()
	var d gap.Detector
	d.See(queue, 0)
	l.channel(t, "linux", func(ch *amqp091.Channel) error {
		for range messages {
			var m amqp091.Delivery
			l.Await(t, "a message", func() error {
				var ok bool
				var err error
				if m, ok, err = ch.Get(queue, true); err == nil && !ok {
					err = errors.New("the queue is empty")
				}
				return err
			})
			n, _ := m.Headers["seq"].(int64)
			d.See(queue, uint64(n))
		}
		return nil
	})
	return d.Gaps()
}

func (l planted) channel(t *testing.T, node string, f func(*amqp091.Channel) error) {
	t.Helper()
	conn, err := amqp091.Dial("amqp://guest:guest@" + l.Endpoint(node).Address + "/" + url.PathEscape(l.Top.VHost))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = f(ch)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestClusterDrill runs the drill itself; of quorum queues in the long form only, the
// command's own test drills those.
func TestClusterDrill(t *testing.T) {
	for _, profile := range []string{topology.Mirrored, topology.Quorum}[:clustertest.Rounds(1, 2)] {
		l := shared(t, profile)
		c := l.RabbitCluster
		r, err := drill.Run(t.Context(), drill.Options{
			Topology: l.Top, Victim: l.Top.Node("WIN2"), Node: process{t, c, "WIN2"}, Client: c.Client(c.Node("linux")),
			Publish: l.Endpoints("linux", "WIN3"), Consume: l.Endpoint("linux"), Rate: 100, Before: time.Second, Limit: clustertest.Limit, Told: t.Logf,
		})
		if err != nil || !r.OK() || r.Confirmed == 0 || r.Leader == "WIN2@localhost" {
			t.Errorf("%s: %+v, %v", profile, r, err)
		}
		if _, err := c.Client(c.Node("linux")).Queue(t.Context(), l.Top.VHost, drill.QueueName); !management.NotFound(err) {
			t.Errorf("%s: the drill's queue is left: %v", profile, err)
		}
	}
}

// process is a node of the shared cluster, killed and started.
type process struct {
	t    *testing.T
	c    *testserver.RabbitCluster
	name string
}

func (p process) Stop(context.Context) error { p.c.KillNode(p.name); return nil }

func (p process) Start(context.Context) error { p.c.StartNode(p.t, p.name); return nil }
