package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

func (j *judge) consumers() {
	if j.blind("consumers") {
		return
	}
	for i := range j.t.Queues {
		q := &j.t.Queues[i]
		if !q.ReadByEngine() {
			continue
		}
		var readers []management.Consumer
		for _, c := range j.s.Shared.Consumers {
			if c.Queue.Name == q.Name {
				readers = append(readers, c)
			}
		}
		j.readers(q.Name, readers)
	}
}

func (j *judge) readers(queue string, readers []management.Consumer) {
	if len(readers) == 0 && j.t.Consumers.Required {
		j.bad(queue, "a consumer", "none", "start the engine")
	}
	if len(readers) > 1 {
		j.bad(queue, "one consumer", strconv.Itoa(len(readers)), "two readers break the order: stop one")
	}
	for _, c := range readers {
		if c.Acks == nil || !*c.Acks {
			j.bad(queue, "acknowledges", "ack_required "+told(c.Acks), "without acknowledgements what a reader holds is lost with it")
		}
		if c.Prefetch == nil || *c.Prefetch == 0 {
			j.bad(queue, "a prefetch limit", told(c.Prefetch), "without one the whole queue goes to the reader's memory")
		}
	}
}

// fewConnections are not worth spreading.
const fewConnections = 4

// connections looks at those that read no planned queue: the engine's own are all
// with the replica.
func (j *judge) connections() {
	if j.blind("connections") || j.blind("consumers") {
		return
	}
	readers := map[string]bool{}
	for _, c := range j.s.Shared.Consumers {
		readers[c.Channel.Connection] = true
	}
	on := map[string]int{}
	all := 0
	for _, c := range j.s.Shared.Connections {
		if !readers[c.Name] && c.Node != "" {
			on[c.Node]++
			all++
		}
	}
	for node, n := range on {
		if all >= fewConnections && n == all && len(j.t.Nodes) > 1 {
			j.bad(node, "connections on several nodes", fmt.Sprintf("all %d are here", n), "give clients the whole list of nodes, or a load balancer")
		}
	}
}

func (j *judge) listeners() {
	j.each(func(n *topology.Node, v *snapshot.View, _ *management.Node) {
		want, plain := "amqp", ""
		if j.t.TLS != nil {
			want, plain = "amqp/ssl", "amqp"
		}
		var own []string
		for _, l := range v.Overview.Listeners {
			if l.Node == n.Erlang {
				own = append(own, fmt.Sprintf("%s:%d", l.Protocol, l.Port))
			}
		}
		if port := fmt.Sprintf("%s:%d", want, n.Ports.AMQP); !slices.Contains(own, port) {
			j.bad(n.Name, "listens on "+port, or(strings.Join(own, ", "), "not told"), "1-configure of "+n.Name)
		}
		for _, l := range own {
			if plain != "" && strings.HasPrefix(l, plain+":") {
				j.bad(n.Name, "no listener without TLS", l, "listeners.tcp = none in rabbitmq.conf of "+n.Name)
			}
		}
	})
	j.guest()
}

func (j *judge) guest() {
	if j.t.Admin.User == "guest" || j.blind("users") {
		return
	}
	if slices.ContainsFunc(j.s.Shared.Users, func(u management.User) bool { return u.Name == "guest" }) {
		j.bad("user guest", "gone: its password is known to everyone", "there", "rabbitmqctl delete_user guest")
	}
}

func (j *judge) certificates() {
	if j.t.TLS == nil {
		j.note("the file has no tls")
		return
	}
	for _, n := range j.t.Nodes {
		switch c := j.s.Certs[n.Name]; {
		case c == nil:
			j.unknown(n.Name, "a certificate", "not looked at", "")
		case c.Err != nil:
			j.bad(n.Name, "a valid certificate", c.Err.Error(), "a certificate for "+n.Host+" from the authority in tls.trust")
		case time.Until(c.Ends) < j.t.TLS.MinValid:
			j.bad(n.Name, "valid for "+j.t.TLS.MinValid.String(), "ends "+c.Ends.UTC().Format(time.DateOnly), "a new certificate for "+n.Host)
		}
	}
}

func (j *judge) canaries() {
	if j.NoCanary {
		j.Status = Skipped
		return
	}
	for _, n := range j.t.Nodes {
		r, flown := j.Canary[n.Name]
		subject := n.Name + " to " + j.t.Replica().Name
		switch {
		case !flown:
			j.unknown(subject, "arrives", "not sent", "")
		case r.Err != nil:
			j.bad(subject, "arrives within "+CanaryLimit.String(), r.Err.Error(), "AMQP port of "+n.Host+", rights of "+j.t.Admin.User)
		case r.Took > CanaryLimit:
			j.bad(subject, "arrives within "+CanaryLimit.String(), r.Took.Round(time.Millisecond).String(), "look at the network and the load of both nodes")
		}
	}
}
