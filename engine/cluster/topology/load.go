package topology

import (
	"os"

	"github.com/millrace/millrace/engine/spec"
)

// Kind is the first word of a cluster file.
const Kind = "cluster"

// Load reads the cluster file at path; variables come from the environment. With
// an error among the diagnostics the topology is nil.
func Load(path string) (*Topology, []spec.Diagnostic) {
	t := &Topology{File: path}
	return finish(t, spec.ReadFile(path, t, os.LookupEnv, t.check))
}

// Parse reads a cluster file named name from data; env knows the variables, nil
// none. See [Load].
func Parse(name string, data []byte, env func(string) (string, bool)) (*Topology, []spec.Diagnostic) {
	t := &Topology{File: name}
	return finish(t, spec.Read(name, data, t, env, t.check))
}

func finish(t *Topology, diags []spec.Diagnostic) (*Topology, []spec.Diagnostic) {
	if spec.HasErrors(diags) {
		return nil, diags
	}
	return t, diags
}

func fallback[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// defaults fills in what the file leaves out. Members of queues follow, once the
// nodes are known to be right.
func (t *Topology) defaults() {
	fallback(&t.Profile, Quorum)
	fallback(&t.HaMode, "nodes")
	fallback(&t.VHost, "/")
	fallback(&t.Partition, "pause_minority")
	fallback(&t.Expect.Version, "3.10")
	fallback(&t.Admin.User, "guest")
	fallback(&t.Admin.Password, "guest")
	if len(t.Plugins) == 0 {
		t.Plugins = []string{"rabbitmq_management"}
	}
	t.defaultPorts()
	for i := range t.Nodes {
		t.Nodes[i].defaults(t.Ports)
	}
	for i := range t.Exchanges {
		fallback(&t.Exchanges[i].Type, "topic")
	}
	for i := range t.Bindings {
		fallback(&t.Bindings[i].RoutingKey, "#")
	}
}

func (t *Topology) defaultPorts() {
	amqp, management := 5672, 15672
	if t.TLS != nil {
		amqp, management = 5671, 15671
		fallback(&t.TLS.MinValid, defaultMinValid)
	}
	fallback(&t.Ports.AMQP, amqp)
	fallback(&t.Ports.Management, management)
	fallback(&t.Ports.Distribution, 25672)
}

func (n *Node) defaults(ports Ports) {
	fallback(&n.Host, n.Name)
	fallback(&n.Erlang, "rabbit@"+n.Host)
	fallback(&n.Role, Owner)
	fallback(&n.Storage, "disc")
	fallback(&n.Ports.AMQP, ports.AMQP)
	fallback(&n.Ports.Management, ports.Management)
	fallback(&n.Ports.Distribution, ports.Distribution)
}
