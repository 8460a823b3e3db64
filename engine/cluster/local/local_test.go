package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/cluster/topology"
)

func laid(t *testing.T, n int) *Cluster {
	t.Helper()
	if _, err := findScripts(); err != nil {
		t.Skipf("%v; `go tool task setup` installs it", err)
	}
	c, err := Lay(Options{Dir: filepath.Join(t.TempDir(), "c"), Nodes: n})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLayoutIsReadAgain(t *testing.T) {
	c := laid(t, 5)
	again, err := Open(c.Dir)
	if err != nil || again.EPMD != c.EPMD || len(again.Nodes) != 5 || *again.Node("linux") != c.Nodes[4] {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := Lay(Options{Dir: c.Dir, Nodes: 3}); err == nil {
		t.Error("laid out over another cluster")
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("an empty folder is a cluster")
	}
	if _, err := Lay(Options{Dir: filepath.Join(t.TempDir(), "c"), Nodes: 10}); err == nil {
		t.Error("ten nodes")
	}
}

func TestTopologyOfALocalClusterIsValid(t *testing.T) {
	c := laid(t, 5)
	for _, profile := range []string{topology.Quorum, topology.Mirrored} {
		top, diags := topology.Parse("local", []byte(c.Topology(profile, "v")), nil)
		if top == nil {
			t.Fatal(diags)
		}
		if top.Replica().Erlang != "linux@localhost" || len(top.Queues) != 4 || top.AMQP(top.Replica()) != "localhost:"+strings.Split(c.Nodes[4].AMQPAddr(), ":")[1] {
			t.Errorf("%+v", top)
		}
	}
}

func TestCookieIsForItsOwnerOnly(t *testing.T) {
	c := laid(t, 3)
	info, err := os.Stat(c.CookieFile())
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
