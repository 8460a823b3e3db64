package local_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/cluster/clustertest"
	"github.com/millrace/millrace/engine/cluster/local"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

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
	m, q := clustertest.Plant(t, c, topology.Mirrored, "mirrored"), clustertest.Plant(t, c, topology.Quorum, "quorum")
	m.Sound(t)
	for range clustertest.Rounds(1, 5) {
		fm, fq := m.Flow(t, "master.plant1", "WIN1"), q.Flow(t, "master.plant1", "WIN1")
		if err := w.ip("link", "set", w.link(0), "down"); err != nil {
			t.Fatal(err)
		}
		m.Await(t, "the others to notice", func() error {
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
		m.Moving(t, fm)
		q.Moving(t, fq)
		if err := w.ip("link", "set", w.link(0), "up"); err != nil {
			t.Fatal(err)
		}
		m.Sound(t, "C10", "C16")
		q.Sound(t, "C10", "C16")
		clustertest.Exact(t, "mirrored, link cut", fm)
		clustertest.Exact(t, "quorum, link cut", fq)
		m.Script(t, "linux", "3-queues.sh")
		q.Script(t, "linux", "3-queues.sh")
	}
}
