package topology

import (
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Node returns the node called name, nil if there is none.
func (t *Topology) Node(name string) *Node {
	for i := range t.Nodes {
		if t.Nodes[i].Name == name {
			return &t.Nodes[i]
		}
	}
	return nil
}

// Erlang returns RabbitMQ's name of the node called name, "" if there is none.
func (t *Topology) Erlang(name string) string {
	if n := t.Node(name); n != nil {
		return n.Erlang
	}
	return ""
}

// Replica returns the node that holds every queue's replica.
func (t *Topology) Replica() *Node {
	for i := range t.Nodes {
		if t.Nodes[i].Role == Replica {
			return &t.Nodes[i]
		}
	}
	return nil
}

// Names returns the nodes' names in the order of the file.
func (t *Topology) Names() []string {
	var names []string
	for _, n := range t.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// AMQP returns the host:port of a node's listener.
func (t *Topology) AMQP(n *Node) string { return address(n.Host, n.Ports.AMQP) }

// Management returns the URL of a node's HTTP API, without a path.
func (t *Topology) Management(n *Node) string {
	scheme := "http"
	if t.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + address(n.Host, n.Ports.Management)
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// ReadByEngine reports whether the engine reads the queue.
func (q *Queue) ReadByEngine() bool { return q.Engine == nil || *q.Engine }

// Type is the queue's type as RabbitMQ calls it.
func (t *Topology) Type() string {
	if t.Profile == Mirrored {
		return "classic"
	}
	return "quorum"
}

// Copies returns RabbitMQ's names of the nodes that are to hold q, its owner first.
func (t *Topology) Copies(q *Queue) []string {
	var names []string
	for _, name := range t.members(q) {
		names = append(names, t.Erlang(name))
	}
	return names
}

func (t *Topology) members(q *Queue) []string {
	switch {
	case t.Profile == Mirrored && t.HaMode == "all":
		return ownerFirst(q.Owner, t.Names())
	case t.Profile == Mirrored:
		return []string{q.Owner, t.Replica().Name}
	}
	return ownerFirst(q.Owner, q.Members)
}

func ownerFirst(owner string, names []string) []string {
	rest := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == owner })
	return append([]string{owner}, rest...)
}

// neighbour is the next owner or witness after owner in the file, round about;
// the third vote of a quorum queue.
func (t *Topology) neighbour(owner string) string {
	at := slices.IndexFunc(t.Nodes, func(n Node) bool { return n.Name == owner })
	for i := 1; at >= 0 && i < len(t.Nodes); i++ {
		n := t.Nodes[(at+i)%len(t.Nodes)]
		if n.Role != Replica && n.Storage != "ram" {
			return n.Name
		}
	}
	return ""
}

// Policy is one policy as RabbitMQ takes it.
type Policy struct {
	Name       string         `json:"name"`
	Pattern    string         `json:"pattern"`
	ApplyTo    string         `json:"apply-to"`
	Priority   int            `json:"priority"`
	Definition map[string]any `json:"definition"`
}

// policyPriority is above what people usually give.
const policyPriority = 10

// Policies returns the policies that the queues need, by name. A queue of the
// mirrored profile has one that it shares with its owner's other queues of equal
// needs; at most one policy applies to a queue, so each holds everything.
func (t *Topology) Policies() []Policy {
	queues := map[string][]string{}
	definitions := map[string]map[string]any{}
	for i := range t.Queues {
		q := &t.Queues[i]
		def := t.definition(q)
		if len(def) == 0 {
			continue
		}
		key := q.Owner + fmt.Sprint(def)
		queues[key] = append(queues[key], q.Name)
		definitions[key] = def
	}
	var policies []Policy
	taken := map[string]int{}
	for _, key := range slices.Sorted(maps.Keys(queues)) {
		owner := t.queue(queues[key][0]).Owner
		name := "millrace-" + owner
		if taken[name]++; taken[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, taken[name])
		}
		policies = append(policies, Policy{name, exactly(queues[key]), "queues", policyPriority, definitions[key]})
	}
	return policies
}

func (t *Topology) queue(name string) *Queue {
	i := slices.IndexFunc(t.Queues, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		return nil
	}
	return &t.Queues[i]
}

// exactly is a pattern that matches these names and no other.
func exactly(names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	if len(quoted) == 1 {
		return "^" + quoted[0] + "$"
	}
	return "^(" + strings.Join(quoted, "|") + ")$"
}

// definition is what q's policy says, nil if it needs none.
func (t *Topology) definition(q *Queue) map[string]any {
	def := map[string]any{}
	if t.Profile == Mirrored {
		t.mirrors(def, q)
	}
	if q.DeadLetter != nil {
		def["dead-letter-exchange"] = q.DeadLetter.Exchange
		if q.DeadLetter.RoutingKey != "" {
			def["dead-letter-routing-key"] = q.DeadLetter.RoutingKey
		}
		if t.Profile == Quorum { // the source queue keeps what it cannot hand over
			def["dead-letter-strategy"] = "at-least-once"
			def["overflow"] = "reject-publish"
		}
	}
	if t.Profile == Quorum && q.DeliveryLimit > 0 {
		def["delivery-limit"] = q.DeliveryLimit
	}
	if t.Profile == Quorum && q.DeliveryLimit == 0 && t.AtLeast(4, 0) {
		def["delivery-limit"] = -1 // 4.0 has a limit of 20 unless told otherwise
	}
	return def
}

// mirrors says where a classic queue's copies are. Without when-synced RabbitMQ
// makes a mirror the leader that lacks messages, and drops those for good.
func (t *Topology) mirrors(def map[string]any, q *Queue) {
	def["ha-mode"] = "nodes"
	def["ha-params"] = t.Copies(q)
	if t.HaMode == "all" {
		def["ha-mode"] = "all"
		delete(def, "ha-params")
	}
	def["ha-sync-mode"] = "automatic"
	def["ha-promote-on-failure"] = "when-synced"
	def["ha-promote-on-shutdown"] = "when-synced"
}

// PolicyOf returns the policy that is to apply to the queue called name, nil if
// none is.
func (t *Topology) PolicyOf(name string) *Policy {
	for _, p := range t.Policies() {
		if ok, err := regexp.MatchString(p.Pattern, name); err == nil && ok {
			return &p
		}
	}
	return nil
}

// AtLeast reports whether the expected version of RabbitMQ is major.minor or later.
func (t *Topology) AtLeast(major, minor int) bool {
	return VersionAtLeast(t.Expect.Version, major, minor)
}

// VersionAtLeast reports whether version is major.minor or later; a text that is
// no version is not.
func VersionAtLeast(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(first)
	b, _ := strconv.Atoi(second)
	return err == nil && (a > major || a == major && b >= minor)
}

// Fits reports whether a full version begins with the expected one, by whole
// numbers; an empty expectation fits everything.
func Fits(expected, version string) bool {
	return expected == "" || version == expected || strings.HasPrefix(version, expected+".")
}
