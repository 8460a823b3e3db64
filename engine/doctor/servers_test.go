package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace/millrace/engine/catalog"
	"github.com/millrace/millrace/engine/runtime"
	"github.com/millrace/millrace/engine/source/mqtt/link"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// patient is a time that no server of these tests uses up.
const patient = time.Minute

// plant has every kind of server, two queues and a table.
const plant = `kind: pipeline
version: 1
name: plant
lanes: 4
connections:
  brokers: { amqp: { urls: "${URLS}" } }
  log: { redis: { url: "${REDIS}" } }
  store: { sql: { dsn: "${DSN}" } }
nodes:
  - { id: here, source: amqp, with: { connection: brokers, queue: q.here, identity: message_id } }
  - { id: gone, source: amqp, with: { connection: brokers, queue: q.gone, identity: message_id } }
  - { id: readings, transform: json, inputs: [here, gone] }
  - id: rows
    sink: sql
    inputs: [readings]
    with: { connection: store, table: readings, columns: [{ name: device, type: varchar(64) }, { name: value, type: double }] }
`

// parse reads text with these variables.
func parse(t *testing.T, text string, env map[string]string) *spec.Pipeline {
	t.Helper()
	p, diags := spec.Parse("plant.yaml", []byte(text), catalog.Builtin(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if p == nil {
		t.Fatal(diags)
	}
	return p
}

// check looks at p on a free port; no secret is in what it tells.
func check(t *testing.T, p *spec.Pipeline, secrets ...string) Report {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	r := Check(t.Context(), Options{Pipeline: p, Listen: "127.0.0.1:0", Timeout: patient})
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(text), secret) {
			t.Errorf("a secret is told: %s", text)
		}
	}
	return r
}

// worst returns the findings of a severity as "component: found".
func (r Report) worst(s Severity) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Severity != s })
}

// says reports whether a finding of that severity is about component and holds text.
func (r Report) says(s Severity, component, text string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Severity == s && f.Component == component && strings.Contains(f.Found, text)
	})
}

func (r Report) must(t *testing.T, s Severity, component, text string) {
	t.Helper()
	if !r.says(s, component, text) {
		t.Errorf("no %s of %s says %q in\n%s", s, component, text, shown(r.Findings))
	}
}

// TestEverythingAtOnce: four servers, each with something wrong, are told in one
// go; each told line, run as it stands, mends it, and nothing is left to mend.
func TestEverythingAtOnce(t *testing.T) {
	cli := testserver.Require(t, "redis-cli")
	redis := testserver.Redis(t, testserver.AppendFsync("everysec"), testserver.MaxMemory(1<<30))
	maria := testserver.SharedMariaDB(t)
	dsn := maria.Database(t)
	db := maria.Open(t, dsn)
	if _, err := db.Exec("CREATE TABLE readings (event_id BINARY(16) NOT NULL PRIMARY KEY, device VARCHAR(64), value INT)"); err != nil {
		t.Fatal(err)
	}
	url := testserver.SharedRabbitMQ(t).VHost(t)
	queues(t, url, "q.here")
	p := parse(t, plant, map[string]string{"URLS": url + ",amqp://guest:hidden-word@127.0.0.1:1/", "REDIS": redis.URL(), "DSN": dsn})
	secrets := []string{"guest:guest", "hidden-word", "s3cret-of-the-test"}

	r := check(t, p, secrets...)
	r.must(t, Problem, "redis log", `appendfsync is "everysec"`)
	r.must(t, Problem, "source gone", "queue q.gone: there is none")
	r.must(t, Problem, "sink rows", "readings.value: expected double, found int")
	r.must(t, Warning, "amqp brokers", "connect to broker 127.0.0.1:1")
	r.must(t, OK, "source here", "queue q.here: 0 messages, 0 consumers")
	r.must(t, OK, "amqp brokers", "RabbitMQ 3")
	r.must(t, OK, "sql store", "MariaDB")
	r.must(t, Info, "redis log", "there is no log of plant yet")
	r.must(t, Info, "sink rows", "the first start creates millrace_migrations, millrace_positions")
	if n := r.count(Problem); n != 3 || r.Has(Unknown) {
		t.Errorf("%d problems, want 3 and nothing unknown:\n%s", n, shown(r.Findings))
	}
	for _, f := range r.worst(Problem) {
		switch mend := f.Mend[0]; {
		case strings.HasPrefix(mend, "redis-cli "):
			if out, err := exec.Command(cli, strings.Fields(mend)[1:]...).CombinedOutput(); err != nil || string(out) != "OK\n" {
				t.Errorf("%s: %v: %s", mend, err, out)
			}
		case strings.HasPrefix(mend, "ALTER TABLE "):
			if _, err := db.Exec(mend); err != nil {
				t.Errorf("%s: %v", mend, err)
			}
		case mend == "rabbitmqadmin -V "+url[strings.LastIndexByte(url, '/')+1:]+" declare queue name=q.gone durable=true":
			queues(t, url, "q.gone")
		default:
			t.Errorf("unknown mend %q", mend)
		}
	}
	if r = check(t, p, secrets...); r.Has(Problem) || r.Has(Unknown) {
		t.Errorf("after all mends:\n%s", shown(r.Findings))
	}
}

// queues declares durable queues of these names.
func queues(t *testing.T, url string, names ...string) {
	t.Helper()
	conn, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNobodyAnswers: what is out of reach is told of all at once, as unknown, and
// the rest is looked at all the same.
func TestNobodyAnswers(t *testing.T) {
	p := parse(t, plant+"  - { id: celsius, plugin: nosuch@^1, inputs: [readings] }\n  - { id: live, sink: chart, inputs: [celsius], with: { chart: device, series: device, value: value } }\n", map[string]string{
		"URLS":  "amqp://u:hidden-word@127.0.0.1:1/,amqp://u:hidden-word@127.0.0.1:2/",
		"REDIS": "redis://:hidden-word@127.0.0.1:1/0", "DSN": "u:hidden-word@tcp(127.0.0.1:1)/d",
	})
	r := check(t, p, "hidden-word")
	r.must(t, Unknown, "redis log", "127.0.0.1:1")
	r.must(t, Unknown, "amqp brokers", "127.0.0.1:1")
	r.must(t, Unknown, "amqp brokers", "127.0.0.1:2")
	r.must(t, Unknown, "sql store", "127.0.0.1:1")
	r.must(t, Problem, "plugin celsius", "there is no version of nosuch")
	r.must(t, OK, "listen", "127.0.0.1:0 is free")
	if n := r.count(Unknown); n != 4 {
		t.Errorf("%d unknown, want 4:\n%s", n, shown(r.Findings))
	}
}

// TestSilentServers: servers that accept and then say nothing cost no more than
// their time, and are unknown.
func TestSilentServers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	p := parse(t, plant, map[string]string{"URLS": "amqp://u:hidden-word@" + addr, "REDIS": "redis://" + addr + "/0", "DSN": "u:hidden-word@tcp(" + addr + ")/d"})
	r := Check(t.Context(), Options{Pipeline: p, Listen: "127.0.0.1:0", Timeout: 200 * time.Millisecond})
	for _, component := range []string{"redis log", "amqp brokers", "sql store"} {
		r.must(t, Unknown, component, "")
	}
}

// TestMQTTBrokers: each of a list is logged in to; one that does not answer is a
// warning beside one that does, a wrong password is a problem and is not told.
func TestMQTTBrokers(t *testing.T) {
	broker := testserver.Mosquitto(t)
	text := strings.Replace(plant, "nodes:\n", "  field: { mqtt: { urls: \"${MQTT}\" } }\nnodes:\n  - { id: drives, source: mqtt, with: { connection: field, topics: [a/b] } }\n", 1)
	text = strings.Replace(text, "lanes: 4\n", "lanes: 4\ndurability: best_effort\n", 1)
	text = strings.Replace(text, "inputs: [here, gone]", "inputs: [here, gone, drives]", 1)
	for _, c := range []struct {
		urls     string
		severity Severity
		found    string
	}{
		{"mqtt://" + broker.Addr(), OK, "speaks MQTT 5"},
		{"mqtt://" + broker.Addr() + ",mqtt://u:hidden-word@127.0.0.1:1", Warning, "127.0.0.1:1"},
		{"mqtt://u:hidden-word@127.0.0.1:1", Unknown, "127.0.0.1:1"},
	} {
		p := parse(t, text, map[string]string{"URLS": "embedded", "REDIS": "embedded", "DSN": "embedded", "MQTT": c.urls})
		check(t, p, "hidden-word").must(t, c.severity, "mqtt field", c.found)
	}
}

func TestMQTTFindings(t *testing.T) {
	a := about{component: "mqtt field"}
	a.mqttBroker("b:1883", fmt.Errorf("log in to broker b:1883: %w", link.ErrLogin), true)
	want(t, a.findings, "problem log in to broker b:1883: user or password is not accepted -> connections.field.mqtt.urls: mqtt://USER:PASSWORD@b:1883  # reserved characters percent-encoded")
}

// TestEmbeddedIsSaid: stand-ins are information, and need no lock.
func TestEmbeddedIsSaid(t *testing.T) {
	r := check(t, parse(t, plant, map[string]string{"URLS": "embedded", "REDIS": "embedded", "DSN": "embedded"}))
	for _, component := range []string{"redis log", "amqp brokers", "sql store"} {
		r.must(t, Info, component, "embedded: in the engine's process, gone when it ends")
	}
	if r.Has(Problem) || r.Has(Unknown) || strings.Contains(shown(r.Findings), "locks") {
		t.Errorf("told:\n%s", shown(r.Findings))
	}
}

// TestRunningEngineIsNoProblem: a log in use, with other lanes than the file's only
// when they differ; a taken queue and a taken address are told, not held against it.
func TestRunningEngineIsNoProblem(t *testing.T) {
	redis, url := testserver.SharedRedis(t), testserver.SharedRabbitMQ(t).VHost(t)
	queues(t, url, "q.here", "q.gone")
	consume(t, url, "q.here")
	env := map[string]string{"URLS": url, "REDIS": redis.Database(t), "DSN": "sqlite:" + filepath.Join(t.TempDir(), "rows.db")}
	p := parse(t, strings.Replace(plant, "readings, columns", "readings, auto_create: true, columns", 1), env)
	log, err := stream.Open(t.Context(), runtime.LogConfig(p, "one", slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r := check(t, p)
	r.must(t, OK, "redis log", fmt.Sprintf("log of plant: epoch %d, 4 lanes", log.Epoch()))
	r.must(t, Info, "source here", "1 consumer: an engine may be running")
	r.must(t, Info, "sql store", "the first start makes it")
	if r.Has(Problem) || r.Has(Unknown) {
		t.Errorf("told:\n%s", shown(r.Findings))
	}
	p.Lanes = 8
	if r = check(t, p); r.count(Problem) != 1 || r.worst(Problem)[0].Mend[0] != "lanes: 4" {
		t.Errorf("other lanes:\n%s", shown(r.Findings))
	}
}

// consume takes the queue for itself, as an engine does.
func consume(t *testing.T, url, queue string) {
	t.Helper()
	conn, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Consume(queue, "", false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
}

// TestListen: free, taken by an engine, taken by others, and no address of this
// machine.
func TestListen(t *testing.T) {
	serve := func(text string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	engine, other := serve(`{"name":"millrace","version":"9.9.9"}`), serve("hello")
	for _, c := range []struct {
		address  string
		severity Severity
		found    string
	}{
		{"127.0.0.1:0", OK, "is free"},
		{engine, Warning, "taken by a running engine, version 9.9.9"},
		{other, Problem, "taken by another program"},
		{"192.0.2.1:8080", Problem, "192.0.2.1:8080"},
	} {
		found := (&checker{Options{Listen: c.address, Timeout: patient}}).listen(context.Background())
		if len(found) != 1 || found[0].Severity != c.severity || !strings.Contains(found[0].Found, c.found) || (c.severity == OK) != (found[0].Mend == nil) {
			t.Errorf("%s: %+v; want %s, %q", c.address, found, c.severity, c.found)
		}
	}
	if got := nextPort(":8080"); got != ":8081" {
		t.Errorf("after :8080 comes %s", got)
	}
}

// TestReadsOnly: neither folder nor file is made by looking.
func TestReadsOnly(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	p := parse(t, plant, map[string]string{"URLS": "embedded", "REDIS": "embedded", "DSN": "embedded"})
	c := &checker{Options{Pipeline: p, Listen: "127.0.0.1:0", Timeout: patient}}
	p.Connections["store"] = spec.Connection{SQL: &spec.SQLConnection{DSN: "sqlite:rows.db"}}
	p.Nodes = append(p.Nodes, spec.Node{ID: "celsius", Plugin: "scale@^1"})
	Check(t.Context(), c.Options)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
