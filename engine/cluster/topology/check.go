package topology

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/spec"
)

const defaultMinValid = 30 * 24 * time.Hour

var (
	clusterName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,62}$`)
	versionText = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,3}$`)
	nodeName    = regexp.MustCompile(`^[A-Za-z0-9_-]+@[A-Za-z0-9_.-]+$`)
	plainName   = regexp.MustCompile(`^[^\x00-\x1f\x7f'"\\` + "`" + `$%]{1,255}$`) // fits into scripts, too
	pluginName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	plainHost   = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

// check finds everything that is wrong beyond the types of fields. A part that
// needs another one to be right is left out while that one is not.
func (t *Topology) check(d *spec.Document) {
	t.defaults()
	t.checkHeader(d)
	t.checkNodes(d)
	t.checkRoles(d)
	t.checkTLS(d)
	t.checkExchanges(d)
	t.checkQueues(d)
	t.checkBindings(d)
	t.checkUsers(d)
}

func (t *Topology) checkHeader(d *spec.Document) {
	if t.Name != "" && !clusterName.MatchString(t.Name) {
		d.Problem("name", "bad-name", "letters, digits, _, . and -, at most 63", "the cluster's name is not valid")
	}
	for path, text := range map[string]string{"rabbitmq.version": t.Expect.Version, "rabbitmq.erlang": t.Expect.Erlang} {
		if text != "" && !versionText.MatchString(text) {
			d.Problem(path, "bad-version", `such as "3.10", in quotes`, "the version is not numbers with dots")
		}
	}
	if !plainName.MatchString(t.VHost) {
		d.Problem("vhost", "bad-name", plainNameHint, "the virtual host's name is not usable in scripts")
	}
	for i, name := range t.Plugins {
		if !pluginName.MatchString(name) {
			d.Problem(fmt.Sprintf("plugins[%d]", i), "bad-name", "such as rabbitmq_management", "that names no plugin")
		}
	}
	t.checkProfile(d)
	t.checkPartition(d)
	if !contains(t.Plugins, "rabbitmq_management") {
		d.Problem("plugins", "no-management", "add rabbitmq_management", "the cluster cannot be looked at without rabbitmq_management")
	}
}

const plainNameHint = "no quotes, $, %, backslashes or control characters, at most 255 bytes"

func (t *Topology) checkProfile(d *spec.Document) {
	switch {
	case d.Wrong("rabbitmq.version") || d.Wrong("profile"):
	case t.Profile == Mirrored && t.AtLeast(4, 0):
		d.Problem("profile", "no-mirrors", "profile: quorum", "RabbitMQ 4.0 has no mirrored queues and ignores every ha- key without a word")
	case t.Profile == Mirrored:
		d.Warn("profile", "old-profile", "profile: quorum", "mirrored queues end with RabbitMQ 4.0; quorum queues need no promotion rules")
	case t.Profile == Quorum && !t.AtLeast(3, 10):
		d.Problem("profile", "old-version", "profile: mirrored, or a later RabbitMQ", "quorum queues as used here need RabbitMQ 3.10, the file says %s", t.Expect.Version)
	}
	switch {
	case d.Wrong("ha_mode") || !d.Has("ha_mode") || d.Wrong("profile"):
	case t.Profile != Mirrored:
		d.Problem("ha_mode", "misplaced-field", "remove it", "ha_mode is for profile mirrored, quorum queues have members")
	case t.HaMode == "all":
		d.Warn("ha_mode", "ha-all", "ha_mode: nodes", "every message is copied to all %d nodes before it is confirmed: %d times the traffic and disk of one mirror, and the slowest node sets the pace", len(t.Nodes), max(1, len(t.Nodes)-1))
	}
}

func (t *Topology) checkPartition(d *spec.Document) {
	const at = "partition_handling"
	switch {
	case d.Wrong(at):
	case t.AtLeast(4, 3) && d.Has(at):
		d.Warn(at, "no-effect", "remove it", "RabbitMQ 4.3 ignores partition handling")
	case t.Partition == "ignore":
		d.Warn(at, "split-brain", "partition_handling: pause_minority", "with ignore both sides of a broken network go on and must be put together by hand")
	case t.Partition == "autoheal":
		d.Warn(at, "loses-messages", "partition_handling: pause_minority", "autoheal throws away what the losing side took meanwhile")
	case t.Partition == "pause_minority" && len(t.Nodes) == 2:
		d.Warn("nodes", "no-majority", "a third node", "of two nodes neither is a majority: when one is down, the other pauses")
	case t.Partition == "pause_minority" && len(t.Nodes)%2 == 0:
		d.Warn("nodes", "even-cluster", "an odd number of nodes", "when %d nodes part in halves, both halves pause", len(t.Nodes))
	}
}

func (t *Topology) checkNodes(d *spec.Document) {
	names, erlangs, endpoints := map[string]int{}, map[string]int{}, map[string]int{}
	for i, n := range t.Nodes {
		path := fmt.Sprintf("nodes[%d]", i)
		if n.Name == "" {
			continue
		}
		t.unique(d, path+".name", "duplicate-node", "node", n.Name, i, names)
		t.unique(d, path+".node", "duplicate-node", "RabbitMQ node", n.Erlang, i, erlangs)
		if d.Has(path + ".host") {
			t.unique(d, path+".host", "duplicate-host", "AMQP address", fmt.Sprintf("%s:%d", n.Host, n.Ports.AMQP), i, endpoints)
		}
		t.checkName(d, path, n)
		if _, err := netip.ParseAddr(n.Address); n.Address != "" && err != nil {
			d.Problem(path+".address", "bad-address", "such as 192.0.2.10", "the address is no IP address")
		}
	}
}

// unique notes that name is already used by an earlier node. The place is that of
// the field, or of the node where the name follows from another field.
func (t *Topology) unique(d *spec.Document, path, code, what, name string, i int, seen map[string]int) {
	first, taken := seen[strings.ToLower(name)]
	if !taken {
		seen[strings.ToLower(name)] = i
		return
	}
	owner := fmt.Sprintf("nodes[%d]", i)
	if strings.HasSuffix(path, ".node") && !d.Has(path) {
		return // it follows from the name or the host, which is reported itself
	}
	d.Problem(path, code, "give "+owner+" another one", "%s %s is already the one of line %d", what, name, d.Line(fmt.Sprintf("nodes[%d].name", first)))
}

func (t *Topology) checkName(d *spec.Document, path string, n Node) {
	_, host, _ := strings.Cut(n.Erlang, "@")
	short, _, _ := strings.Cut(host, ".")
	at := path + ".name"
	for _, field := range []string{".node", ".host"} {
		if d.Has(path + field) {
			at = path + field
			break
		}
	}
	switch {
	case d.Wrong(at):
	case !plainHost.MatchString(n.Host) || !nodeName.MatchString(n.Erlang):
		d.Problem(at, "bad-name", "letters, digits, - and _, as in rabbit@WIN1", "%q is no name of an Erlang node", n.Erlang)
	case n.OS == Windows && host != strings.ToUpper(host):
		d.Problem(at, "windows-case", "write "+strings.ToUpper(short), "Windows calls the computer %s, and RabbitMQ names its node after that; %s is another node", strings.ToUpper(short), n.Erlang)
	case !t.LongNames && strings.Contains(host, "."):
		d.Problem(at, "long-name", "the part before the first dot, or long_names: true", "node names have short host names, %s has dots", host)
	}
}

func (t *Topology) checkRoles(d *spec.Document) {
	var owners, replicas, discs []int
	wrong := len(t.Nodes) == 0
	for i, n := range t.Nodes {
		wrong = wrong || d.Wrong(fmt.Sprintf("nodes[%d].role", i))
		switch n.Role {
		case Owner:
			owners = append(owners, i)
		case Replica:
			replicas = append(replicas, i)
		}
		if n.Storage == "disc" {
			discs = append(discs, i)
		}
	}
	switch {
	case wrong:
	case len(replicas) == 0:
		d.Problem("nodes", "no-replica", "role: replica on the Linux node", "no node holds the replicas")
	case len(replicas) > 1:
		d.Problem(fmt.Sprintf("nodes[%d].role", replicas[1]), "several-replicas", "one of them is a witness", "line %d has the role replica already", d.Line(fmt.Sprintf("nodes[%d].role", replicas[0])))
	}
	if !wrong && len(owners) == 0 {
		d.Problem("nodes", "no-owner", "role: owner", "no node owns queues")
	}
	if len(t.Nodes) > 0 && len(discs) == 0 {
		d.Problem("nodes", "no-disc", "storage: disc", "all nodes are ram nodes: nothing would survive a stop")
	}
	for i, n := range t.Nodes {
		t.checkStorage(d, fmt.Sprintf("nodes[%d].storage", i), n)
	}
}

func (t *Topology) checkStorage(d *spec.Document, at string, n Node) {
	switch {
	case n.Storage != "ram" || d.Wrong(at):
	case t.AtLeast(4, 0):
		d.Problem(at, "ram-node", "storage: disc", "ram nodes are deprecated, and gone with Mnesia in RabbitMQ 4.3")
	case n.Role == Replica:
		d.Problem(at, "ram-survivor", "storage: disc", "when an owner fails, %s is the only node that has its queues, and as a ram node it forgets them", n.Name)
	default:
		d.Warn(at, "ram-node", "storage: disc", "a ram node keeps no definitions over a stop and gains nothing for queues")
	}
}

func (t *Topology) checkTLS(d *spec.Document) {
	if t.TLS == nil {
		return
	}
	for system, c := range map[string]Certificate{Linux: t.TLS.Linux, Windows: t.TLS.Windows} {
		used := false
		for _, n := range t.Nodes {
			used = used || n.OS == system
		}
		if used && (c.Authority == "" || c.File == "" || c.Key == "") {
			d.Problem("tls."+system, "no-certificate", "give authority, certificate and key", "there are %s nodes, but not all three files for them", system)
		}
		if strings.ContainsAny(c.Authority+c.File+c.Key, "\\\n'") {
			d.Problem("tls."+system, "bad-path", "write C:/certs/node.pem", "rabbitmq.conf takes paths with slashes, without quotes")
		}
	}
}

func contains(list []string, item string) bool {
	for _, s := range list {
		if s == item {
			return true
		}
	}
	return false
}
