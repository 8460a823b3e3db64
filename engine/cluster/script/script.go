// Package script writes what must be done on the nodes themselves: the Erlang
// cookie, rabbitmq.conf, joining, and where queues' copies are. A Windows node gets
// PowerShell, a Linux node sh. The scripts hold no secrets, and each may be run
// again.
package script

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

//go:embed templates
var sources embed.FS

var templates = template.Must(template.ParseFS(sources, "templates/*.tmpl"))

// File is one script.
type File struct {
	Name string // NODE/1-configure.sh, with a slash
	Text string
}

// values are what the templates see.
type values struct {
	Topology *topology.Topology
	Node     *topology.Node
	Host     string // as the node calls itself
	Hosts    []host
	Conf     string
	Plugins  string
	Ports    string
	Seed     string
	Quorum   bool
	VHost    string
	Queues   []queue
	Transfer string
	Facts    string
}

type host struct{ Name, Address string }

type queue struct {
	Name, Owner string
	Copies      []string
}

// Files returns the scripts of all nodes. The replica's node is the one that the
// others join; its third script is for the queues of all.
func Files(t *topology.Topology) ([]File, error) {
	var files []File
	seed := t.Replica()
	for i := range t.Nodes {
		n := &t.Nodes[i]
		names := []string{"configure", "facts"}
		if n != seed {
			names = append(names, "join")
		}
		for _, name := range names {
			f, err := file(t, n, name, extension(n))
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	if seed.OS != topology.Linux {
		return files, nil
	}
	f, err := file(t, seed, "queues", "sh")
	return append(files, f), err
}

var order = map[string]string{"configure": "1-configure", "join": "2-join", "queues": "3-queues", "facts": "facts"}

func extension(n *topology.Node) string {
	if n.OS == topology.Windows {
		return "ps1"
	}
	return "sh"
}

func file(t *topology.Topology, n *topology.Node, name, extension string) (File, error) {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name+"."+extension+".tmpl", fill(t, n)); err != nil {
		return File{}, fmt.Errorf("script %s of %s: %w", name, n.Name, err)
	}
	out := text.String()
	if extension == "ps1" {
		out = strings.ReplaceAll(out, "\n", "\r\n")
	}
	return File{path.Join(n.Name, order[name]+"."+extension), out}, nil
}

func fill(t *topology.Topology, n *topology.Node) values {
	_, name, _ := strings.Cut(n.Erlang, "@")
	v := values{
		Topology: t, Node: n, Host: name, Conf: Conf(t, n), Plugins: strings.Join(t.Plugins, ","), Seed: t.Replica().Erlang,
		Quorum: t.Profile == topology.Quorum, VHost: t.VHost, Facts: snapshot.Expression(snapshot.Hosts(t)), Transfer: transfer(t),
	}
	for _, port := range []int{4369, n.Ports.Distribution, n.Ports.AMQP, n.Ports.Management} {
		v.Ports += ", " + strconv.Itoa(port)
	}
	v.Ports = v.Ports[2:]
	for i, h := range snapshot.Hosts(t) {
		v.Hosts = append(v.Hosts, host{h, t.Nodes[i].Address})
	}
	for i := range t.Queues {
		q := &t.Queues[i]
		v.Queues = append(v.Queues, queue{q.Name, t.Erlang(q.Owner), t.Copies(q)})
	}
	return v
}

// transfer is how RabbitMQ moves a queue's leader to To. There is no command for
// it; these are what its own rebalancing calls.
func transfer(t *topology.Topology) string {
	if t.Profile == topology.Mirrored {
		return "case lists:member(To, [node(P) || P <- amqqueue:get_sync_slave_pids(Q)]) of true -> rabbit_mirror_queue_misc:transfer_leadership(Q, To); false -> unsynchronised end"
	}
	return "rabbit_quorum_queue:transfer_leadership(Q, To)"
}

// Conf is a node's rabbitmq.conf.
func Conf(t *topology.Topology, n *topology.Node) string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s = %v\n", key, value) }
	line("cluster_name", t.Name)
	listeners(t, n, line)
	if !t.AtLeast(4, 3) {
		line("cluster_partition_handling", t.Partition)
	}
	line("cluster_formation.peer_discovery_backend", "classic_config")
	for i, other := range t.Nodes {
		line(fmt.Sprintf("cluster_formation.classic_config.nodes.%d", i+1), other.Erlang)
	}
	if n.Storage == "ram" {
		line("cluster_formation.node_type", "ram")
	}
	return b.String()
}

func listeners(t *topology.Topology, n *topology.Node, line func(string, any)) {
	if t.TLS == nil {
		line("listeners.tcp.default", n.Ports.AMQP)
		line("management.tcp.port", n.Ports.Management)
		return
	}
	c := t.TLS.Linux
	if n.OS == topology.Windows {
		c = t.TLS.Windows
	}
	line("listeners.tcp", "none")
	line("listeners.ssl.default", n.Ports.AMQP)
	line("ssl_options.cacertfile", c.Authority)
	line("ssl_options.certfile", c.File)
	line("ssl_options.keyfile", c.Key)
	line("ssl_options.versions.1", "tlsv1.3")
	line("ssl_options.versions.2", "tlsv1.2")
	line("management.ssl.port", n.Ports.Management)
	line("management.ssl.cacertfile", c.Authority)
	line("management.ssl.certfile", c.File)
	line("management.ssl.keyfile", c.Key)
}

// Write writes the scripts below dir, over earlier ones.
func Write(dir string, files []File) error {
	for _, f := range files {
		at := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(f.Name, ".sh") {
			mode = 0o755
		}
		if err := os.WriteFile(at, []byte(f.Text), mode); err != nil {
			return err
		}
	}
	return nil
}
