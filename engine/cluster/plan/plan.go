// Package plan compares a cluster file with a running cluster and says, step by
// step, what makes the one like the other: what HTTP can add, what must be done on
// the nodes by script, and what would destroy something.
package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

// Kind says what a step does.
type Kind string

// The kinds of step.
const (
	Add     Kind = "add"     // something new, over HTTP
	Change  Kind = "change"  // a setting that loses nothing, over HTTP
	Replace Kind = "replace" // deletes and makes anew: needs leave to lose data
	Script  Kind = "script"  // on a node, by one of the scripts
	ByHand  Kind = "by hand" // what neither does
)

// Step is one difference and what mends it.
type Step struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object"` // such as "queue master.plant1"
	Seen   string `json:"seen,omitempty"`
	Want   string `json:"want"`

	do func(context.Context, *management.Client) error
}

// Plan is all that is between a cluster file and a cluster.
type Plan struct {
	Cluster  string   `json:"cluster"`
	Offline  bool     `json:"offline,omitempty"` // compared with nothing: everything is new
	Refused  []string `json:"refused,omitempty"` // why it must not be carried out as it stands
	Steps    []Step   `json:"steps"`
	Unknown  []string `json:"unknown,omitempty"` // what the cluster did not tell
	Joining  []string `json:"joining,omitempty"` // nodes that are to join, by their name in the file
	blind    bool     // too little is known to change anything
	topology *topology.Topology
}

// Empty reports whether nothing is to be done and nothing is unknown.
func (p *Plan) Empty() bool { return len(p.Steps)+len(p.Refused)+len(p.Unknown) == 0 }

// Has reports whether the plan has a step of a kind.
func (p *Plan) Has(kind Kind) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == kind })
}

// Offline plans a cluster of which nothing is known: all of it is new.
func Offline(t *topology.Topology) *Plan {
	p := &Plan{Cluster: t.Name, Offline: true, topology: t}
	seed := t.Replica().Name
	for _, n := range t.Nodes {
		if n.Name != seed {
			p.Joining = append(p.Joining, n.Name)
		}
		p.add(Script, "node "+n.Erlang, "", "cookie, rabbitmq.conf, plugins"+joins(n.Name != seed, t.Replica().Erlang), nil)
	}
	p.objects(&snapshot.Snapshot{Topology: t})
	return p
}

func joins(yes bool, seed string) string {
	if yes {
		return "; joins " + seed
	}
	return ""
}

// Make compares t with what the cluster said.
func Make(s *snapshot.Snapshot) *Plan {
	p := &Plan{Cluster: s.Topology.Name, topology: s.Topology}
	p.nodes(s)
	for _, part := range slices.Sorted(maps.Keys(s.Missing)) {
		p.Unknown = append(p.Unknown, fmt.Sprintf("%s: %v", part, s.Missing[part]))
	}
	p.blind = len(s.Missing) > 0 || s.From == ""
	if s.From == "" {
		p.Unknown = append(p.Unknown, "no node answers: the plan is that of a new cluster")
	}
	p.objects(s)
	return p
}

func (p *Plan) add(kind Kind, object, seen, want string, do func(context.Context, *management.Client) error) {
	p.Steps = append(p.Steps, Step{kind, object, seen, want, do})
}

// nodes plans who joins and who leaves.
func (p *Plan) nodes(s *snapshot.Snapshot) {
	members := s.Members()
	for _, n := range p.topology.Nodes {
		v := s.Views[n.Name]
		switch {
		case slices.Contains(members, n.Erlang):
			p.member(n, s)
		case v.Err != nil:
			p.Unknown = append(p.Unknown, fmt.Sprintf("node %s: %v", n.Name, v.Err))
			p.join(n, "does not answer")
		default:
			p.refuseFull(n, v)
			p.join(n, "a broker of its own")
		}
	}
	for _, name := range members {
		if !slices.ContainsFunc(p.topology.Nodes, func(n topology.Node) bool { return n.Erlang == name }) {
			p.add(ByHand, "node "+name, "in the cluster", "not in the file: add it there, or stop it and run rabbitmqctl forget_cluster_node "+name, nil)
		}
	}
}

func (p *Plan) member(n topology.Node, s *snapshot.Snapshot) {
	self := s.Views[s.From].Self(n.Erlang)
	if !self.IsRunning() {
		p.add(ByHand, "node "+n.Erlang, "in the cluster, not running", "start it", nil)
	}
	if self.Type != nil && *self.Type != n.Storage {
		p.add(ByHand, "node "+n.Erlang, *self.Type+" node", fmt.Sprintf("rabbitmqctl stop_app; rabbitmqctl change_cluster_node_type %s; rabbitmqctl start_app", n.Storage), nil)
	}
}

func (p *Plan) join(n topology.Node, seen string) {
	p.Joining = append(p.Joining, n.Name)
	p.add(Script, "node "+n.Erlang, seen, "joins "+p.topology.Replica().Erlang+" and forgets what it holds", nil)
}

// refuseFull refuses a join that would throw messages away.
func (p *Plan) refuseFull(n topology.Node, v *snapshot.View) {
	for _, q := range v.Queues {
		switch {
		case q.Messages == nil:
			p.Refused = append(p.Refused, fmt.Sprintf("joining wipes %s: its queue %s of virtual host %s does not tell how many messages it holds", n.Name, q.Name, q.VHost))
		case *q.Messages > 0:
			p.Refused = append(p.Refused, fmt.Sprintf("joining wipes %s: its queue %s of virtual host %s holds %d messages; let them be consumed, or move them with a shovel", n.Name, q.Name, q.VHost, *q.Messages))
		}
	}
}

// objects plans what is in the virtual host, in the order in which it must come.
func (p *Plan) objects(s *snapshot.Snapshot) {
	t := p.topology
	if !slices.Contains(s.Shared.VHosts, t.VHost) {
		p.add(Add, "virtual host "+t.VHost, "", "exists", func(ctx context.Context, c *management.Client) error { return c.AddVHost(ctx, t.VHost) })
		p.administrator()
	}
	p.name(s)
	p.exchanges(s)
	p.policies(s) // before the queues: no queue is ever without its mirror
	p.queues(s)
	p.bindings(s)
	p.users(s)
}

// administrator gives the administrator rights in a new virtual host: whoever
// creates one has none in it.
func (p *Plan) administrator() {
	t := p.topology
	all := management.Permission{User: t.Admin.User, VHost: t.VHost, Configure: ".*", Write: ".*", Read: ".*"}
	p.add(Add, "permissions of "+t.Admin.User, "", "everything in "+t.VHost, func(ctx context.Context, c *management.Client) error { return c.SetPermission(ctx, all) })
}

func (p *Plan) name(s *snapshot.Snapshot) {
	seen := ""
	if v := s.Views[s.From]; v != nil && v.Overview != nil {
		seen = v.Overview.ClusterName
	}
	if seen != p.topology.Name {
		p.add(Change, "cluster name", seen, p.topology.Name, func(ctx context.Context, c *management.Client) error { return c.SetClusterName(ctx, p.topology.Name) })
	}
}

func (p *Plan) exchanges(s *snapshot.Snapshot) {
	t := p.topology
	for _, e := range t.Exchanges {
		declare := func(ctx context.Context, c *management.Client) error {
			return c.AddExchange(ctx, t.VHost, e.Name, e.Type)
		}
		i := slices.IndexFunc(s.Shared.Exchanges, func(x management.Exchange) bool { return x.Name == e.Name })
		switch {
		case i < 0:
			p.add(Add, "exchange "+e.Name, "", e.Type+", durable", declare)
		case s.Shared.Exchanges[i].Type != e.Type || !isTrue(s.Shared.Exchanges[i].Durable):
			seen := fmt.Sprintf("%s, durable %s", s.Shared.Exchanges[i].Type, told(s.Shared.Exchanges[i].Durable))
			p.add(Replace, "exchange "+e.Name, seen, e.Type+", durable; its bindings go, the planned ones are made anew", func(ctx context.Context, c *management.Client) error {
				if err := c.RemoveExchange(ctx, t.VHost, e.Name); err != nil {
					return err
				}
				return declare(ctx, c)
			})
		}
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

func told[T any](v *T) string {
	if v == nil {
		return "not told"
	}
	return fmt.Sprint(*v)
}

// same reports whether a definition read from the API says what is planned.
func same(planned map[string]any, seen management.Table) bool {
	text, err := json.Marshal(planned)
	if err != nil {
		return false
	}
	var back map[string]any
	return json.Unmarshal(text, &back) == nil && reflect.DeepEqual(back, map[string]any(seen))
}
