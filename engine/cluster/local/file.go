package local

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// TopologyFile is the name of the cluster file in a local cluster's folder.
const TopologyFile = "cluster.yaml"

// Topology returns a cluster file for the cluster: each node but the last owns an
// exchange and a master queue, the last one has the replicas. vhost may be "/".
func (c *Cluster) Topology(profile, vhost string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kind: cluster\nversion: 1\nname: local\nprofile: %s\nvhost: %q\n", profile, vhost)
	b.WriteString("admin: { user: \"${CLUSTER_ADMIN:guest}\", password: \"${CLUSTER_PASSWORD:guest}\" }\n")
	if strings.Contains(c.Nodes[0].Erlang, ".") {
		b.WriteString("long_names: true\n")
	}
	b.WriteString("nodes:\n")
	for i, n := range c.Nodes {
		_, host, _ := strings.Cut(n.Erlang, "@")
		fmt.Fprintf(&b, "  - { name: %s, os: linux, host: %q, node: %q, role: %s, ports: { amqp: %d, management: %d, distribution: %d } }\n",
			n.Name, host, n.Erlang, role(i, len(c.Nodes)), n.AMQP, n.HTTP, n.Dist)
	}
	c.objects(&b)
	return b.String()
}

func role(i, n int) string {
	if i == n-1 {
		return "replica"
	}
	return "owner"
}

func (c *Cluster) objects(b *strings.Builder) {
	owners := c.Nodes[:len(c.Nodes)-1]
	b.WriteString("exchanges:\n")
	for i, n := range owners {
		fmt.Fprintf(b, "  - { name: plant%d, owner: %s }\n", i+1, n.Name)
	}
	b.WriteString("queues:\n")
	for i, n := range owners {
		fmt.Fprintf(b, "  - { name: master.plant%d, owner: %s }\n", i+1, n.Name)
	}
	b.WriteString("bindings:\n")
	for i := range owners {
		fmt.Fprintf(b, "  - { exchange: plant%d, queue: master.plant%d }\n", i+1, i+1)
	}
}

// AMQPAddr is the host:port of the node's listener.
func (n *Node) AMQPAddr() string { return net.JoinHostPort(n.IP, strconv.Itoa(n.AMQP)) }

// URLs returns the AMQP URLs of all nodes for a virtual host whose name needs no
// escaping, comma-separated, the Linux node first, as a pipeline file takes them.
func (c *Cluster) URLs(vhost string) string {
	var urls []string
	for i := range c.Nodes {
		n := &c.Nodes[len(c.Nodes)-1-i]
		urls = append(urls, "amqp://guest:guest@"+n.AMQPAddr()+"/"+strings.TrimPrefix(vhost, "/"))
	}
	return strings.Join(urls, ",")
}
