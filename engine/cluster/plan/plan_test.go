package plan

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

var update = flag.Bool("update", false, "write the golden files again")

const file = `kind: cluster
version: 1
name: test
profile: %s
nodes:
  - { name: A, os: linux }
  - { name: B, os: linux }
  - { name: C, os: linux, role: replica }
exchanges: [{ name: plant1 }]
queues: [{ name: master.plant1, owner: A }]
bindings: [{ exchange: plant1, queue: master.plant1 }]
users:
  - { name: reader, password: "hunter2", read: "^master" }
  - { name: nobody }
`

func parse(t *testing.T, profile string) *topology.Topology {
	t.Helper()
	top, diags := topology.Parse("t", fmt.Appendf(nil, file, profile), nil)
	if top == nil {
		t.Fatal(diags)
	}
	return top
}

func golden(t *testing.T, name string, p *Plan) {
	t.Helper()
	got, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), "hunter2") {
		t.Error("a password is shown")
	}
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got)+"\n" {
		t.Errorf("%s (write it again with -update):\n%s", path, got)
	}
}

func ptr[T any](v T) *T { return &v }

func node(name string) management.Node {
	return management.Node{Name: "rabbit@" + name, Running: ptr(true), Type: ptr("disc")}
}

// settled is a cluster that is as the file says.
func settled(t *testing.T, profile string) *snapshot.Snapshot {
	top := parse(t, profile)
	s := &snapshot.Snapshot{Topology: top, From: "C", Views: map[string]*snapshot.View{}, Missing: map[string]error{}}
	for _, name := range top.Names() {
		s.Views[name] = &snapshot.View{Overview: &management.Overview{ClusterName: "test"}, Nodes: []management.Node{node("A"), node("B"), node("C")}}
	}
	q := management.Queue{Name: "master.plant1", Type: top.Type(), Durable: ptr(true), Node: "rabbit@A", Messages: ptr(int64(3)), Members: &[]string{"rabbit@B", "rabbit@C", "rabbit@A"}}
	s.Shared = snapshot.Shared{
		VHosts:      []string{"/"},
		Exchanges:   []management.Exchange{{Name: "plant1", Type: "topic", Durable: ptr(true)}},
		Queues:      []management.Queue{q},
		Bindings:    []management.Binding{{Source: "plant1", Destination: "master.plant1", To: "queue", RoutingKey: "#"}},
		Users:       []management.User{{Name: "reader"}, {Name: "nobody"}},
		Permissions: []management.Permission{{User: "reader", VHost: "/", Read: "^master"}, {User: "nobody", VHost: "/"}},
	}
	for _, p := range top.Policies() {
		text, _ := json.Marshal(p.Definition)
		var def management.Table
		_ = json.Unmarshal(text, &def)
		s.Shared.Policies = append(s.Shared.Policies, management.Policy{Name: p.Name, Pattern: p.Pattern, ApplyTo: p.ApplyTo, Priority: p.Priority, Definition: def})
	}
	return s
}

func TestOfflineEverythingIsNew(t *testing.T) {
	golden(t, "offline-quorum", Offline(parse(t, topology.Quorum)))
	golden(t, "offline-mirrored", Offline(parse(t, topology.Mirrored)))
}

func TestNothingToDoWhereAllIsAsPlanned(t *testing.T) {
	for _, profile := range []string{topology.Quorum, topology.Mirrored} {
		if p := Make(settled(t, profile)); !p.Empty() {
			t.Errorf("%s: %+v", profile, p)
		}
	}
}

func TestDifferencesAreSeen(t *testing.T) {
	s := settled(t, topology.Mirrored)
	s.Shared.Exchanges[0].Type = "fanout"
	s.Shared.Queues[0].Node = "rabbit@B"
	s.Shared.Policies[0].Definition["ha-promote-on-failure"] = "always"
	s.Shared.Policies = append(s.Shared.Policies, management.Policy{Name: "ha-all", Pattern: `^master\.`, ApplyTo: "all", Priority: 10, Definition: management.Table{"ha-mode": "all"}},
		management.Policy{Name: "weaker", Pattern: ".*", ApplyTo: "queues", Priority: 1})
	s.Shared.Users = s.Shared.Users[1:]
	s.Shared.Users[0].Tags = management.Tags{"administrator"}
	s.Shared.Permissions[0].Write = ".*"
	s.Views["C"].Nodes = append(s.Views["C"].Nodes, node("OLD"))
	s.Views["C"].Nodes[1].Running = nil
	s.Views["C"].Nodes[0].Type = ptr("ram")
	golden(t, "differences-mirrored", Make(s))

	s = settled(t, topology.Quorum)
	s.Shared.Queues[0].Members = &[]string{"rabbit@A", "rabbit@B", "rabbit@D"}
	s.Shared.Bindings = nil
	golden(t, "differences-quorum", Make(s))
	s.Shared.Queues[0].Type = "classic"
	golden(t, "another-type", Make(s))
}

// TestJoinThatWouldWipeMessagesIsRefused: B is a broker of its own, with messages
// in some queue of some virtual host.
func TestJoinThatWouldWipeMessagesIsRefused(t *testing.T) {
	alone := func(messages *int64) *snapshot.Snapshot {
		s := settled(t, topology.Quorum)
		for _, v := range s.Views {
			v.Nodes = []management.Node{node("A"), node("C")}
		}
		s.Views["B"].Nodes = []management.Node{node("B")}
		s.Views["B"].Queues = []management.Queue{{Name: "old", VHost: "other", Messages: messages}, {Name: "empty", VHost: "/", Messages: ptr(int64(0))}}
		return s
	}
	for name, messages := range map[string]*int64{"seven messages": ptr(int64(7)), "not told": nil} {
		p := Make(alone(messages))
		if len(p.Refused) != 1 || !strings.Contains(p.Refused[0], "queue old of virtual host other") {
			t.Errorf("%s: refused %v", name, p.Refused)
		}
		if results, err := p.Apply(t.Context(), nil, ApplyOptions{}); !errors.Is(err, ErrRefused) || results != nil {
			t.Errorf("%s: applied: %v", name, err)
		}
	}
	if _, err := Make(alone(ptr(int64(0)))).Apply(t.Context(), nil, ApplyOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("applied before the join: %v", err)
	}
	if p := Make(alone(ptr(int64(0)))); len(p.Refused) != 0 || len(p.Joining) != 1 || p.Joining[0] != "B" {
		t.Errorf("an empty node: %+v", p)
	}
	s := alone(ptr(int64(0)))
	s.Views["B"] = &snapshot.View{Err: management.ErrAway}
	if p := Make(s); len(p.Unknown) == 0 || p.Empty() {
		t.Errorf("a node that does not answer: %+v", p)
	}
}

func TestNothingIsChangedBlindly(t *testing.T) {
	s := settled(t, topology.Quorum)
	s.Shared.Queues = nil
	s.Missing["queues"] = errors.New("status 500")
	for _, p := range []*Plan{Make(s), Offline(s.Topology)} {
		if _, err := p.Apply(t.Context(), nil, ApplyOptions{}); !errors.Is(err, ErrBlind) {
			t.Errorf("applied: %v", err)
		}
	}
}

// calls is an API that notes what it is asked and fails at one path.
type calls struct {
	mu     sync.Mutex
	list   []string
	failAt string
}

func (c *calls) client(t *testing.T) *management.Client {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		line := r.Method + " " + r.URL.EscapedPath()
		c.list = append(c.list, line)
		switch {
		case c.failAt != "" && strings.Contains(line, c.failAt):
			http.Error(w, `{"reason":"no"}`, http.StatusBadRequest)
		case r.Method == http.MethodGet:
			fmt.Fprint(w, `{"definitions":"of before"}`)
		case strings.Contains(string(body), "hunter2") && !strings.Contains(line, "/users/"):
			t.Errorf("a password goes to %s", line)
		}
	}))
	t.Cleanup(s.Close)
	return management.New(management.Options{URL: s.URL})
}

func TestApplyDeletesNothingWithoutLeave(t *testing.T) {
	s := settled(t, topology.Quorum)
	s.Shared.Queues[0].Type = "classic"
	backup := filepath.Join(t.TempDir(), "backup.json")
	var c calls
	results, err := Make(s).Apply(t.Context(), c.client(t), ApplyOptions{Backup: backup})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Kind == Replace && (r.Done || r.Why == "") {
			t.Errorf("%+v", r)
		}
	}
	if strings.Contains(fmt.Sprint(c.list), "DELETE") {
		t.Errorf("deleted: %v", c.list)
	}
	if _, err := os.Stat(backup); err == nil {
		t.Error("a backup that nobody needs")
	}
	c = calls{}
	if _, err = Make(s).Apply(t.Context(), c.client(t), ApplyOptions{LoseData: true, Backup: backup}); err != nil {
		t.Fatal(err)
	}
	want := "GET /api/definitions DELETE /api/queues/%2F/master.plant1 PUT /api/queues/%2F/master.plant1 POST /api/bindings/%2F/e/plant1/q/master.plant1"
	if got := strings.Join(c.list, " "); got != want {
		t.Errorf("calls %s", got)
	}
	info, err := os.Stat(backup)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup: %v, %v", info, err)
	}
	c = calls{} // the backup of before is not written over, and without one nothing is done
	if _, err = Make(s).Apply(t.Context(), c.client(t), ApplyOptions{LoseData: true, Backup: backup}); err == nil || strings.Contains(fmt.Sprint(c.list), "DELETE") {
		t.Errorf("%v, %v", err, c.list)
	}
}

func TestApplyStopsAtTheFirstError(t *testing.T) {
	s := settled(t, topology.Mirrored)
	s.Shared = snapshot.Shared{VHosts: []string{"/"}}
	c := calls{failAt: "/policies/"}
	var heard []string
	results, err := Make(s).Apply(t.Context(), c.client(t), ApplyOptions{Told: func(r Result) { heard = append(heard, r.Object) }})
	if err == nil || !strings.Contains(err.Error(), "policy millrace-A") {
		t.Fatalf("%v", err)
	}
	done := 0
	for i, r := range results {
		if r.Done {
			done++
		}
		if i > 1 && r.Done {
			t.Errorf("done after the error: %+v", r)
		}
	}
	if done != 1 || len(results) != len(heard) || results[len(results)-1].Why != "not reached" {
		t.Errorf("%d done, %d results, %d heard: %+v", done, len(results), len(heard), results)
	}
}

func TestApplyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := settled(t, topology.Quorum)
	s.Shared.Exchanges = nil
	var c calls
	if _, err := Make(s).Apply(ctx, c.client(t), ApplyOptions{}); err == nil {
		t.Error("no error")
	}
}
