package faults

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// pipelineFile is the pipeline under test: four queues, a decode node, the scale
// plugin in a process of its own, and a table with an arrival counter.
const pipelineFile = `kind: pipeline
version: 1
name: %s
connections:
  plants: { amqp: { urls: "${AMQP_URLS}" } }
  log:    { redis: { url: "${REDIS_URL}" } }
  store:  { sql: { dsn: "${DB_DSN}" } }
plugins: { dir: %q }
nodes:
%s  - id: readings
    transform: json
    inputs: [plant1, plant2, plant3, plant4]
    with: { time: ts }
  - id: celsius
    plugin: scale@^1
    inputs: [readings]
    key: device
    with: { convert: ["C->F"] }
  - id: rows
    sink: sql
    inputs: [celsius]
    with:
      connection: store
      table: readings
      columns:
        - { name: source_id, from: root_id }
        - { name: plant, from: node }
        - { name: device }
        - { name: n }
        - { name: value }
`

const sourceNode = `  - id: plant%d
    source: amqp
    with: { connection: plants, queue: master.plant%d, prefetch: 500, identity: "message_id ?? payload.id" }
`

const tableDDL = `CREATE TABLE readings (event_id BINARY(16) NOT NULL PRIMARY KEY, arrival BIGINT NOT NULL AUTO_INCREMENT UNIQUE,
 source_id VARCHAR(191) NOT NULL, plant VARCHAR(64), device VARCHAR(64) NOT NULL, n BIGINT NOT NULL, value DOUBLE)`

// rig is one pipeline with its servers and its engine process.
type rig struct {
	t      *testing.T
	name   string
	file   string
	binary string
	amqp   string
	redis  *testserver.RedisServer
	dsn    string
	db     *sql.DB
	env    []string
}

// build compiles the program once per test binary.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "millrace-faults-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "engine")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/engine")
	cmd.Dir = repoRoot()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

func repoRoot() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}

// newRig starts servers for one test and writes its pipeline file.
func newRig(t *testing.T) *rig {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, name: "faults", binary: binary, redis: testserver.Redis(t)}
	r.amqp = testserver.SharedRabbitMQ(t).VHost(t)
	maria := testserver.SharedMariaDB(t)
	r.dsn = maria.Database(t)
	r.db = maria.Open(t, r.dsn)
	r.exec(tableDDL)
	var sources strings.Builder
	for i := range 4 {
		fmt.Fprintf(&sources, sourceNode, i+1, i+1)
	}
	r.file = filepath.Join(t.TempDir(), "faults.yaml")
	text := fmt.Sprintf(pipelineFile, r.name, filepath.Join(repoRoot(), "plugins", "bin"), sources.String())
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = []string{"AMQP_URLS=" + r.amqp, "REDIS_URL=" + r.redis.URL(), "DB_DSN=" + r.dsn}
	return r
}

func (r *rig) exec(statement string) {
	r.t.Helper()
	if _, err := r.db.Exec(statement); err != nil {
		r.t.Fatalf("%s: %v", statement, err)
	}
}

// engine is one process of the program under test.
type engine struct {
	cmd    *exec.Cmd
	listen string
	log    *lockedBuffer
	waited chan error
}

// start runs the engine under id. It is killed at the test's end if it still runs.
func (r *rig) start(id string) *engine {
	r.t.Helper()
	e := &engine{listen: freeAddr(r.t), log: &lockedBuffer{}, waited: make(chan error, 1)}
	e.cmd = exec.Command(r.binary, "run", r.file, "--listen", e.listen, "--id", id)
	e.cmd.Dir = repoRoot()
	e.cmd.Env = append(os.Environ(), r.env...)
	e.cmd.Stderr, e.cmd.Stdout = e.log, e.log
	if err := e.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { e.waited <- e.cmd.Wait() }()
	r.t.Cleanup(func() {
		e.kill()
		if r.t.Failed() {
			r.t.Logf("engine %s (pid %d) wrote:\n%s", id, e.cmd.Process.Pid, e.log.tail(6000))
		}
	})
	return e
}

// kill ends the engine with SIGKILL and waits until it is gone.
func (e *engine) kill() {
	_ = e.cmd.Process.Kill() // fails only if it has ended
	e.wait()
}

// wait returns the engine's end; it may be called again.
func (e *engine) wait() error {
	err := <-e.waited
	e.waited <- err
	return err
}

func (e *engine) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := e.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// awaitReady waits until /readyz says so.
func (r *rig) awaitReady(e *engine) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "engine ready", func() error {
		resp, err := http.Get("http://" + e.listen + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		return err
	})
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// lockedBuffer collects what a process writes.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.buf.String()
	return s[max(0, len(s)-n):]
}
