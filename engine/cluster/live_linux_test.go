package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/cluster/canary"
	"github.com/millrace/millrace/engine/cluster/plan"
	"github.com/millrace/millrace/engine/cluster/script"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/cluster/verify"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// limit bounds what must happen on a busy machine.
const limit = 2 * time.Minute

// live is the shared cluster with a planned virtual host of its own.
type live struct {
	*testserver.RabbitCluster
	top   *topology.Topology
	facts map[string]*snapshot.Facts // asked once: it takes seconds, and they do not change
}

// plant plans a virtual host on a cluster and applies the plan.
func plant(t *testing.T, c *testserver.RabbitCluster, profile, vhost string) *live {
	t.Helper()
	top, diags := topology.Parse("live", []byte(c.Topology(profile, vhost)), nil)
	if top == nil {
		t.Fatal(diags)
	}
	l := &live{RabbitCluster: c, top: top}
	l.await(t, "all nodes", func() error {
		for _, v := range l.snapshot(t).Views {
			if v.Err != nil {
				return v.Err
			}
		}
		return nil
	})
	l.apply(t)
	if profile == topology.Quorum {
		l.script(t, "linux", "3-queues.sh")
	}
	return l
}

// planted are the plans that tests share, by profile: after the first fault leaders
// are not on their owners any more.
var planted = map[string]*live{}

// shared returns the shared cluster with the shared plan of a profile.
func shared(t *testing.T, profile string) *live {
	t.Helper()
	c := testserver.SharedRabbitCluster(t)
	if planted[profile] == nil {
		planted[profile] = plant(t, c, profile, "shared-"+profile)
	}
	return planted[profile]
}

func (l *live) await(t *testing.T, what string, cond func() error) {
	t.Helper()
	testserver.Eventually(t, limit, what, cond)
}

func (l *live) snapshot(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	s, err := snapshot.Settled(t.Context(), l.top, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (l *live) apply(t *testing.T) {
	t.Helper()
	made := plan.Make(l.snapshot(t))
	if _, err := made.Apply(t.Context(), l.Client(l.Node("linux")), plan.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

// script runs a node's script for real.
func (l *live) script(t *testing.T, node, name string, env ...string) string {
	t.Helper()
	out, err := l.tryScript(t, node, name, env...)
	if err != nil {
		t.Fatalf("%s of %s: %v\n%s", name, node, err, out)
	}
	return out
}

func (l *live) tryScript(t *testing.T, node, name string, env ...string) (string, error) {
	t.Helper()
	files, err := script.Files(l.top)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := script.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	call := []string{"sh", filepath.Join(dir, node, name)}
	if space := l.Node(node).Space; space != "" {
		call = append([]string{"ip", "netns", "exec", space}, call...)
	}
	cmd := exec.Command(call[0], call[1:]...)
	cmd.Env = slices.Concat(l.Environment(l.Node(node)), []string{"RABBITMQ_BIN=" + l.Scripts}, env)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (l *live) endpoint(name string) canary.Endpoint {
	n := l.top.Node(name)
	return canary.Endpoint{Node: name, Address: l.top.AMQP(n), User: "guest", Password: "guest", VHost: l.top.VHost}
}

func (l *live) endpoints(names ...string) []canary.Endpoint {
	var all []canary.Endpoint
	for _, name := range names {
		all = append(all, l.endpoint(name))
	}
	return all
}

// verify makes all 22 checks, as the command does. The canary flies once the others
// have nothing to say but what is allowed.
func (l *live) verify(t *testing.T, allowed []string) verify.Report {
	t.Helper()
	s := l.snapshot(t)
	if l.facts == nil {
		s.AskFacts(t.Context(), []string{l.Ctl()})
		l.facts = s.Facts
	}
	s.Facts = l.facts
	r := verify.Run(verify.Input{Snapshot: s, NoCanary: true})
	if slices.ContainsFunc(amiss(r), func(id string) bool { return !slices.Contains(allowed, id) }) {
		return r
	}
	in := verify.Input{Snapshot: s, Canary: canary.Fly(t.Context(), l.endpoint("linux"), l.endpoints(l.top.Names()...), 10*time.Second)}
	for name, r := range in.Canary { // its two seconds are for quieter machines
		if r.Err == nil {
			in.Canary[name] = canary.Result{Took: min(r.Took, time.Second)}
		}
	}
	return verify.Run(in)
}

// amiss are the checks that are not well.
func amiss(r verify.Report) []string {
	return slices.Sorted(slices.Values(append(r.Fired(verify.Finding), r.Fired(verify.Unknown)...)))
}

// items says what was found, for a failure's message.
func items(r verify.Report) string {
	var b strings.Builder
	for _, c := range r.Checks {
		for _, i := range c.Items {
			fmt.Fprintf(&b, "\n%s %s: expected %s, seen %s", c.ID, i.Subject, i.Expected, i.Seen)
		}
	}
	return b.String()
}

// sound waits until nothing is found but what is allowed.
func (l *live) sound(t *testing.T, allowed ...string) {
	t.Helper()
	l.await(t, "a sound cluster", func() error {
		r := l.verify(t, allowed)
		for _, id := range amiss(r) {
			if !slices.Contains(allowed, id) {
				return fmt.Errorf("%s fires:%s", id, items(r))
			}
		}
		return nil
	})
}

// whole waits until a queue has all of its copies again.
func (l *live) whole(t *testing.T, queue string) {
	t.Helper()
	l.await(t, "all copies of "+queue, func() error {
		q, err := l.Client(l.Node("linux")).Queue(t.Context(), l.top.VHost, queue)
		if err != nil {
			return err
		}
		copies, want := q.Online, 3
		if l.top.Profile == topology.Mirrored {
			copies, want = q.Synced, 1
		}
		if copies == nil || len(*copies) != want {
			return fmt.Errorf("%v of %d", copies, want)
		}
		return nil
	})
}

// TestClusterPlannedAppliedVerified takes both profiles from a plan to a cluster
// without findings, breaks them in ways that change nothing on other queues, and
// mends them as verify says.
func TestClusterPlannedAppliedVerified(t *testing.T) {
	c := testserver.SharedRabbitCluster(t)
	for _, profile := range []string{topology.Quorum, topology.Mirrored} {
		t.Run(profile, func(t *testing.T) {
			l := plant(t, c, profile, "planned-"+profile)
			l.sound(t)
			if p := plan.Make(l.snapshot(t)); !p.Empty() {
				t.Errorf("applied, and still to do: %+v", p)
			}
			l.apply(t) // again
			if profile == topology.Mirrored {
				brokenMirrored(t, l)
			} else {
				brokenQuorum(t, l)
			}
			l.sound(t)
		})
	}
}

func brokenQuorum(t *testing.T, l *live) {
	hash, err := l.Tool("WIN1", "rabbitmq-diagnostics", "erlang_cookie_hash")
	cookie, readErr := os.ReadFile(l.CookieFile())
	if err := errors.Join(err, readErr); err != nil || strings.TrimSpace(hash) != snapshot.CookieHash(cookie) {
		t.Errorf("cookie hash %q, %v; computed %s", hash, err, snapshot.CookieHash(cookie))
	}
	facts, err := snapshot.ParseFacts(l.script(t, "WIN1", "facts.sh"))
	if err != nil || facts.Node != "WIN1@localhost" || facts.Partition != "pause_minority" || len(facts.Unresolved) > 0 {
		t.Errorf("facts: %+v, %v", facts, err)
	}
	l.ctl(t, "eval", `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"`+l.top.VHost+`">>, queue, <<"master.plant1">>)), rabbit_quorum_queue:transfer_leadership(Q, 'WIN2@localhost').`)
	if _, err := l.Tool("linux", "rabbitmq-queues", "delete_member", "--vhost", l.top.VHost, "master.plant2", "linux@localhost"); err != nil {
		t.Fatal(err)
	}
	l.ctl(t, "set_policy", "--vhost", l.top.VHost, "--apply-to", "queues", "limit", "plant3", `{"delivery-limit": 5}`)
	l.ctl(t, "delete_queue", "--vhost", l.top.VHost, "master.plant4")
	l.fires(t, "C08", "C10", "C11", "C13", "C14")
	l.ctl(t, "clear_policy", "--vhost", l.top.VHost, "limit")
	l.apply(t)
	l.script(t, "linux", "3-queues.sh")
}

func brokenMirrored(t *testing.T, l *live) {
	l.ctl(t, "set_policy", "--vhost", l.top.VHost, "--priority", "20", "--apply-to", "queues", "ha-all", "^master", `{"ha-mode": "all"}`)
	l.fires(t, "C08", "C12")
	l.ctl(t, "clear_policy", "--vhost", l.top.VHost, "ha-all")
}

func (l *live) ctl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := l.NodeCtl("linux", args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// fires waits until exactly these checks have findings: statistics come late.
func (l *live) fires(t *testing.T, want ...string) {
	t.Helper()
	l.await(t, fmt.Sprintf("findings %v", want), func() error {
		if r := l.verify(t, nil); !reflect.DeepEqual(amiss(r), want) {
			return fmt.Errorf("findings %v:%s", amiss(r), items(r))
		}
		return nil
	})
}
