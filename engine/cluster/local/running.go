package local

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/millrace/millrace/engine/cluster/management"
)

// Client returns a client for a node's management API, logged in as guest.
func (c *Cluster) Client(n *Node) *management.Client {
	return management.New(management.Options{
		URL:  "http://" + net.JoinHostPort(n.IP, strconv.Itoa(n.HTTP)),
		User: "guest", Password: "guest", Timeout: 10 * time.Second,
	})
}

// running counts the nodes that n sees running, with their listeners open.
func (c *Cluster) running(ctx context.Context, n *Node) (int, error) {
	nodes, err := c.Client(n).Nodes(ctx)
	if err != nil {
		return 0, err
	}
	count := 0
	for i := range nodes {
		if nodes[i].IsRunning() && nodes[i].Partitions != nil && len(*nodes[i].Partitions) == 0 {
			count++
		}
	}
	return count, nil
}
