// Package snapshot looks at a cluster once: every node is asked by itself what it
// sees, and one of them what all of them share. What could not be learnt is kept
// as the reason why, so that whoever judges a snapshot never takes silence for
// health. It changes nothing.
package snapshot

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/topology"
)

// Snapshot is what a cluster said when it was asked.
type Snapshot struct {
	Topology *topology.Topology
	Views    map[string]*View // by the node's name in the file; one for each node
	Facts    map[string]*Facts
	Certs    map[string]*Certificate // by node; only with TLS
	From     string                  // node that Shared is from; "" if none could tell
	Shared   Shared
	Missing  map[string]error // parts of Shared that could not be read, by their name
}

// View is what one node said by itself.
type View struct {
	Err      error // why it said nothing; nil: the rest is filled in
	Overview *management.Overview
	Nodes    []management.Node  // all nodes as it sees them
	Queues   []management.Queue // of all virtual hosts
	Skew     time.Duration      // its clock minus this one's, to about a second
	SkewErr  error
}

// Self returns what the node called erlang says about itself, nil if nothing.
func (v *View) Self(erlang string) *management.Node {
	for i := range v.Nodes {
		if v.Nodes[i].Name == erlang {
			return &v.Nodes[i]
		}
	}
	return nil
}

// Shared is what is the same from every node, in the planned virtual host.
type Shared struct {
	VHosts      []string
	Queues      []management.Queue
	Policies    []management.Policy
	Operator    []management.Policy
	Exchanges   []management.Exchange
	Bindings    []management.Binding
	Users       []management.User
	Permissions []management.Permission
	Flags       []management.Flag
	Consumers   []management.Consumer
	Connections []management.Connection
}

// Client returns a client for a node's management API.
func Client(t *topology.Topology, n *topology.Node, timeout time.Duration) (*management.Client, error) {
	trust, err := trusted(t)
	if err != nil {
		return nil, err
	}
	return management.New(management.Options{
		URL: t.Management(n), User: t.Admin.User, Password: t.Admin.Password, TLS: trust, Timeout: timeout,
	}), nil
}

// trusted is how servers are checked: by the authority of the file, or by the
// system's. nil without TLS.
func trusted(t *topology.Topology) (*tls.Config, error) {
	if t.TLS == nil {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLS.Trust == "" {
		return config, nil
	}
	pem, err := os.ReadFile(t.TLS.Trust)
	if err != nil {
		return nil, fmt.Errorf("tls.trust: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.trust: %s holds no certificate", t.TLS.Trust)
	}
	return config, nil
}

// Take asks every node at once and then one of them for what they share. The
// error says that nothing can be asked at all; what single nodes do not tell is in
// the snapshot.
func Take(ctx context.Context, t *topology.Topology, timeout time.Duration) (*Snapshot, error) {
	s := &Snapshot{Topology: t, Views: map[string]*View{}, Facts: map[string]*Facts{}, Certs: map[string]*Certificate{}, Missing: map[string]error{}}
	clients := map[string]*management.Client{}
	for i := range t.Nodes {
		c, err := Client(t, &t.Nodes[i], timeout)
		if err != nil {
			return nil, err
		}
		clients[t.Nodes[i].Name] = c
	}
	s.views(ctx, clients)
	if t.TLS != nil {
		s.certificates(ctx, timeout)
	}
	if s.From = s.spokesman(); s.From != "" {
		s.shared(ctx, clients[s.From])
	}
	return s, nil
}

func (s *Snapshot) views(ctx context.Context, clients map[string]*management.Client) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	for name, c := range clients {
		wait.Go(func() {
			v := look(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			s.Views[name] = v
		})
	}
	wait.Wait()
}

// look asks one node.
func look(ctx context.Context, c *management.Client) *View {
	v := &View{}
	asked := time.Now()
	if v.Overview, v.Err = c.Overview(ctx); v.Err != nil {
		return v
	}
	v.Skew, v.SkewErr = skew(v.Overview.Date, asked, time.Now())
	if v.Nodes, v.Err = c.Nodes(ctx); v.Err != nil {
		return v
	}
	v.Queues, v.Err = c.AllQueues(ctx)
	return v
}

// skew compares an answer's Date, whole seconds, with the time between question
// and answer.
func skew(date string, asked, answered time.Time) (time.Duration, error) {
	at, err := http.ParseTime(date)
	if err != nil {
		return 0, errors.New("the answer has no Date")
	}
	here := asked.Add(answered.Sub(asked) / 2)
	return at.Add(500 * time.Millisecond).Sub(here).Round(100 * time.Millisecond), nil
}

// spokesman is the replica's node if it answers, otherwise the first one that does.
func (s *Snapshot) spokesman() string {
	names := s.Topology.Names()
	if r := s.Topology.Replica(); r != nil {
		names = append([]string{r.Name}, names...)
	}
	for _, name := range names {
		if s.Views[name].Err == nil {
			return name
		}
	}
	return ""
}

func (s *Snapshot) shared(ctx context.Context, c *management.Client) {
	vhost, all := s.Topology.VHost, &s.Shared
	learn(s, "virtual hosts", &all.VHosts, func() ([]string, error) { return c.VHosts(ctx) })
	learn(s, "users", &all.Users, func() ([]management.User, error) { return c.Users(ctx) })
	learn(s, "permissions", &all.Permissions, func() ([]management.Permission, error) { return c.Permissions(ctx) })
	learn(s, "feature flags", &all.Flags, func() ([]management.Flag, error) { return c.Flags(ctx) })
	learn(s, "connections", &all.Connections, func() ([]management.Connection, error) { return c.Connections(ctx) })
	if s.Missing["virtual hosts"] == nil && !slices.Contains(all.VHosts, vhost) {
		return // it holds nothing yet
	}
	learn(s, "queues", &all.Queues, func() ([]management.Queue, error) { return c.Queues(ctx, vhost) })
	learn(s, "policies", &all.Policies, func() ([]management.Policy, error) { return c.Policies(ctx, vhost) })
	learn(s, "operator policies", &all.Operator, func() ([]management.Policy, error) { return c.OperatorPolicies(ctx, vhost) })
	learn(s, "exchanges", &all.Exchanges, func() ([]management.Exchange, error) { return c.Exchanges(ctx, vhost) })
	learn(s, "bindings", &all.Bindings, func() ([]management.Binding, error) { return c.Bindings(ctx, vhost) })
	learn(s, "consumers", &all.Consumers, func() ([]management.Consumer, error) { return c.Consumers(ctx, vhost) })
}

// learn fills in a part, or notes why it is missing.
func learn[T any](s *Snapshot, part string, into *[]T, ask func() ([]T, error)) {
	answer, err := ask()
	if err != nil {
		s.Missing[part] = err
		return
	}
	*into = answer
}

// Queue returns a queue of the planned virtual host, nil if there is none.
func (s *Snapshot) Queue(name string) *management.Queue {
	for i := range s.Shared.Queues {
		if s.Shared.Queues[i].Name == name {
			return &s.Shared.Queues[i]
		}
	}
	return nil
}

// Members returns RabbitMQ's names of the nodes of the cluster as its spokesman
// sees them.
func (s *Snapshot) Members() []string {
	var names []string
	if v := s.Views[s.From]; v != nil {
		for _, n := range v.Nodes {
			names = append(names, n.Name)
		}
	}
	return names
}

// Refused returns the first login that was refused, nil if none was: nothing can
// be told with a wrong password.
func (s *Snapshot) Refused() error {
	for _, name := range s.Topology.Names() {
		if v := s.Views[name]; errors.Is(v.Err, management.ErrLogin) {
			return v.Err
		}
	}
	return nil
}

// Statistics of RabbitMQ come at intervals, 5 s unless it is set otherwise: a queue
// that is new, or that has a new leader, says nothing until then.
const (
	settleTries = 9
	settlePause = 2 * time.Second
)

// Settled takes a snapshot, and takes it again for as long as a queue of a running
// node has not told its state, a quarter of a minute at most.
func Settled(ctx context.Context, t *topology.Topology, timeout time.Duration) (*Snapshot, error) {
	for try := 1; ; try++ {
		s, err := Take(ctx, t, timeout)
		if err != nil || try == settleTries || !s.unsettled() {
			return s, err
		}
		timer := time.NewTimer(settlePause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return s, nil
		case <-timer.C:
		}
	}
}

func (s *Snapshot) unsettled() bool {
	for _, q := range s.Shared.Queues {
		if q.State == "" {
			return true
		}
	}
	return false
}
