package topology

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/spec"
)

func (t *Topology) checkExchanges(d *spec.Document) {
	seen := map[string]int{}
	for i, e := range t.Exchanges {
		path := fmt.Sprintf("exchanges[%d]", i)
		t.once(d, path, "exchange", e.Name, seen)
		if e.Owner != "" && t.Node(e.Owner) == nil {
			d.Unknown(path+".owner", "node", e.Owner, t.Names())
		}
	}
}

// once notes names that are taken or RabbitMQ's own.
func (t *Topology) once(d *spec.Document, path, what, name string, seen map[string]int) {
	line, taken := seen[name]
	switch at := path + ".name"; {
	case name == "":
	case taken:
		d.Problem(at, "duplicate-"+what, "", "%s %s is already defined in line %d", what, name, line)
	case strings.HasPrefix(name, "amq."):
		d.Problem(at, "reserved-name", "", "names that begin with amq. are RabbitMQ's own")
	case !plainName.MatchString(name):
		d.Problem(at, "bad-name", plainNameHint, "the %s's name is not usable in scripts", what)
	default:
		seen[name] = d.Line(at)
	}
}

func (t *Topology) checkQueues(d *spec.Document) {
	seen := map[string]int{}
	for i := range t.Queues {
		q, path := &t.Queues[i], fmt.Sprintf("queues[%d]", i)
		t.once(d, path, "queue", q.Name, seen)
		t.checkOwner(d, path, q)
		t.checkMembers(d, path, q)
		t.checkDead(d, path, q)
	}
}

func (t *Topology) checkOwner(d *spec.Document, path string, q *Queue) {
	at := path + ".owner"
	switch n := t.Node(q.Owner); {
	case q.Owner == "" || d.Wrong(at):
	case n == nil:
		d.Unknown(at, "node", q.Owner, t.Names())
	case n.Role == Replica:
		d.Problem(at, "owner-is-replica", "name the node whose plant publishes", "%s holds the replicas: a queue that it led would have no second place", q.Owner)
	}
}

func (t *Topology) checkMembers(d *spec.Document, path string, q *Queue) {
	at := path + ".members"
	switch {
	case d.Wrong(path+".owner") || d.Wrong("nodes"):
	case t.Profile == Mirrored && len(q.Members) > 0:
		d.Problem(at, "misplaced-field", "remove it", "members are for profile quorum, a mirrored queue is on its owner and the replica")
	case t.Profile == Mirrored:
	case len(q.Members) == 0:
		t.defaultMembers(d, path, q)
	default:
		t.givenMembers(d, at, q)
	}
}

func (t *Topology) defaultMembers(d *spec.Document, path string, q *Queue) {
	third, replica := t.neighbour(q.Owner), t.Replica()
	if replica == nil || t.Node(q.Owner) == nil {
		return
	}
	if third == "" {
		d.Problem(path+".owner", "no-neighbour", "add a node with role: witness", "a quorum queue needs three nodes, and beside %s and %s there is none with a disc", q.Owner, replica.Name)
		return
	}
	q.Members = []string{q.Owner, replica.Name, third}
}

func (t *Topology) givenMembers(d *spec.Document, at string, q *Queue) {
	seen := map[string]bool{}
	for j, name := range q.Members {
		sub := fmt.Sprintf("%s[%d]", at, j)
		switch n := t.Node(name); {
		case n == nil:
			d.Unknown(sub, "node", name, t.Names())
		case seen[name]:
			d.Problem(sub, "duplicate-member", "", "%s is named twice", name)
		case n.Storage == "ram":
			d.Problem(sub, "ram-member", "storage: disc, or another node", "%s is a ram node, a member of a quorum queue needs a disc", name)
		}
		seen[name] = true
	}
	switch replica := t.Replica(); {
	case len(q.Members)%2 == 0:
		d.Problem(at, "even-members", "3 or 5 members", "%d members survive no more failures than %d, and wait for one node more", len(q.Members), len(q.Members)-1)
	case len(q.Members) < 3:
		d.Problem(at, "too-few-members", "3 or 5 members", "a single member is no replica")
	case !seen[q.Owner]:
		d.Problem(at, "owner-missing", "add "+q.Owner, "the owner %s is not among the members", q.Owner)
	case replica != nil && !seen[replica.Name]:
		d.Problem(at, "replica-missing", "add "+replica.Name, "%s is not among the members, it would not have the queue", replica.Name)
	}
}

func (t *Topology) checkDead(d *spec.Document, path string, q *Queue) {
	limit := path + ".delivery_limit"
	switch {
	case q.DeliveryLimit == 0:
	case t.Profile == Mirrored:
		d.Problem(limit, "misplaced-field", "remove it", "classic queues know no delivery limit")
	case q.ReadByEngine():
		d.Problem(limit, "limit-drops", "remove it; the engine keeps its own dead letters", "each stop of the engine returns all that it had been sent ahead, so good messages would reach the limit and leave the queue")
	case q.DeadLetter == nil:
		d.Problem(limit, "limit-drops", "add dead_letter: {exchange: ...}", "without dead_letter a message is dropped at the limit")
	}
	if q.DeadLetter == nil || q.DeadLetter.Exchange == "" || len(t.Exchanges) == 0 {
		return
	}
	if !slices.ContainsFunc(t.Exchanges, func(e Exchange) bool { return e.Name == q.DeadLetter.Exchange }) {
		d.Unknown(path+".dead_letter.exchange", "exchange", q.DeadLetter.Exchange, t.exchangeNames())
	}
}

func (t *Topology) exchangeNames() []string {
	var names []string
	for _, e := range t.Exchanges {
		names = append(names, e.Name)
	}
	return names
}

func (t *Topology) checkBindings(d *spec.Document) {
	bound := map[string]bool{}
	var queues []string
	for _, q := range t.Queues {
		queues = append(queues, q.Name)
	}
	for i, b := range t.Bindings {
		path := fmt.Sprintf("bindings[%d]", i)
		bound[b.Queue] = true
		if b.Queue != "" && t.queue(b.Queue) == nil {
			d.Unknown(path+".queue", "queue", b.Queue, queues)
		}
		known := strings.HasPrefix(b.Exchange, "amq.") || contains(t.exchangeNames(), b.Exchange)
		if b.Exchange != "" && !known {
			d.Unknown(path+".exchange", "exchange", b.Exchange, t.exchangeNames())
		}
	}
	for i, q := range t.Queues {
		if q.Name != "" && !bound[q.Name] {
			d.Warn(fmt.Sprintf("queues[%d].name", i), "unbound-queue", "add it under bindings", "nothing is bound to %q: only who names the queue itself reaches it", q.Name)
		}
	}
}

func (t *Topology) checkUsers(d *spec.Document) {
	seen := map[string]int{}
	for i, u := range t.Users {
		path := fmt.Sprintf("users[%d]", i)
		t.once(d, path, "user", u.Name, seen)
		for field, pattern := range map[string]string{"configure": u.Configure, "write": u.Write, "read": u.Read} {
			if _, err := regexp.Compile(pattern); err != nil {
				d.Problem(path+"."+field, "bad-pattern", `such as ^master\.`, "the permission is no regular expression")
			}
		}
	}
}
