package faults

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

func TestMain(m *testing.M) {
	if name, version, ok := strings.Cut(filepath.Base(os.Args[0]), "@"); ok {
		servePlugin(name, version)
		return
	}
	testserver.Main(m)
}

// pipelineFile is the frame of the pipelines under test: name, more settings,
// the plugins' folder, nodes.
const pipelineFile = `kind: pipeline
version: 1
name: %s
connections:
  plants: { amqp: { urls: "${AMQP_URLS}" } }
  log:    { redis: { url: "${REDIS_URL}" } }
  store:  { sql: { dsn: "${DB_DSN}" } }
%splugins: { dir: %q }
nodes:
%s`

const sourceNode = `  - id: plant%d
    source: amqp
    with: { connection: plants, queue: master.plant%[1]d, prefetch: 500, identity: "message_id ?? payload.id" }
`

// pathNodes are a decode node, the scale plugin in a process of its own, and a
// table with an arrival counter.
const pathNodes = `  - id: readings
    transform: json
    inputs: [%s]
    with: { time: ts }
  - id: celsius
    plugin: scale@^1
    inputs: [readings]
    key: device
    with: { convert: ["C->F"] }
` + sinkNode + "    inputs: [celsius]\n"

const sinkNode = `  - id: rows
    sink: sql
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

// sources are the source nodes of these plants.
func sources(plants ...int) string {
	var b strings.Builder
	for _, i := range plants {
		fmt.Fprintf(&b, sourceNode, i)
	}
	return b.String()
}

// usual are the nodes of the pipeline from these plants to the table.
func usual(plants ...int) string {
	ids := make([]string, len(plants))
	for i, n := range plants {
		ids[i] = fmt.Sprintf("plant%d", n)
	}
	return sources(plants...) + fmt.Sprintf(pathNodes, strings.Join(ids, ", "))
}

const tableDDL = `CREATE TABLE readings (event_id BINARY(16) NOT NULL PRIMARY KEY, arrival BIGINT NOT NULL AUTO_INCREMENT UNIQUE,
 source_id VARCHAR(191) NOT NULL, plant VARCHAR(64), device VARCHAR(64) NOT NULL, n BIGINT NOT NULL, value DOUBLE)`

// setup is what a test chooses about its rig; what it leaves out is the usual.
type setup struct {
	settings string // lines of the pipeline file, such as "durability: strict\n"
	nodes    string
	plugins  string // folder of the plugins; default that of the tree
	redis    []testserver.RedisOption
	maria    *testserver.MariaDBServer // default: the shared one
	rabbit   *testserver.RabbitServer  // default: the shared one
}

// rig is one pipeline with its servers and its engine processes.
type rig struct {
	t       *testing.T
	file    string // of the pipeline called faults
	plugins string
	binary  string
	amqp    string
	redis   *testserver.RedisServer
	dsn     string
	db      *sql.DB
	env     []string
}

// build compiles the program once per test binary; with MILLRACE_RACE=1 it watches
// itself for data races.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "millrace-faults-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "engine")
	args := []string{"build", "-o", binary}
	if os.Getenv("MILLRACE_RACE") == "1" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/engine")...)
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
func newRig(t *testing.T, s setup) *rig {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, binary: binary, redis: testserver.Redis(t, s.redis...)}
	if s.rabbit == nil {
		s.rabbit = testserver.SharedRabbitMQ(t)
	}
	r.amqp = s.rabbit.VHost(t)
	if s.maria == nil {
		s.maria = testserver.SharedMariaDB(t)
	}
	r.dsn = s.maria.Database(t)
	r.db = s.maria.Open(t, r.dsn)
	r.exec(tableDDL)
	r.declareQueues()
	if s.nodes == "" {
		s.nodes = usual(1, 2, 3, 4)
	}
	if r.plugins = s.plugins; r.plugins == "" {
		r.plugins = filepath.Join(repoRoot(), "plugins", "bin")
	}
	r.file = r.write("faults", s.settings, s.nodes)
	r.env = []string{
		"AMQP_URLS=" + r.amqp, "REDIS_URL=" + r.redis.URL(), "DB_DSN=" + r.dsn,
		"XDG_RUNTIME_DIR=" + t.TempDir(), // of the lock files: other runs of this test have others
	}
	return r
}

// declareQueues makes the plants' queues: an engine never does by itself.
func (r *rig) declareQueues() {
	r.t.Helper()
	p := producer{url: r.amqp}
	if err := p.open(); err != nil {
		r.t.Fatal(err)
	}
	p.close()
}

// write makes a pipeline file and returns its path.
func (r *rig) write(name, settings, nodes string) string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), name+".yaml")
	text := fmt.Sprintf(pipelineFile, name, settings, r.plugins, nodes)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// throughProxy puts a proxy between the engine and the server whose address is in
// the variable.
func (r *rig) throughProxy(variable, addr string) *testserver.Link {
	r.t.Helper()
	link := testserver.Proxy(r.t, addr)
	r.redirect(variable, addr, link.Addr())
	return link
}

// redirect changes part of what the engine is told by a variable.
func (r *rig) redirect(variable, from, to string) {
	for i, v := range r.env {
		if strings.HasPrefix(v, variable+"=") {
			r.env[i] = redirected(v, from, to)
		}
	}
}

func redirected(url, from, to string) string { return strings.Replace(url, from, to, 1) }

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
	return r.startFile(r.file, id)
}

// startFile runs another pipeline file than the rig's own.
func (r *rig) startFile(file, id string) *engine {
	r.t.Helper()
	e := &engine{listen: freeAddr(r.t), log: &lockedBuffer{}, waited: make(chan error, 1)}
	e.cmd = exec.Command(r.binary, "run", file, "--listen", e.listen, "--id", id)
	e.cmd.Dir = repoRoot()
	e.cmd.Env = append(os.Environ(), r.env...)
	e.cmd.Stderr, e.cmd.Stdout = e.log, e.log
	if err := e.launch(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		e.kill()
		r.noBug(e)
		if r.t.Failed() {
			r.t.Logf("engine %s (pid %d) wrote:\n%s", id, e.cmd.Process.Pid, e.log.tail(6000))
		}
	})
	return e
}

// noBug fails the test if the process has met a race or panicked.
func (r *rig) noBug(e *engine) {
	r.t.Helper()
	said := e.log.tail(1 << 24)
	for _, sign := range []string{"WARNING: DATA RACE", "panic: "} {
		if at := strings.Index(said, sign); at >= 0 {
			r.t.Errorf("the engine has a bug:\n%s", said[at:min(len(said), at+6000)])
		}
	}
}

// launch starts the process. It dies with this test binary, however that ends: the
// kernel ties it to the thread that started it, which lives until the process ends.
func (e *engine) launch() error {
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := e.cmd.Start()
		started <- err
		if err == nil {
			e.waited <- e.cmd.Wait()
		}
	}()
	return <-started
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

// exit waits for the engine's end and returns its exit code, -1 after a signal.
func (r *rig) exit(e *engine) int {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "the engine's end", func() error {
		select {
		case err := <-e.waited:
			e.waited <- err
			return nil
		default:
			return errors.New("it runs")
		}
	})
	return e.cmd.ProcessState.ExitCode()
}

func (e *engine) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := e.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// get asks the engine's HTTP server.
func (e *engine) get(path string) (status int, body string, err error) {
	resp, err := http.Get("http://" + e.listen + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// awaitReady waits until /readyz says so.
func (r *rig) awaitReady(e *engine) {
	r.t.Helper()
	testserver.Eventually(r.t, time.Minute, "engine ready", func() error {
		status, body, err := e.get("/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d: %s", status, body)
		}
		return err
	})
}

// metric is the sum of a metric's samples over all labels.
func (r *rig) metric(e *engine, name string) float64 {
	r.t.Helper()
	_, body, err := e.get("/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == '{' || rest[0] == ' ') {
			fields := strings.Fields(rest)
			v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				r.t.Fatalf("metric %q: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

// awaitMetric waits until a metric has reached least.
func (r *rig) awaitMetric(e *engine, name string, least float64) {
	r.t.Helper()
	r.awaitReady(e)
	testserver.Eventually(r.t, time.Minute, name, func() error {
		if v := r.metric(e, name); v < least {
			return fmt.Errorf("%g, want %g", v, least)
		}
		return nil
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
