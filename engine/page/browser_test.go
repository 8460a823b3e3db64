package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/livetest"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/sink/chart"
)

// TestPageInChromium runs the scenarios of e2e in a headless browser, each file
// against a hub and a server of its own in this process, over a log in memory that the
// scenarios write through a control address.
func TestPageInChromium(t *testing.T) {
	program := node(t)
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		skip(t, "playwright-core is not installed: run `go tool task ui`")
	}
	browser := chromium(t)
	files, err := filepath.Glob("e2e/*.mjs")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files of scenarios: %v", len(files), err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".mjs"); name != "browser" { // what they share
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				play(t, program, browser, file, extensions[name])
			})
		}
	}
}

// extensions give the engine of a file of scenarios what others do without.
var extensions = map[string]func(*engine){"letters": withLetters, "golden": withGolden}

// patience bounds one scenario, in ms.
func patience() string {
	if os.Getenv("MILLRACE_SOAK") == "1" {
		return "1500000"
	}
	return "240000"
}

// play runs one file of scenarios.
func play(t *testing.T, program, browser, file string, extend func(*engine)) {
	e := newEngine(t, extend)
	control := httptest.NewServer(e)
	defer control.Close()
	defer e.stop()
	run := exec.CommandContext(t.Context(), program, "--test", "--test-reporter=spec",
		"--test-timeout="+patience(), "--test-force-exit", file)
	run.Env = append(os.Environ(), "PAGE_URL=http://"+e.address, "CONTROL_URL="+control.URL, "CHROMIUM="+browser,
		"PROFILE="+t.TempDir(), "SCREENSHOTS="+os.Getenv("PAGE_SCREENSHOTS"))
	text, err := run.CombinedOutput()
	t.Logf("%s", text)
	if err != nil {
		t.Fatal(err)
	}
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	skip(t, "chromium is not installed")
	return ""
}

// engine is a hub and its server, which scenarios stop, start and feed.
type engine struct {
	t       *testing.T
	address string

	mu   sync.Mutex
	log  *livetest.Log // guarded by mu
	end  func()        // guarded by mu; nil while stopped
	next uint64        // guarded by mu; epoch of the next log

	topics topics

	configure func(*httpapi.Config) // of the server, before every start; may be nil
	more      http.Handler          // of control addresses; may be nil
}

// topics are the states beside charts, by the name of their event, as scenarios set them,
// or functions that return them.
type topics struct{ states sync.Map }

// Find implements [live.Topics]: graph:* has graph and stats, any other kind an
// event of its own name.
func (s *topics) Find(_ context.Context, kind, name string) ([]*live.Topic, error) {
	events := []string{kind}
	if kind == "graph" {
		events = append(events, "stats", "mark")
	}
	var list []*live.Topic
	for _, event := range events {
		list = append(list, live.NewState(event, kind+":"+name, 100*time.Millisecond, func(context.Context) (any, error) {
			v, ok := s.states.Load(event)
			if !ok {
				return nil, errors.New("not set")
			}
			if look, ok := v.(func() (any, error)); ok {
				return look()
			}
			return v, nil
		}))
	}
	return list, nil
}

func newEngine(t *testing.T, extend func(*engine)) *engine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, address: l.Addr().String(), log: livetest.NewLog(1, 2), next: 2}
	_ = l.Close() // only its port was wanted
	if extend != nil {
		extend(e)
	}
	e.start()
	return e
}

func (e *engine) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.end != nil {
		return
	}
	hub := e.hub()
	config := httpapi.Config{Listen: e.address, Version: "test", Live: hub, Charts: http.HandlerFunc(hub.ServeCharts), Page: Files()}
	if e.configure != nil {
		e.configure(&config)
	}
	server, err := httpapi.New(config)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := server.Listen(ctx); err != nil {
		e.t.Fatal(err)
	}
	var wait sync.WaitGroup
	for _, run := range []func(context.Context) error{hub.Run, server.Run} {
		wait.Go(func() {
			if err := run(ctx); err != nil {
				e.t.Error(err)
			}
		})
	}
	e.end = func() { cancel(); wait.Wait() }
}

func (e *engine) hub() *live.Hub {
	sink, err := chart.New("live", chart.Options{Chart: "metric", Series: "device", Unit: "unit", Title: "Plant readings", Charts: looks}, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	hub, err := live.New(live.Config{
		Log: e.log, Pipeline: "charts", Version: "test", Embedded: true, Ping: time.Second,
		Topics: &e.topics,
		Charts: []live.Chart{{Sink: sink, Edges: []plan.Edge{{Node: "celsius", Stream: "readings"}}}},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return hub
}

func (e *engine) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.end != nil {
		e.end()
		e.end = nil
	}
}

// point is one reading that a scenario feeds, of the time At, ms since the Unix epoch, or
// Ago ms before now. One that was stored then is in the log as if it had come at its time.
type point struct {
	Metric, Device, Unit string
	At, Ago              int64
	Value                float64
	Stored               bool
}

// ServeHTTP is the control address: POST /feed, /stop, /start, /forget (an empty
// log of another epoch, while stopped), /tell?event=graph (a state beside charts).
func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/feed":
		var points []point
		if err := json.NewDecoder(r.Body).Decode(&points); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.feed(points)
	case "/tell":
		var v any
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.topics.states.Store(r.URL.Query().Get("event"), v)
	case "/stop":
		e.stop()
	case "/start":
		e.start()
	case "/forget":
		e.mu.Lock()
		e.log = livetest.NewLog(e.next, 2)
		e.next++
		e.mu.Unlock()
	default:
		if e.more == nil {
			http.NotFound(w, r)
			return
		}
		e.more.ServeHTTP(w, r)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (e *engine) feed(points []point) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now().UnixMilli()
	for _, p := range points {
		if p.At == 0 {
			p.At = now - p.Ago
		}
		stored := now
		if p.Stored {
			stored = p.At
		}
		e.log.AppendAt(stored, "readings", len(p.Device)%2, livetest.Reading(p.Metric, p.Device, p.At, p.Value, p.Unit))
	}
}

// TestPageCommittedWithoutNode looks at the committed page with a browser alone:
// this needs neither Node nor the page's packages.
func TestPageCommittedWithoutNode(t *testing.T) {
	browser := chromium(t)
	e := newEngine(t, nil)
	defer e.stop()
	e.feed([]point{{Metric: "temperature", Device: "pump-7", Unit: "C", Ago: 1000, Value: 41.25}, {Metric: "temperature", Device: "pump-8", Unit: "C", Ago: 500, Value: 17.5}})
	tab := openTab(t, browser, "http://"+e.address+"/")
	tab.until(`document.querySelector('.chip')?.dataset.state === 'live'`)
	for _, want := range []string{"temperature", "pump-7", "41.25", "pump-8", "17.5", "Embedded mode"} {
		tab.until(fmt.Sprintf("document.body.innerText.includes(%q)", want))
	}
	tab.until(painted)
	e.feed([]point{{Metric: "temperature", Device: "pump-7", Unit: "C", Value: 43.75}})
	tab.until(`document.body.innerText.includes("43.75")`)
	e.stop()
	tab.until(`document.querySelector('.chip').dataset.state === 'reconnecting'`)
	tab.until(`document.body.innerText.includes("43.75")`)
	e.feed([]point{{Metric: "temperature", Device: "pump-7", Unit: "C", Value: 44.5}})
	e.start()
	tab.until(`document.body.innerText.includes("44.5")`)
}

// painted is true once a chart has pixels of the first line's colour.
const painted = `(() => {
	const c = document.querySelector('.card canvas');
	if (!c || !c.width) return false;
	const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
	let n = 0;
	for (let i = 0; i < d.length; i += 4) if (d[i] < 40 && d[i + 1] > 90 && d[i + 1] < 140 && d[i + 2] > 150) n++;
	return n > 2;
})()`
