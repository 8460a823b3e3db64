package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/cluster/local"
)

// RabbitCluster is a private RabbitMQ cluster: WIN1, WIN2, ... and linux, each with
// the management plugin, laid out by package local. Its methods may be called from
// any goroutine.
type RabbitCluster struct {
	*local.Cluster
	holder  server // owns the folder, the ports and the port mappers
	servers map[string]*clusterNode
}

// clusterNode is one node's process.
type clusterNode struct {
	server
	node *local.Node
}

// RabbitClusterOf starts a cluster of n nodes, three to five as a rule, and ends
// it with the test. more may change the layout. It takes about half a minute; see
// [SharedRabbitCluster].
func RabbitClusterOf(t testing.TB, n int, more ...func(*local.Options)) *RabbitCluster {
	t.Helper()
	c := &RabbitCluster{}
	requireRabbit(t)
	Require(t, "epmd")
	err := c.open(n, more)
	c.holder.report = t
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range c.names() {
				t.Logf("%s said last:\n%s", name, c.servers[name].logTail())
			}
		}
		if err := c.close(); err != nil {
			t.Errorf("cluster: close: %v", err)
		}
	})
	for _, s := range c.servers {
		s.report = t
	}
	if err != nil {
		t.Fatalf("cluster: %v", err)
	}
	return c
}

func (c *RabbitCluster) open(n int, more []func(*local.Options)) error {
	if err := c.holder.prepare("cluster", 0); err != nil {
		return err
	}
	o := local.Options{Dir: filepath.Join(c.holder.Dir, "nodes"), Nodes: n, Port: c.port}
	for _, change := range more {
		change(&o)
	}
	var err error
	if c.Cluster, err = local.Lay(o); err != nil {
		return err
	}
	c.servers = map[string]*clusterNode{}
	for i := range c.Nodes {
		c.servers[c.Nodes[i].Name] = c.prepareNode(&c.Nodes[i])
	}
	return errors.Join(c.startMappers(), c.startAll())
}

func (c *RabbitCluster) port() (int, error) {
	p, err := takePort()
	if err != nil {
		return 0, err
	}
	c.holder.ports = append(c.holder.ports, p)
	return p.number, nil
}

func (c *RabbitCluster) prepareNode(node *local.Node) *clusterNode {
	s := &clusterNode{node: node}
	s.name, s.Dir, s.report = node.Erlang, c.NodeDir(node), sharedReporter{}
	s.command = func() *exec.Cmd { return c.Command(node, "rabbitmq-server") }
	s.ready = func(ctx context.Context) error {
		if !s.said(" completed with ") {
			return errors.New("it is still starting")
		}
		if node.Space != "" {
			return nil // its ports are in a network of their own
		}
		conn, err := dial(ctx, node.AMQPAddr())
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return s
}

// startMappers runs one port mapper for each address.
func (c *RabbitCluster) startMappers() error {
	seen := map[string]bool{}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if seen[n.IP] {
			continue
		}
		seen[n.IP] = true
		cmd, err := c.Mapper(n)
		if err != nil {
			return err
		}
		p, err := launch(cmd)
		if err != nil {
			return err
		}
		c.holder.helpers = append(c.holder.helpers, p)
	}
	return nil
}

// startAll starts the seed and then the others at once. Nodes that look for no
// others start all at once.
func (c *RabbitCluster) startAll() error {
	if err := c.servers[c.Nodes[0].Name].start(); err != nil {
		return err
	}
	var wait sync.WaitGroup
	errs := make([]error, len(c.Nodes))
	for i := range c.Nodes[1:] {
		wait.Go(func() { errs[i] = c.servers[c.Nodes[i+1].Name].start() })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (c *RabbitCluster) names() []string {
	var names []string
	for name := range c.servers {
		names = append(names, name)
	}
	return names
}

func (c *RabbitCluster) close() error {
	var errs []error
	for _, s := range c.servers {
		s.Kill()
	}
	errs = append(errs, c.holder.close())
	return errors.Join(errs...)
}

// KillNode ends a node with SIGKILL and waits until it is gone.
func (c *RabbitCluster) KillNode(name string) { c.servers[name].Kill() }

// StopNode ends a node in good order.
func (c *RabbitCluster) StopNode(name string) { c.servers[name].Stop() }

// PauseNode stops a node's clock until [RabbitCluster.ResumeNode].
func (c *RabbitCluster) PauseNode(name string) { c.servers[name].Pause() }

// ResumeNode ends a pause.
func (c *RabbitCluster) ResumeNode(name string) { c.servers[name].Resume() }

// StartNode runs a node again and returns once it takes connections.
func (c *RabbitCluster) StartNode(t testing.TB, name string) {
	t.Helper()
	if err := c.servers[name].start(); err != nil {
		t.Fatalf("%v", err)
	}
}

// NodeCtl runs rabbitmqctl on a node and returns what it printed, quietly formatted. A
// call takes about two seconds.
func (c *RabbitCluster) NodeCtl(name string, args ...string) (string, error) {
	return c.Tool(name, "rabbitmqctl", args...)
}

// Tool runs one of RabbitMQ's other scripts on a node, such as rabbitmq-queues.
func (c *RabbitCluster) Tool(name, script string, args ...string) (string, error) {
	n := c.Node(name)
	out, err := c.Command(n, script, append([]string{"--quiet"}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s on %s: %w: %s", script, args[0], name, err, out)
	}
	return string(out), nil
}

// WriteTopology writes a cluster file for the cluster into a folder of the test
// and returns its path; see [local.Cluster.Topology].
func (c *RabbitCluster) WriteTopology(t testing.TB, profile, vhost string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(c.Topology(profile, vhost)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// SharedRabbitCluster returns this test binary's cluster of five nodes, started on
// first use. A test may stop, kill and pause its nodes if it leaves them running;
// its queues are in a virtual host of its own. The binary needs [Main].
func SharedRabbitCluster(t testing.TB) *RabbitCluster {
	t.Helper()
	requireRabbit(t)
	Require(t, "epmd")
	pool.Lock()
	defer pool.Unlock()
	if pool.cluster == nil {
		c := &RabbitCluster{}
		c.holder.report = sharedReporter{}
		if err := c.open(5, nil); err != nil {
			t.Fatalf("cluster: %v", errors.Join(err, c.close()))
		}
		pool.cluster = c
	}
	return pool.cluster
}
