package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/cluster/clustertest"
	"github.com/millrace/millrace/engine/cluster/local"
	"github.com/millrace/millrace/engine/cluster/plan"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// planted is a planned virtual host, and what only these tests do with it.
type planted struct{ *clustertest.Planted }

func plant(t *testing.T, c *testserver.RabbitCluster, profile, vhost string) planted {
	t.Helper()
	return planted{clustertest.Plant(t, c, profile, vhost)}
}

func shared(t *testing.T, profile string) planted {
	t.Helper()
	return planted{clustertest.Shared(t, profile)}
}

// TestClusterPlannedAppliedVerified takes both profiles from a plan to a cluster
// without findings, breaks them in ways that change nothing on other queues, and
// mends them as verify says.
func TestClusterPlannedAppliedVerified(t *testing.T) {
	c := testserver.SharedRabbitCluster(t)
	for _, profile := range []string{topology.Quorum, topology.Mirrored} {
		t.Run(profile, func(t *testing.T) {
			l := plant(t, c, profile, "planned-"+profile)
			l.Sound(t)
			if p := plan.Make(l.Snapshot(t)); !p.Empty() {
				t.Errorf("applied, and still to do: %+v", p)
			}
			l.Apply(t) // again
			if profile == topology.Mirrored {
				brokenMirrored(t, l)
			} else {
				brokenQuorum(t, l)
			}
			l.Sound(t)
		})
	}
}

func brokenQuorum(t *testing.T, l planted) {
	hash, err := l.Tool("WIN1", "rabbitmq-diagnostics", "erlang_cookie_hash")
	cookie, readErr := os.ReadFile(l.CookieFile())
	if err := errors.Join(err, readErr); err != nil || strings.TrimSpace(hash) != snapshot.CookieHash(cookie) {
		t.Errorf("cookie hash %q, %v; computed %s", hash, err, snapshot.CookieHash(cookie))
	}
	facts, err := snapshot.ParseFacts(l.Script(t, "WIN1", "facts.sh"))
	if err != nil || facts.Node != "WIN1@localhost" || facts.Partition != "pause_minority" || len(facts.Unresolved) > 0 {
		t.Errorf("facts: %+v, %v", facts, err)
	}
	l.ctl(t, "eval", `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"`+l.Top.VHost+`">>, queue, <<"master.plant1">>)), rabbit_quorum_queue:transfer_leadership(Q, 'WIN2@localhost').`)
	if _, err := l.Tool("linux", "rabbitmq-queues", "delete_member", "--vhost", l.Top.VHost, "master.plant2", "linux@localhost"); err != nil {
		t.Fatal(err)
	}
	l.ctl(t, "set_policy", "--vhost", l.Top.VHost, "--apply-to", "queues", "limit", "plant3", `{"delivery-limit": 5}`)
	l.ctl(t, "delete_queue", "--vhost", l.Top.VHost, "master.plant4")
	l.Fires(t, "C08", "C10", "C11", "C13", "C14")
	l.ctl(t, "clear_policy", "--vhost", l.Top.VHost, "limit")
	l.Apply(t)
	l.Script(t, "linux", "3-queues.sh")
}

func brokenMirrored(t *testing.T, l planted) {
	l.ctl(t, "set_policy", "--vhost", l.Top.VHost, "--priority", "20", "--apply-to", "queues", "ha-all", "^master", `{"ha-mode": "all"}`)
	l.Fires(t, "C08", "C12")
	l.ctl(t, "clear_policy", "--vhost", l.Top.VHost, "ha-all")
}

func (l planted) ctl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := l.NodeCtl("linux", args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
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
	l := planted{&clustertest.Planted{RabbitCluster: c, Top: top}}
	configured(t, l)
	if _, err := c.NodeCtl("WIN1", "eval", `rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"old">>), true, false, [], none, <<"guest">>).`); err != nil {
		t.Fatal(err)
	}
	l.fillThrough(t, "WIN1", "old", 1, 1)
	backup := "BACKUP_DIR=" + t.TempDir()
	l.Await(t, "the message to be counted", func() error {
		if out, err := l.TryScript(t, "WIN1", "2-join.sh", backup); err == nil || !strings.Contains(out, "holds 1 messages") {
			return fmt.Errorf("a node with messages joins, or says nothing: %v\n%s", err, out)
		}
		return nil
	})
	if _, err := c.NodeCtl("WIN1", "purge_queue", "old"); err != nil {
		t.Fatal(err)
	}
	out := l.Script(t, "WIN1", "2-join.sh", backup)
	if !strings.Contains(out, "definitions are in") {
		t.Errorf("no backup: %s", out)
	}
	if out := l.Script(t, "WIN1", "2-join.sh", backup); !strings.Contains(out, "already") {
		t.Errorf("a second time: %s", out)
	}
	l.Apply(t)
	l.Sound(t)
}

// configured runs the configure script of each node into the folders of the local
// cluster, with a restart that is none: the test restarts.
func configured(t *testing.T, l planted) {
	t.Helper()
	for _, name := range l.Top.Names() {
		n := l.Node(name)
		dir := l.NodeDir(n)
		env := []string{
			"CHECK_HOST=localhost", "RABBITMQ_ETC=" + dir + "/etc", "RABBITMQ_HOME=" + dir + "/h", "RABBITMQ_OWNER=root:root", "RESTART=true", "ROOT_COOKIE=" + dir + "/h/root.cookie",
		}
		if err := os.MkdirAll(dir+"/h", 0o700); err != nil {
			t.Fatal(err)
		}
		out := l.Script(t, name, "1-configure.sh", env...)
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
	silence := func(verb string) {
		t.Helper()
		if out, err := l.NodeCtl("WIN3", "eval", "application:"+verb+"(rabbitmq_management)."); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	l.Sound(t, "C10")
	silence("stop")
	defer silence("start")
	l.Await(t, "C02", func() error {
		if got := clustertest.Amiss(l.Verify(t, nil)); !slices.Contains(got, "C02") {
			return fmt.Errorf("findings %v", got)
		}
		return nil
	})
}
