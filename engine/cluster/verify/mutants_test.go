package verify

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/cluster/canary"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

var healthy = []string{"3.10.8-quorum", "3.10.8-mirrored", "3.13-documented", "4.1-documented"}

func TestHealthyClusterHasNoFinding(t *testing.T) {
	for _, name := range healthy {
		r := load(t, name)
		if report := r.judged(t); report.Status != OK {
			t.Errorf("%s (%s): %s", name, r.Source, unhealthy(report))
		}
	}
}

func unhealthy(r Report) string {
	var bad []Check
	for _, c := range r.Checks {
		if c.Status != OK {
			bad = append(bad, c)
		}
	}
	b, _ := json.MarshalIndent(bad, "", " ")
	return string(b)
}

// list is the answer at a path of a node.
func (r *recording) list(node, path string) []any {
	return r.Answers[node][path]["body"].([]any)
}

// named is the item of a list whose name is as given.
func named(list []any, name string) map[string]any {
	for _, item := range list {
		if m := item.(map[string]any); m["name"] == name {
			return m
		}
	}
	panic("no " + name)
}

// self is what a node says about itself.
func (r *recording) self(node string) map[string]any {
	return named(r.list(node, "/api/nodes"), node+"@localhost")
}

// queue is master.plant1 as the replica's node tells it.
func (r *recording) queue() map[string]any {
	for path := range r.Answers["linux"] {
		if strings.HasPrefix(path, "/api/queues/") {
			return named(r.list("linux", path), "master.plant1")
		}
	}
	panic("no queues")
}

func (r *recording) part(what string) (path string) {
	for path := range r.Answers["linux"] {
		if strings.HasPrefix(path, "/api/"+what+"/") {
			return path
		}
	}
	panic("no " + what)
}

func (r *recording) set(what string, list any) {
	r.Answers["linux"][r.part(what)]["body"] = list
}

// add puts a setting into master.plant1's effective policy.
func (r *recording) add(key string, value any) {
	r.queue()["effective_policy_definition"].(map[string]any)[key] = value
}

type mutant struct {
	name   string
	from   string // recording
	fires  []string
	change func(r *recording)
	input  func(*Input)
	status Status
}

const quorum, mirrored, four = "3.10.8-quorum", "3.10.8-mirrored", "4.1-documented"

var mutants = []mutant{
	{name: "another cookie", from: quorum, fires: []string{"C01"}, change: func(r *recording) {
		r.Facts["WIN2"] = strings.Replace(r.Facts["WIN2"], "cookie_hash=", "cookie_hash=x", 1)
	}},
	{name: "not the cookie given", from: quorum, fires: []string{"C01"}, input: func(in *Input) { in.CookieHash = snapshot.CookieHash([]byte("OTHER")) }},
	{name: "neither hash nor links", from: quorum, fires: []string{"C01", "C07"}, status: Unknown, change: func(r *recording) {
		delete(r.Facts, "WIN2")
		delete(r.self("WIN2"), "cluster_links")
	}},
	{name: "a node is down", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		delete(r.Answers, "WIN3")
	}},
	{name: "a node does not say that it runs", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		delete(named(r.list("linux", "/api/nodes"), "WIN3@localhost"), "running")
	}},
	{name: "a node is not a member", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		r.Answers["linux"]["/api/nodes"]["body"] = slices.DeleteFunc(r.list("linux", "/api/nodes"), func(x any) bool {
			return x.(map[string]any)["name"] == "WIN3@localhost"
		})
	}},
	{name: "a member too much", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		for node := range r.Answers {
			r.Answers[node]["/api/nodes"]["body"] = append(r.list(node, "/api/nodes"), map[string]any{"name": "rabbit@OLD", "running": true})
		}
	}},
	{name: "a node sees other members", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		r.Answers["WIN2"]["/api/nodes"]["body"] = r.list("WIN2", "/api/nodes")[1:]
	}},
	{name: "a node in maintenance", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		named(r.list("linux", "/api/nodes"), "WIN3@localhost")["being_drained"] = true
	}},
	{name: "a name does not resolve", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		r.Facts["WIN1"] = strings.Replace(r.Facts["WIN1"], "unresolved=", "unresolved=WIN9", 1)
	}},
	{name: "a management API that was stopped", from: quorum, fires: []string{"C02"}, change: func(r *recording) {
		r.Answers["WIN1"]["/api/overview"]["status"] = float64(http.StatusServiceUnavailable)
	}},
	{name: "another RabbitMQ", from: quorum, fires: []string{"C03"}, change: func(r *recording) {
		r.Answers["WIN4"]["/api/overview"]["body"].(map[string]any)["rabbitmq_version"] = "3.10.7"
	}},
	{name: "a RabbitMQ that the file does not expect", from: quorum, fires: []string{"C03"}, change: func(r *recording) {
		r.Topology = strings.Replace(r.Topology, "version: 1\n", "version: 1\nrabbitmq: {version: \"3.11\"}\n", 1)
	}},
	{name: "another Erlang", from: quorum, fires: []string{"C03"}, change: func(r *recording) {
		r.Answers["WIN4"]["/api/overview"]["body"].(map[string]any)["erlang_version"] = "24.3"
	}},
	{name: "no Erlang told", from: quorum, fires: []string{"C03"}, change: func(r *recording) {
		delete(r.Answers["WIN4"]["/api/overview"]["body"].(map[string]any), "erlang_version")
	}},
	{name: "a feature flag is off", from: quorum, fires: []string{"C03"}, change: func(r *recording) {
		r.list("linux", "/api/feature-flags")[0].(map[string]any)["state"] = "disabled"
	}},
	{name: "no feature flags", from: quorum, fires: []string{"C03"}, change: func(r *recording) {
		r.Answers["linux"]["/api/feature-flags"]["body"] = []any{}
	}},
	{name: "the replica is a ram node", from: quorum, fires: []string{"C04"}, change: func(r *recording) { r.self("linux")["type"] = "ram" }},
	{name: "no type told", from: quorum, fires: []string{"C04"}, change: func(r *recording) { delete(r.self("WIN1"), "type") }},
	{name: "a partition that one node sees", from: quorum, fires: []string{"C05"}, change: func(r *recording) {
		r.self("WIN2")["partitions"] = []any{"linux@localhost"}
	}},
	{name: "no partitions told", from: quorum, fires: []string{"C05"}, change: func(r *recording) { delete(r.self("WIN2"), "partitions") }},
	{name: "a memory alarm", from: quorum, fires: []string{"C06"}, change: func(r *recording) { r.self("WIN2")["mem_alarm"] = true }},
	{name: "a disk alarm", from: quorum, fires: []string{"C06"}, change: func(r *recording) { r.self("WIN2")["disk_free_alarm"] = true }},
	{name: "no alarms told", from: quorum, fires: []string{"C06"}, change: func(r *recording) { delete(r.self("WIN2"), "mem_alarm") }},
	{name: "another partition handling", from: quorum, fires: []string{"C07"}, change: func(r *recording) {
		r.Facts["WIN2"] = strings.Replace(r.Facts["WIN2"], "pause_minority", "ignore", 1)
	}},
	{name: "no facts", from: quorum, fires: []string{"C07"}, status: Unknown, change: func(r *recording) { r.Facts = nil }},
	{name: "facts cut short", from: quorum, fires: []string{"C07"}, status: Unknown, change: func(r *recording) { r.Facts["WIN2"] = "node=WIN2@localhost" }},
	{name: "ha-all on all", from: mirrored, fires: []string{"C08"}, change: func(r *recording) {
		r.add("ha-mode", "all")
		r.queue()["policy"] = "ha-all"
	}},
	{name: "no policy in effect", from: mirrored, fires: []string{"C08", "C12"}, change: func(r *recording) { r.queue()["effective_policy_definition"] = []any{} }},
	{name: "the policy in effect is not told", from: mirrored, fires: []string{"C08", "C12"}, change: func(r *recording) { delete(r.queue(), "effective_policy_definition") }},
	{name: "mirrors on RabbitMQ 4", from: four, fires: []string{"C09"}, change: func(r *recording) {
		r.set("policies", append(r.list("linux", r.part("policies")), map[string]any{"name": "ha-all", "pattern": "^other", "definition": map[string]any{"ha-mode": "all"}}))
	}},
	{name: "a mirror leads", from: mirrored, fires: []string{"C10"}, change: func(r *recording) {
		q := r.queue()
		q["node"], q["slave_nodes"], q["synchronised_slave_nodes"] = "linux@localhost", []any{"WIN1@localhost"}, []any{"WIN1@localhost"}
	}},
	{name: "another member leads", from: quorum, fires: []string{"C10"}, change: func(r *recording) { r.queue()["leader"] = "WIN2@localhost" }},
	{name: "no leader", from: quorum, fires: []string{"C10"}, change: func(r *recording) {
		delete(r.queue(), "leader")
		delete(r.queue(), "node")
	}},
	{name: "an unsynchronised mirror", from: mirrored, fires: []string{"C11"}, change: func(r *recording) { r.queue()["synchronised_slave_nodes"] = []any{} }},
	{name: "mirrors not told", from: mirrored, fires: []string{"C11"}, change: func(r *recording) { delete(r.queue(), "slave_nodes") }},
	{name: "synchronised mirrors not told", from: mirrored, fires: []string{"C11"}, change: func(r *recording) { delete(r.queue(), "synchronised_slave_nodes") }},
	{name: "no member on the replica", from: quorum, fires: []string{"C11"}, change: func(r *recording) {
		r.queue()["members"] = []any{"WIN1@localhost", "WIN2@localhost", "WIN3@localhost"}
	}},
	{name: "a member is offline", from: quorum, fires: []string{"C11"}, change: func(r *recording) { r.queue()["online"] = []any{"WIN1@localhost", "WIN2@localhost"} }},
	{name: "who is online is not told", from: quorum, fires: []string{"C11"}, change: func(r *recording) { delete(r.queue(), "online") }},
	{name: "members not told", from: quorum, fires: []string{"C11"}, change: func(r *recording) { delete(r.queue(), "members") }},
	{name: "an unsynchronised mirror may become leader", from: mirrored, fires: []string{"C08", "C12"}, change: func(r *recording) { r.add("ha-promote-on-failure", "always") }},
	{name: "a queue is missing", from: quorum, fires: []string{"C13"}, change: func(r *recording) {
		r.set("queues", slices.DeleteFunc(r.list("linux", r.part("queues")), func(x any) bool { return x.(map[string]any)["name"] == "master.plant1" }))
	}},
	{name: "a transient queue", from: mirrored, fires: []string{"C13"}, change: func(r *recording) { r.queue()["durable"] = false }},
	{name: "durable is not told", from: mirrored, fires: []string{"C13"}, change: func(r *recording) { delete(r.queue(), "durable") }},
	{name: "another type of queue", from: mirrored, fires: []string{"C13"}, change: func(r *recording) { r.queue()["type"] = "stream" }},
	{name: "an exchange is missing", from: quorum, fires: []string{"C13"}, change: func(r *recording) { r.set("exchanges", []any{}) }},
	{name: "a binding is missing", from: quorum, fires: []string{"C13"}, change: func(r *recording) { r.set("bindings", []any{}) }},
	{name: "the virtual host is missing", from: quorum, fires: []string{"C13"}, change: func(r *recording) { r.Answers["linux"]["/api/vhosts"]["body"] = []any{} }},
	{name: "a delivery limit", from: quorum, fires: []string{"C08", "C14"}, change: func(r *recording) { r.add("delivery-limit", 20) }},
	{name: "a delivery limit of its own", from: quorum, fires: []string{"C14"}, change: func(r *recording) { r.queue()["arguments"].(map[string]any)["x-delivery-limit"] = 5 }},
	{name: "the limit that RabbitMQ 4 has by itself", from: four, fires: []string{"C08", "C14"}, change: func(r *recording) { r.queue()["effective_policy_definition"] = map[string]any{} }},
	{name: "messages that expire", from: quorum, fires: []string{"C14"}, change: func(r *recording) { r.queue()["arguments"].(map[string]any)["x-message-ttl"] = 1000 }},
	{name: "a longest queue", from: quorum, fires: []string{"C08", "C14"}, change: func(r *recording) { r.add("max-length", 1000) }},
	{name: "dead letters that nobody planned", from: quorum, fires: []string{"C08", "C14"}, change: func(r *recording) { r.add("dead-letter-exchange", "x") }},
	{name: "a queue without a state", from: quorum, fires: []string{"C15"}, change: func(r *recording) { delete(r.queue(), "state") }},
	{name: "a queue that is down", from: mirrored, fires: []string{"C15"}, change: func(r *recording) { r.queue()["state"] = "down" }},
	{name: "a queue in the minority", from: quorum, fires: []string{"C15"}, change: func(r *recording) { r.queue()["state"] = "minority" }},
	{name: "nobody reads", from: quorum, fires: []string{"C16"}, change: func(r *recording) {
		r.Topology += "consumers: { required: true }\n"
		r.set("consumers", []any{})
	}},
	{name: "a reader without acknowledgements", from: quorum, fires: []string{"C16"}, change: func(r *recording) { r.consumer()["ack_required"] = false }},
	{name: "a reader without a prefetch limit", from: quorum, fires: []string{"C16"}, change: func(r *recording) { r.consumer()["prefetch_count"] = 0 }},
	{name: "a reader that tells no prefetch", from: quorum, fires: []string{"C16"}, change: func(r *recording) { delete(r.consumer(), "prefetch_count") }},
	{name: "two readers", from: quorum, fires: []string{"C16"}, change: func(r *recording) {
		r.set("consumers", append(r.list("linux", r.part("consumers")), maps.Clone(r.consumer())))
	}},
	{name: "all connections on one node", from: quorum, fires: []string{"C17"}, change: func(r *recording) {
		for _, c := range r.list("linux", "/api/connections") {
			c.(map[string]any)["node"] = "WIN1@localhost"
		}
	}},
	{name: "no AMQP listener", from: quorum, fires: []string{"C18"}, change: func(r *recording) {
		r.Answers["WIN1"]["/api/overview"]["body"].(map[string]any)["listeners"] = []any{}
	}},
	{name: "guest beside another administrator", from: quorum, fires: []string{"C18"}, change: func(r *recording) {
		r.Topology = strings.Replace(r.Topology, "${CLUSTER_ADMIN:guest}", "boss", 1)
	}},
	{name: "users not told", from: quorum, fires: []string{"C18"}, status: Unknown, change: func(r *recording) {
		r.Topology = strings.Replace(r.Topology, "${CLUSTER_ADMIN:guest}", "boss", 1)
		r.Answers["linux"]["/api/users"]["status"] = float64(http.StatusUnauthorized)
	}},
	{name: "a plugin is off", from: quorum, fires: []string{"C20"}, change: func(r *recording) {
		r.Topology += "plugins: [rabbitmq_management, rabbitmq_mqtt]\n"
	}},
	{name: "a plugin on one node only", from: quorum, fires: []string{"C20"}, change: func(r *recording) {
		r.self("WIN1")["enabled_plugins"] = []any{"rabbitmq_management", "rabbitmq_shovel"}
	}},
	{name: "plugins not told", from: quorum, fires: []string{"C20"}, change: func(r *recording) { delete(r.self("WIN1"), "enabled_plugins") }},
	{name: "a clock that is wrong", from: quorum, fires: []string{"C21"}, change: func(r *recording) {
		r.Answers["WIN1"]["/api/overview"]["date"] = time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat)
	}},
	{name: "no clock told", from: quorum, fires: []string{"C21"}, change: func(r *recording) { r.Answers["WIN1"]["/api/overview"]["date"] = "never" }},
	{name: "a canary is lost", from: quorum, fires: []string{"C22"}, input: func(in *Input) { in.Canary["WIN1"] = canary.Result{Err: errors.New("lost")} }},
	{name: "a slow canary", from: quorum, fires: []string{"C22"}, input: func(in *Input) { in.Canary["WIN1"] = canary.Result{Took: 3 * time.Second} }},
	{name: "no canary", from: quorum, fires: []string{"C22"}, status: Unknown, input: func(in *Input) { delete(in.Canary, "WIN1") }},
	{name: "nobody answers", from: quorum, status: Unknown, change: func(r *recording) { r.Answers = nil }},
}

func (r *recording) consumer() map[string]any {
	return r.list("linux", r.part("consumers"))[0].(map[string]any)
}

// TestVerifyMutants breaks a healthy recording in one way each: the right checks
// fire, and no other.
func TestVerifyMutants(t *testing.T) {
	if len(mutants) < 30 {
		t.Fatalf("%d mutants", len(mutants))
	}
	fired := map[string]bool{}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			r := load(t, m.from)
			if m.change != nil {
				m.change(r)
			}
			input := m.input
			if input == nil {
				input = func(*Input) {}
			}
			report := r.judged(t, input)
			want := m.status
			if want == "" {
				want = Finding
			}
			if report.Status != want {
				t.Errorf("status %s, want %s", report.Status, want)
			}
			got := slices.Sorted(slices.Values(append(report.Fired(Finding), report.Fired(Unknown)...)))
			if m.fires != nil && !reflect.DeepEqual(got, m.fires) {
				t.Errorf("fired %v, want %v: %s", got, m.fires, unhealthy(report))
			}
			for _, id := range got {
				fired[id] = true
			}
			everyItemTellsAll(t, report)
		})
	}
	for _, c := range load(t, quorum).judged(t).Checks {
		if !fired[c.ID] && c.ID != "C19" { // certificates: their own test
			t.Errorf("%s fires for no mutant", c.ID)
		}
	}
}

func everyItemTellsAll(t *testing.T, report Report) {
	t.Helper()
	for _, c := range report.Checks {
		if c.Status != OK && c.Status != Skipped && len(c.Items) == 0 {
			t.Errorf("%s is %s without an item", c.ID, c.Status)
		}
		for _, i := range c.Items {
			if i.Subject == "" || i.Expected == "" || i.Seen == "" || i.Status == Finding && i.Mend == "" {
				t.Errorf("%s: incomplete: %+v", c.ID, i)
			}
		}
	}
}

// TestCertificates: one that is refused, that ends soon, and that was not looked at.
func TestCertificates(t *testing.T) {
	r := load(t, quorum)
	plan := "tls: { linux: { authority: a, certificate: b, key: c } }\n"
	for want, c := range map[Status]*snapshot.Certificate{
		OK:      {Ends: time.Now().Add(60 * 24 * time.Hour)},
		Finding: {Ends: time.Now().Add(24 * time.Hour)},
		Unknown: nil,
	} {
		report := r.judged(t, func(in *Input) {
			top, diags := topology.Parse("t", []byte(r.Topology+plan), nil)
			if top == nil {
				t.Fatal(diags)
			}
			in.Snapshot.Topology = top
			for _, n := range top.Nodes {
				in.Snapshot.Certs[n.Name] = &snapshot.Certificate{Ends: time.Now().Add(1000 * time.Hour)}
			}
			in.Snapshot.Certs["WIN1"] = c
		})
		if got := report.Checks[18]; got.ID != "C19" || got.Status != want {
			t.Errorf("%s: %+v", want, got)
		}
		// planned TLS, and listeners without: C18
		if got := report.Checks[17]; got.Status != Finding {
			t.Errorf("plain listeners pass: %+v", got)
		}
	}
}

// TestEveryMissingFieldIsNoticed takes each field that verify looks at out of each
// answer in turn: never is a cluster healthier for it.
func TestEveryMissingFieldIsNoticed(t *testing.T) {
	needed := map[string][]string{
		"self":  {"type", "running", "partitions", "mem_alarm", "disk_free_alarm", "enabled_plugins"},
		"queue": {"type", "durable", "auto_delete", "state", "effective_policy_definition"},
	}
	for _, from := range []string{quorum, mirrored} {
		for _, field := range needed["self"] {
			r := load(t, from)
			delete(r.self("linux"), field)
			if report := r.judged(t); report.Status != Finding {
				t.Errorf("%s: a node without %s passes for healthy", from, field)
			}
		}
		for _, field := range needed["queue"] {
			r := load(t, from)
			delete(r.queue(), field)
			if report := r.judged(t); report.Status != Finding {
				t.Errorf("%s: a queue without %s passes for healthy", from, field)
			}
		}
	}
}
