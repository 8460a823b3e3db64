//go:build bench

package bench

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/testserver"
)

const pipelineFile = `kind: pipeline
version: 1
name: %s
durability: %s
connections:
  plants: { amqp: { urls: "${AMQP_URLS}" } }
  log:    { redis: { url: "${REDIS_URL}" } }
  store:  { sql: { dsn: "${DB_DSN}" } }
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
        - { name: metric }
        - { name: event_time, from: time }
        - { name: value }
        - { name: unit }
        - { name: plugin, from: plugin }
  - id: live
    sink: chart
    inputs: [celsius]
    with: { chart: metric, series: device, value: value }
`

// process is the engine under measurement.
type process struct {
	cmd    *exec.Cmd
	file   string // of the pipeline
	listen string
}

// start runs the engine on a fresh pipeline name, or again on an old one.
func (s *servers) start(name, durability, dsn string, args ...string) *process {
	s.t.Helper()
	var sources strings.Builder
	for i, q := range queues {
		fmt.Fprintf(&sources, "  - id: plant%d\n    source: amqp\n    with: { connection: plants, queue: %s, prefetch: 4000, identity: message_id }\n", i+1, q)
	}
	file := filepath.Join(s.t.TempDir(), name+".yaml")
	must(s.t, os.WriteFile(file, fmt.Appendf(nil, pipelineFile, name, durability, sources.String()), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	p := &process{file: file, listen: l.Addr().String()}
	must(s.t, l.Close())
	p.cmd = exec.Command(s.bin, append([]string{"run", file, "--listen", p.listen, "--id", "bench", "--log-level", "warn"}, args...)...)
	if dir := os.Getenv("BENCH_PROFILES"); dir != "" {
		p.cmd.Args = append(p.cmd.Args, "--cpu-profile", filepath.Join(dir, name+".cpu"))
	}
	p.cmd.Dir = "../.."
	p.cmd.Stderr, p.cmd.Stdout = os.Stderr, os.Stderr
	p.cmd.Env = append(os.Environ(), "AMQP_URLS="+s.broker(), "REDIS_URL="+s.redis.URL(), "DB_DSN="+dsn)
	must(s.t, p.cmd.Start())
	return p
}

func (s *servers) broker() string {
	if s.url != "" {
		return s.url
	}
	return s.rabbit.AMQPURL()
}

// stop drains the engine and returns what it and its plugins have used.
func (p *process) stop(t testing.TB) usage {
	t.Helper()
	u := usageOf(p.cmd.Process.Pid)
	must(t, p.cmd.Process.Signal(os.Interrupt))
	must(t, p.cmd.Wait())
	return u
}

// awaitUp waits until the engine answers.
func (p *process) awaitUp(t testing.TB) {
	testserver.Eventually(t, time.Minute, "engine up", func() error {
		resp, err := http.Get("http://" + p.listen + "/healthz")
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	})
}

// metric returns the sum of the samples whose line starts with prefix.
func (p *process) metric(prefix string) float64 {
	resp, err := http.Get("http://" + p.listen + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	sum := 0.0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			v, _ := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
			sum += v
		}
	}
	return sum
}

const (
	ingestedMetric = "millrace_ingested_events_total{"
	storedMetric   = `millrace_node_events_out_total{node="rows"}`
)

// drain waits until the engine has stored count events and returns how long that
// took from the first one taken in: the start of processes is not counted.
func (p *process) drain(t testing.TB, began string, count int) time.Duration {
	t.Helper()
	p.awaitUp(t)
	for p.metric(began) == 0 {
		pause(2 * time.Millisecond)
	}
	start := time.Now()
	for p.metric(storedMetric) < float64(count) {
		pause(5 * time.Millisecond)
	}
	return time.Since(start)
}
