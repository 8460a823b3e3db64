package cluster_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/cluster/local"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/testserver"
)

// network is a bridge with one namespace for each node of a cluster, so that a
// link can be cut.
type network struct {
	id     string
	prefix string // of the addresses, such as 10.213.7
}

// newNetwork makes a network of n namespaces, or skips the test and says why.
func newNetwork(t *testing.T, n int) *network {
	t.Helper()
	testserver.Require(t, "ip")
	w := &network{id: fmt.Sprintf("mr%04x", rand.IntN(1<<16)), prefix: fmt.Sprintf("10.213.%d", rand.IntN(250))}
	if err := w.ip("link", "add", w.id, "type", "bridge"); err != nil {
		t.Skipf("no network of namespaces here: %v", err)
	}
	t.Cleanup(func() { _ = w.ip("link", "del", w.id) })
	steps := [][]string{{"addr", "add", w.prefix + ".254/24", "dev", w.id}, {"link", "set", w.id, "up"}}
	for i := range n {
		space, outer, inner := w.space(i), w.link(i), fmt.Sprintf("%si%d", w.id, i)
		t.Cleanup(func() { _ = w.ip("netns", "del", space) })
		steps = append(steps, []string{"netns", "add", space},
			[]string{"link", "add", outer, "type", "veth", "peer", "name", inner},
			[]string{"link", "set", inner, "netns", space},
			[]string{"link", "set", outer, "master", w.id},
			[]string{"link", "set", outer, "up"},
			[]string{"-n", space, "addr", "add", w.address(i) + "/24", "dev", inner},
			[]string{"-n", space, "link", "set", inner, "up"},
			[]string{"-n", space, "link", "set", "lo", "up"})
	}
	for _, step := range steps {
		if err := w.ip(step...); err != nil {
			t.Skipf("no network of namespaces here: %v", err)
		}
	}
	return w
}

func (w *network) space(i int) string   { return fmt.Sprintf("%sn%d", w.id, i) }
func (w *network) link(i int) string    { return fmt.Sprintf("%so%d", w.id, i) }
func (w *network) address(i int) string { return fmt.Sprintf("%s.%d", w.prefix, i+1) }

func (w *network) ip(args ...string) error {
	if os.Getuid() != 0 {
		return errors.New("only root may make one")
	}
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// place puts a node of the cluster into its namespace.
func (w *network) place(i int, n *local.Node) {
	n.Space, n.IP = w.space(i), w.address(i)
	n.Erlang = n.Name + "@" + n.IP
}

// TestClusterPartitionHeals cuts the link of the node that leads a mirrored and a
// quorum queue. It pauses, the others go on, and when the link is back it joins
// again: nothing is lost or doubled.
func TestClusterPartitionHeals(t *testing.T) {
	w := newNetwork(t, 3)
	c := testserver.RabbitClusterOf(t, 3, func(o *local.Options) {
		o.Place = w.place
		o.Conf = map[string]string{"net_ticktime": "8"}
	})
	m, q := plant(t, c, topology.Mirrored, "mirrored"), plant(t, c, topology.Quorum, "quorum")
	m.sound(t)
	for range rounds(1, 5) {
		fm, fq := m.flow(t, "master.plant1", "WIN1"), q.flow(t, "master.plant1", "WIN1")
		if err := w.ip("link", "set", w.link(0), "down"); err != nil {
			t.Fatal(err)
		}
		m.await(t, "the others to notice", func() error {
			nodes, err := c.Client(c.Node("linux")).Nodes(t.Context())
			for i := range nodes {
				if err == nil && nodes[i].Name == c.Nodes[0].Erlang && nodes[i].IsRunning() {
					err = errors.New("WIN1 is still taken for running")
				}
			}
			return err
		})
		fm.Mark()
		fq.Mark()
		m.moving(t, fm)
		q.moving(t, fq)
		if err := w.ip("link", "set", w.link(0), "up"); err != nil {
			t.Fatal(err)
		}
		m.sound(t, "C10", "C16")
		q.sound(t, "C10", "C16")
		exact(t, "mirrored, link cut", fm)
		exact(t, "quorum, link cut", fq)
		m.script(t, "linux", "3-queues.sh")
		q.script(t, "linux", "3-queues.sh")
	}
}

// TestSoakClusterJoinByScript takes two brokers of their own to a cluster with the
// scripts, as a person would: configure, join. A node with messages refuses.
func TestSoakClusterJoinByScript(t *testing.T) {
	c := testserver.RabbitClusterOf(t, 2, func(o *local.Options) { o.Alone = true })
	text := strings.Replace(c.Topology(topology.Mirrored, "/"), "name: local\n", "name: joined\n", 1)
	top, diags := topology.Parse("two", []byte(text), nil)
	if top == nil {
		t.Fatal(diags)
	}
	l := &live{RabbitCluster: c, top: top}
	configured(t, l)
	if _, err := c.NodeCtl("WIN1", "eval", `rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"old">>), true, false, [], none, <<"guest">>).`); err != nil {
		t.Fatal(err)
	}
	l.fillThrough(t, "WIN1", "old", 1, 1)
	backup := "BACKUP_DIR=" + t.TempDir()
	l.await(t, "the message to be counted", func() error {
		if out, err := l.tryScript(t, "WIN1", "2-join.sh", backup); err == nil || !strings.Contains(out, "holds 1 messages") {
			return fmt.Errorf("a node with messages joins, or says nothing: %v\n%s", err, out)
		}
		return nil
	})
	if _, err := c.NodeCtl("WIN1", "purge_queue", "old"); err != nil {
		t.Fatal(err)
	}
	out := l.script(t, "WIN1", "2-join.sh", backup)
	if !strings.Contains(out, "definitions are in") {
		t.Errorf("no backup: %s", out)
	}
	if out := l.script(t, "WIN1", "2-join.sh", backup); !strings.Contains(out, "already") {
		t.Errorf("a second time: %s", out)
	}
	l.apply(t)
	l.sound(t)
}

// configured runs the configure script of each node into the folders of the local
// cluster, with a restart that is none: the test restarts.
func configured(t *testing.T, l *live) {
	t.Helper()
	for _, name := range l.top.Names() {
		n := l.Node(name)
		dir := l.NodeDir(n)
		env := []string{
			"CHECK_HOST=localhost", "RABBITMQ_ETC=" + dir + "/etc", "RABBITMQ_HOME=" + dir + "/h", "RABBITMQ_OWNER=root:root", "RESTART=true", "ROOT_COOKIE=" + dir + "/h/root.cookie",
		}
		if err := os.MkdirAll(dir+"/h", 0o700); err != nil {
			t.Fatal(err)
		}
		out := l.script(t, name, "1-configure.sh", env...)
		conf, err := os.ReadFile(dir + "/etc/rabbitmq.conf")
		if err != nil || !strings.Contains(string(conf), "cluster_formation.classic_config.nodes.2 = linux@localhost") || !strings.Contains(out, "is configured") {
			t.Errorf("%s: %v\n%s\n%s", name, err, out, conf)
		}
	}
}

// TestClusterSilentManagementIsReported stops a node's management API: what it does
// not tell is a finding.
func TestClusterSilentManagementIsReported(t *testing.T) {
	l := shared(t, topology.Quorum)
	c := l.RabbitCluster
	l.sound(t, "C10")
	if _, err := c.Tool("WIN3", "rabbitmq-plugins", "disable", "rabbitmq_management"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := c.Tool("WIN3", "rabbitmq-plugins", "enable", "rabbitmq_management"); err != nil {
			t.Error(err)
		}
		l.sound(t, "C10")
	}()
	l.await(t, "C02", func() error {
		if got := amiss(l.verify(t, nil)); !slices.Contains(got, "C02") {
			return fmt.Errorf("findings %v", got)
		}
		return nil
	})
}
