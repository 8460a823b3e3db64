package clustertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
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

// Limit bounds what must happen on a busy machine.
const Limit = 2 * time.Minute

// Planted is a cluster with a planned virtual host of its own.
type Planted struct {
	*testserver.RabbitCluster
	Top *topology.Topology
}

// kept is what is made and asked once: both take long.
var kept = struct {
	sync.Mutex
	shared map[string]*Planted // by profile
	facts  map[*testserver.RabbitCluster]map[string]*snapshot.Facts
}{shared: map[string]*Planted{}, facts: map[*testserver.RabbitCluster]map[string]*snapshot.Facts{}}

// Plant plans a virtual host on a cluster and applies the plan.
func Plant(t *testing.T, c *testserver.RabbitCluster, profile, vhost string) *Planted {
	t.Helper()
	top, diags := topology.Parse("live", []byte(c.Topology(profile, vhost)), nil)
	if top == nil {
		t.Fatal(diags)
	}
	l := &Planted{RabbitCluster: c, Top: top}
	l.Await(t, "all nodes", func() error {
		for _, v := range l.Snapshot(t).Views {
			if v.Err != nil {
				return v.Err
			}
		}
		return nil
	})
	l.Apply(t)
	if profile == topology.Quorum {
		l.Script(t, "linux", "3-queues.sh")
	}
	return l
}

// Shared returns the shared cluster with the shared plan of a profile. After the
// first fault leaders are not on their owners any more.
func Shared(t *testing.T, profile string) *Planted {
	t.Helper()
	c := testserver.SharedRabbitCluster(t)
	kept.Lock()
	defer kept.Unlock()
	if kept.shared[profile] == nil {
		kept.shared[profile] = Plant(t, c, profile, "shared-"+profile)
	}
	return kept.shared[profile]
}

// Await waits until cond returns nil, for [Limit] at most.
func (l *Planted) Await(t *testing.T, what string, cond func() error) {
	t.Helper()
	testserver.Eventually(t, Limit, what, cond)
}

// Snapshot asks all nodes.
func (l *Planted) Snapshot(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	s, err := snapshot.Settled(t.Context(), l.Top, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Apply makes what the plan lacks, as `engine cluster apply` does.
func (l *Planted) Apply(t *testing.T) {
	t.Helper()
	made := plan.Make(l.Snapshot(t))
	if _, err := made.Apply(t.Context(), l.Client(l.Node("linux")), plan.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Script runs one of a node's scripts for real and returns what it said.
func (l *Planted) Script(t *testing.T, node, name string, env ...string) string {
	t.Helper()
	out, err := l.TryScript(t, node, name, env...)
	if err != nil {
		t.Fatalf("%s of %s: %v\n%s", name, node, err, out)
	}
	return out
}

// TryScript is Script for one that may fail.
func (l *Planted) TryScript(t *testing.T, node, name string, env ...string) (string, error) {
	t.Helper()
	files, err := script.Files(l.Top)
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

// Endpoint is how a client reaches the virtual host through a node.
func (l *Planted) Endpoint(name string) canary.Endpoint {
	n := l.Top.Node(name)
	return canary.Endpoint{Node: name, Address: l.Top.AMQP(n), User: "guest", Password: "guest", VHost: l.Top.VHost}
}

// Endpoints are those of the named nodes, in this order.
func (l *Planted) Endpoints(names ...string) []canary.Endpoint {
	var all []canary.Endpoint
	for _, name := range names {
		all = append(all, l.Endpoint(name))
	}
	return all
}

// Verify makes all 22 checks, as the command does. The canary flies once the others
// have nothing to say but what is allowed.
func (l *Planted) Verify(t *testing.T, allowed []string) verify.Report {
	t.Helper()
	s := l.Snapshot(t)
	l.learn(t, s)
	r := verify.Run(verify.Input{Snapshot: s, NoCanary: true})
	if slices.ContainsFunc(Amiss(r), func(id string) bool { return !slices.Contains(allowed, id) }) {
		return r
	}
	in := verify.Input{Snapshot: s, Canary: canary.Fly(t.Context(), l.Endpoint("linux"), l.Endpoints(l.Top.Names()...), 10*time.Second)}
	for name, r := range in.Canary { // its two seconds are for quieter machines
		if r.Err == nil {
			in.Canary[name] = canary.Result{Took: min(r.Took, time.Second)}
		}
	}
	return verify.Run(in)
}

// learn fills in what management does not tell of the nodes: versions, cookie,
// clock. It does not change while the tests run.
func (l *Planted) learn(t *testing.T, s *snapshot.Snapshot) {
	kept.Lock()
	defer kept.Unlock()
	if kept.facts[l.RabbitCluster] == nil {
		s.AskFacts(t.Context(), []string{l.Ctl()})
		kept.facts[l.RabbitCluster] = s.Facts
	}
	s.Facts = kept.facts[l.RabbitCluster]
}

// Amiss are the checks that are not well.
func Amiss(r verify.Report) []string {
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

// Sound waits until nothing is found but what is allowed.
func (l *Planted) Sound(t *testing.T, allowed ...string) {
	t.Helper()
	l.Await(t, "a sound cluster", func() error {
		r := l.Verify(t, allowed)
		for _, id := range Amiss(r) {
			if !slices.Contains(allowed, id) {
				return fmt.Errorf("%s fires:%s", id, items(r))
			}
		}
		return nil
	})
}

// Whole waits until a queue has all of its copies again.
func (l *Planted) Whole(t *testing.T, queue string) {
	t.Helper()
	l.Await(t, "all copies of "+queue, func() error {
		q, err := l.Client(l.Node("linux")).Queue(t.Context(), l.Top.VHost, queue)
		if err != nil {
			return err
		}
		copies, want := q.Online, 3
		if l.Top.Profile == topology.Mirrored {
			copies, want = q.Synced, 1
		}
		if copies == nil || len(*copies) != want {
			return fmt.Errorf("%v of %d", copies, want)
		}
		return nil
	})
}

// Fires waits until exactly these checks have findings: statistics come late.
func (l *Planted) Fires(t *testing.T, want ...string) {
	t.Helper()
	l.Await(t, fmt.Sprintf("findings %v", want), func() error {
		if r := l.Verify(t, nil); !reflect.DeepEqual(Amiss(r), want) {
			return fmt.Errorf("findings %v:%s", Amiss(r), items(r))
		}
		return nil
	})
}

// Rounds is how often a fault is repeated: as given, more in the long form.
func Rounds(short, long int) int {
	if os.Getenv("MILLRACE_SOAK") == "1" {
		return long
	}
	return short
}

// Flow sends into a queue through every node but the one that will fail, and reads
// it through the replica's.
func (l *Planted) Flow(t *testing.T, queue, victim string) *canary.Flow {
	t.Helper()
	var through []canary.Endpoint
	for _, name := range l.Top.Names() {
		if name != victim {
			through = append(through, l.Endpoint(name))
		}
	}
	slices.Reverse(through)
	f := canary.NewFlow(t.Context(), canary.FlowOptions{Queue: queue, Publish: through, Consume: append(l.Endpoints("linux"), through[1:]...), Rate: 200})
	l.Await(t, "confirmed messages", func() error {
		if n := f.Confirmed(); n < 100 {
			return fmt.Errorf("%d are confirmed: %w", n, f.Trouble())
		}
		return nil
	})
	return f
}

// Moving waits until messages arrive again after a fault.
func (l *Planted) Moving(t *testing.T, f *canary.Flow) {
	t.Helper()
	l.Await(t, "messages to move again", func() error {
		if !f.Moving() {
			return fmt.Errorf("%d are confirmed: %w", f.Confirmed(), f.Trouble())
		}
		return nil
	})
}

// Exact fails unless every confirmed message has been received, and none again
// without the mark by which a reader knows it.
func Exact(t *testing.T, what string, f *canary.Flow) {
	t.Helper()
	r := f.Finish(Limit)
	t.Logf("%s: %d confirmed, %d lost, %d doubled, %d redelivered, %d connections lost; longest silence %s, first redelivery %s after the fault",
		what, r.Confirmed, len(r.Lost), r.Doubled, r.Redelivered, r.Breaks, r.Silence.Round(time.Millisecond), r.Again.Round(time.Millisecond))
	if len(r.Lost) > 0 || r.Doubled > 0 || r.Confirmed == 0 {
		t.Errorf("%s: lost %v, doubled %d", what, r.Lost, r.Doubled)
	}
}

// Lead sees to it that a node leads a queue: if another does, after a fault, the
// script puts leaders back.
func (l *Planted) Lead(t *testing.T, queue, node string) {
	t.Helper()
	if l.leads(t, queue, node) != nil {
		l.Script(t, "linux", "3-queues.sh")
	}
	l.Leads(t, queue, node)
}

// Leads waits until a node leads a queue.
func (l *Planted) Leads(t *testing.T, queue, node string) {
	t.Helper()
	l.Await(t, node+" to lead "+queue, func() error { return l.leads(t, queue, node) })
}

func (l *Planted) leads(t *testing.T, queue, node string) error {
	q, err := l.Client(l.Node("linux")).Queue(t.Context(), l.Top.VHost, queue)
	if err == nil && q.LeaderNode() != l.Top.Erlang(node) {
		err = errors.New(q.LeaderNode() + " leads")
	}
	return err
}
