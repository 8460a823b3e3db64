package local_test

import (
	"context"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/cluster/local"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// TestClusterUpAndDown starts a cluster that outlives its starter, kills and starts
// a node, and leaves nothing behind.
func TestClusterUpAndDown(t *testing.T) {
	testserver.Require(t, "rabbitmq-server")
	c, err := local.Lay(local.Options{Dir: t.TempDir() + "/c", Nodes: 2})
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	t.Cleanup(func() {
		if err := c.Down(context.Background(), &said); err == nil {
			return
		}
		t.Log(said.String())
	})
	if err := c.Up(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	if err := c.Up(t.Context(), &said); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	n := c.Node("WIN1")
	if err := c.Kill(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client(n).Nodes(t.Context()); err == nil {
		t.Error("a killed node answers")
	}
	if err := c.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := c.Down(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(c.Dir); err == nil {
		t.Error("the folder is left")
	}
}
