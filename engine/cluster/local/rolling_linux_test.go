package local_test

import (
	"testing"

	"github.com/millrace/millrace/engine/cluster/clustertest"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/testserver"
)

// TestSoakClusterRollingRestart restarts every node under load, each once the one
// before is complete again; clients go to the next node of their list. It takes too
// long for CI.
func TestSoakClusterRollingRestart(t *testing.T) {
	const queue = "master.plant1"
	c := testserver.RabbitClusterOf(t, 5)
	both := []*clustertest.Planted{clustertest.Plant(t, c, topology.Mirrored, "mirrored"), clustertest.Plant(t, c, topology.Quorum, "quorum")}
	fm, fq := both[0].Flow(t, queue, ""), both[1].Flow(t, queue, "")
	for _, name := range both[0].Top.Names() {
		c.StopNode(name)
		c.StartNode(t, name)
		for _, l := range both {
			l.Whole(t, queue)
		}
	}
	clustertest.Exact(t, "mirrored, rolling restart", fm)
	clustertest.Exact(t, "quorum, rolling restart", fq)
}
