package verify

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/cluster/canary"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

// recording is what every node of a healthy cluster answered, and the cluster file
// that it was made from.
type recording struct {
	Source   string                               `json:"source"` // a live server, or documentation
	Topology string                               `json:"topology"`
	Answers  map[string]map[string]map[string]any `json:"answers"` // by node and path; "body" holds the answer
	Facts    map[string]string                    `json:"facts"`
}

func load(t *testing.T, name string) *recording {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// parse reads the recorded cluster file.
func (r *recording) parse(t *testing.T) *topology.Topology {
	t.Helper()
	top, diags := topology.Parse("recorded", []byte(r.Topology), nil)
	if top == nil {
		t.Fatal(diags)
	}
	return top
}

// judged serves the recording over HTTP, takes a snapshot of it and judges that;
// the canary is said to have arrived.
func (r *recording) judged(t *testing.T, changes ...func(*Input)) Report {
	t.Helper()
	top := r.parse(t)
	for i := range top.Nodes {
		n := &top.Nodes[i]
		server := httptest.NewServer(r.node(n.Name))
		defer server.Close()
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		n.Host = u.Hostname()
		n.Ports.Management, _ = strconv.Atoi(u.Port())
	}
	s, err := snapshot.Take(t.Context(), top, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Snapshot: s, Canary: map[string]canary.Result{}}
	for name, line := range r.Facts {
		f, err := snapshot.ParseFacts(line)
		if err != nil {
			f = &snapshot.Facts{Err: err}
		}
		s.Facts[name] = f
	}
	for _, n := range top.Nodes {
		in.Canary[n.Name] = canary.Result{Took: 20 * time.Millisecond}
	}
	for _, change := range changes {
		change(&in)
	}
	return Run(in)
}

// node answers for one node. An answer may have a status of its own, and a Date.
func (r *recording) node(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		answer, ok := r.Answers[name][req.URL.EscapedPath()]
		switch {
		case r.Answers[name] == nil:
			panic(http.ErrAbortHandler) // as a node that is down
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if date, ok := answer["date"].(string); ok {
			w.Header().Set("Date", date)
		}
		if status, ok := answer["status"].(float64); ok {
			w.WriteHeader(int(status))
		}
		_ = json.NewEncoder(w).Encode(answer["body"])
	})
}

var record = flag.String("record", "", "record the healthy cluster of this cluster file; its rabbitmqctl is CTL")

// noise is left out of recordings: nobody judges it, and some of it names the
// machine.
var noise = []string{
	"contexts", "exchange_types", "auth_mechanisms", "log_files", "config_files", "db_dir", "message_stats", "churn_rates",
	"backing_queue_status", "garbage_collection", "metrics_gc_queue_length", "sample_retention_policies", "socket_opts", "stats",
	"ra_open_file_metrics", "client_properties", "open_files", "password_hash", "hashing_algorithm", "doc_url", "desc", "applications",
}

func quiet(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, sub := range v {
			if slices.Contains(noise, key) || strings.HasSuffix(key, "_details") && key != "channel_details" || strings.HasPrefix(key, "io_") || strings.HasPrefix(key, "mnesia_") {
				delete(v, key)
				continue
			}
			v[key] = quiet(sub)
		}
	case []any:
		for i := range v {
			v[i] = quiet(v[i])
		}
	}
	return v
}

// TestRecord writes a recording: go test -run '^TestRecord$' -record FILE -args
// with CTL and OUT in the environment. Consumers and publishers are connected
// meanwhile, as they would be.
func TestRecord(t *testing.T) {
	if *record == "" {
		return // nothing to record
	}
	text, err := os.ReadFile(*record)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{Source: "recorded from a live cluster of RabbitMQ 3.10.8", Topology: string(text), Answers: map[string]map[string]map[string]any{}, Facts: map[string]string{}}
	top := r.parse(t)
	connect(t, top)
	for i := range top.Nodes {
		n := &top.Nodes[i]
		r.Answers[n.Name] = map[string]map[string]any{}
		for _, path := range paths(top) {
			r.Answers[n.Name][path] = map[string]any{"body": quiet(fetch(t, top.Management(n)+path))}
		}
		out, err := exec.Command(os.Getenv("CTL"), "--quiet", "--node", n.Erlang, "eval", snapshot.Expression(snapshot.Hosts(top))).Output()
		if err != nil {
			t.Fatal(err)
		}
		r.Facts[n.Name] = strings.TrimSpace(string(out))
	}
	replica := top.Replica().Name
	for name := range r.Answers { // what is the same from every node is kept once
		maps.DeleteFunc(r.Answers[name], func(path string, _ map[string]any) bool {
			return name != replica && !slices.Contains([]string{"/api/overview", "/api/nodes", "/api/queues"}, path)
		})
	}
	out, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		err = os.WriteFile(os.Getenv("OUT"), append(out, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func paths(top *topology.Topology) []string {
	paths := []string{"/api/overview", "/api/nodes", "/api/queues", "/api/vhosts", "/api/users", "/api/permissions", "/api/feature-flags", "/api/connections"}
	for _, what := range []string{"queues", "policies", "operator-policies", "exchanges", "bindings", "consumers"} {
		paths = append(paths, "/api/"+what+"/"+url.PathEscape(top.VHost))
	}
	return paths
}

func fetch(t *testing.T, address string) any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("guest", "guest")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, resp.Status, err)
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// connect reads every queue through the replica's node and opens a connection to
// each owner, until the test ends; it waits until the API tells them.
func connect(t *testing.T, top *topology.Topology) {
	t.Helper()
	for i := range top.Nodes {
		n := &top.Nodes[i]
		conn, err := amqp091.Dial(fmt.Sprintf("amqp://guest:guest@%s/%s", top.AMQP(n), url.PathEscape(top.VHost)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if n.Role != topology.Replica {
			continue
		}
		for _, q := range top.Queues {
			ch, err := conn.Channel()
			if err == nil {
				err = ch.Qos(4000, 0, false)
			}
			if err == nil {
				_, err = ch.Consume(q.Name, "", false, false, false, false, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(fetch(t, top.Management(top.Replica())+"/api/connections").([]any)) < len(top.Nodes) {
		if time.Now().After(deadline) {
			t.Fatal("the API does not tell the connections")
		}
	}
}
