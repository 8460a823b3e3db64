package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

func (p *Plan) policies(s *snapshot.Snapshot) {
	t := p.topology
	for _, want := range t.Policies() {
		policy := management.Policy{Name: want.Name, Pattern: want.Pattern, ApplyTo: want.ApplyTo, Priority: want.Priority, Definition: want.Definition}
		set := func(ctx context.Context, c *management.Client) error { return c.SetPolicy(ctx, t.VHost, policy) }
		i := slices.IndexFunc(s.Shared.Policies, func(x management.Policy) bool { return x.Name == want.Name })
		if i < 0 {
			p.add(Add, "policy "+want.Name, "", policyText(policy), set)
			continue
		}
		seen := s.Shared.Policies[i]
		if seen.Pattern != want.Pattern || seen.ApplyTo != want.ApplyTo || seen.Priority != want.Priority || !same(want.Definition, seen.Definition) {
			p.add(Change, "policy "+want.Name, policyText(seen), policyText(policy), set)
		}
	}
	p.foreign(s)
}

func policyText(p management.Policy) string {
	def, _ := json.Marshal(p.Definition)
	return fmt.Sprintf("%s on %s, priority %d: %s", p.Pattern, p.ApplyTo, p.Priority, def)
}

// foreign names policies of others that apply to planned queues instead of, or
// without, the planned ones.
func (p *Plan) foreign(s *snapshot.Snapshot) {
	t := p.topology
	for _, seen := range s.Shared.Policies {
		if slices.ContainsFunc(t.Policies(), func(x topology.Policy) bool { return x.Name == seen.Name }) {
			continue
		}
		queues := p.taken(seen)
		if len(queues) == 0 {
			continue
		}
		p.add(Replace, "policy "+seen.Name, policyText(seen), "gone: it applies to "+strings.Join(queues, ", ")+" instead of what is planned",
			func(ctx context.Context, c *management.Client) error { return c.RemovePolicy(ctx, t.VHost, seen.Name) })
	}
}

// taken are the planned queues to which a policy applies before the planned one.
// Of equal priority RabbitMQ takes either.
func (p *Plan) taken(policy management.Policy) []string {
	pattern, err := regexp.Compile(policy.Pattern)
	if err != nil || policy.ApplyTo == "exchanges" {
		return nil
	}
	var queues []string
	for _, q := range p.topology.Queues {
		own := p.topology.PolicyOf(q.Name)
		if pattern.MatchString(q.Name) && (own == nil || policy.Priority >= own.Priority) {
			queues = append(queues, q.Name)
		}
	}
	return queues
}

// arguments are those that a planned queue is declared with.
func arguments(t *topology.Topology, q *topology.Queue) map[string]any {
	if t.Profile == topology.Mirrored {
		return map[string]any{}
	}
	return map[string]any{"x-queue-type": "quorum", "x-quorum-initial-group-size": len(t.Copies(q))}
}

func (p *Plan) queues(s *snapshot.Snapshot) {
	t := p.topology
	for i := range t.Queues {
		q := &t.Queues[i]
		want := fmt.Sprintf("%s, durable, on %s", t.Type(), strings.Join(t.Copies(q), ", "))
		declare := func(ctx context.Context, c *management.Client) error {
			return c.AddQueue(ctx, t.VHost, q.Name, t.Erlang(q.Owner), arguments(t, q))
		}
		seen := s.Queue(q.Name)
		switch {
		case seen == nil:
			p.add(Add, "queue "+q.Name, "", want, declare)
			if t.Profile == topology.Quorum && len(t.Nodes) > len(t.Copies(q)) {
				p.add(Script, "members of "+q.Name, "", "RabbitMQ chooses them: the script of "+t.Replica().Name+" puts them right", nil)
			}
		case seen.Type != t.Type() || !isTrue(seen.Durable):
			p.replaceQueue(q, seen, want, declare)
		default:
			p.copies(q, seen)
			p.leader(q, seen)
		}
	}
}

func (p *Plan) replaceQueue(q *topology.Queue, seen *management.Queue, want string, declare func(context.Context, *management.Client) error) {
	vhost := p.topology.VHost
	is := fmt.Sprintf("%s, durable %s, with %s messages", seen.Type, told(seen.Durable), told(seen.Messages))
	p.add(Replace, "queue "+q.Name, is, want+"; its messages and bindings go", func(ctx context.Context, c *management.Client) error {
		if err := c.RemoveQueue(ctx, vhost, q.Name); err != nil {
			return err
		}
		return declare(ctx, c)
	})
}

// copies compares where a queue is kept. Mirrors follow their policy; members are
// moved by script.
func (p *Plan) copies(q *topology.Queue, seen *management.Queue) {
	t := p.topology
	if t.Profile == topology.Mirrored {
		return
	}
	if seen.Members == nil {
		p.Unknown = append(p.Unknown, fmt.Sprintf("members of queue %s", q.Name))
		return
	}
	want := t.Copies(q)
	if more, less := without(want, *seen.Members), without(*seen.Members, want); len(more)+len(less) > 0 {
		text := strings.Join(want, ", ") + ": script of " + t.Replica().Name
		p.add(Script, "members of "+q.Name, strings.Join(slices.Sorted(slices.Values(*seen.Members)), ", "), text, nil)
	}
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

func (p *Plan) leader(q *topology.Queue, seen *management.Queue) {
	want := p.topology.Erlang(q.Owner)
	if is := seen.LeaderNode(); is != want {
		if is == "" {
			is = "none"
		}
		p.add(Script, "leader of "+q.Name, is, want+": script of "+p.topology.Replica().Name, nil)
	}
}

func (p *Plan) bindings(s *snapshot.Snapshot) {
	t := p.topology
	for _, b := range t.Bindings {
		there := slices.ContainsFunc(s.Shared.Bindings, func(x management.Binding) bool {
			return x.Source == b.Exchange && x.Destination == b.Queue && x.To == "queue" && x.RoutingKey == b.RoutingKey
		})
		replaced := slices.ContainsFunc(p.Steps, func(x Step) bool {
			return x.Kind == Replace && (x.Object == "exchange "+b.Exchange || x.Object == "queue "+b.Queue)
		})
		if !there || replaced {
			p.add(Add, fmt.Sprintf("binding %s to %s", b.Exchange, b.Queue), "", "routing key "+b.RoutingKey,
				func(ctx context.Context, c *management.Client) error {
					return c.AddBinding(ctx, t.VHost, b.Exchange, b.Queue, b.RoutingKey)
				})
		}
	}
}

func (p *Plan) users(s *snapshot.Snapshot) {
	for _, u := range p.topology.Users {
		i := slices.IndexFunc(s.Shared.Users, func(x management.User) bool { return x.Name == u.Name })
		create := func(ctx context.Context, c *management.Client) error {
			return c.AddUser(ctx, u.Name, u.Password, u.Tags)
		}
		switch {
		case i < 0 && u.Password == "":
			p.add(ByHand, "user "+u.Name, "", "give it a password in the file, by a variable: without one it is not created", nil)
			continue
		case i < 0:
			p.add(Add, "user "+u.Name, "", "tags "+tagsText(u.Tags), create)
		case !sameTags(u.Tags, s.Shared.Users[i].Tags) && u.Password != "":
			p.add(Change, "user "+u.Name, "tags "+tagsText(s.Shared.Users[i].Tags), "tags "+tagsText(u.Tags)+"; the password is set, too", create)
		case !sameTags(u.Tags, s.Shared.Users[i].Tags):
			p.add(ByHand, "user "+u.Name, "tags "+tagsText(s.Shared.Users[i].Tags), "rabbitmqctl set_user_tags "+u.Name+" "+strings.Join(u.Tags, " "), nil)
		}
		p.permissions(s, u)
	}
}

func tagsText(tags []string) string {
	if len(tags) == 0 {
		return "none"
	}
	return strings.Join(tags, ",")
}

func sameTags(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func (p *Plan) permissions(s *snapshot.Snapshot, u topology.User) {
	want := management.Permission{User: u.Name, VHost: p.topology.VHost, Configure: u.Configure, Write: u.Write, Read: u.Read}
	i := slices.IndexFunc(s.Shared.Permissions, func(x management.Permission) bool { return x.User == u.Name && x.VHost == want.VHost })
	if i >= 0 && s.Shared.Permissions[i] == want {
		return
	}
	kind, seen := Add, ""
	if i >= 0 {
		kind, seen = Change, rights(s.Shared.Permissions[i])
	}
	p.add(kind, "permissions of "+u.Name, seen, rights(want), func(ctx context.Context, c *management.Client) error { return c.SetPermission(ctx, want) })
}

func rights(p management.Permission) string {
	return fmt.Sprintf("configure %q, write %q, read %q", p.Configure, p.Write, p.Read)
}
