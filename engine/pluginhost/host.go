// Package pluginhost runs plugins: programs of their own, one process for each
// plugin node, that handle the units of a stage, over sockets or gRPC. It finds or
// builds the binary, starts and watches the process, and gives the stage a
// [node.Transform] like any built-in one. It is the only package of the engine that knows
// go-plugin and gRPC; it decides nothing about errors beyond their class.
package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/pluginhost/registry"
)

// Config says where plugins are and how long they may take. Zero fields have the
// defaults named here.
type Config struct {
	Dir       string       // binaries NAME@VERSION; default plugins/bin
	SourceDir string       // sources NAME/, built when no binary fits; default plugins, "-" never builds
	Logger    *slog.Logger // default: discard

	StartTimeout time.Duration // from the start of a process to its first unit; default 10s
	CallDeadline time.Duration // of one unit; a plugin that takes longer is killed; default 10s
	HealthEvery  time.Duration // a plugin without a unit for so long is asked whether it lives; default 5s
	DrainTimeout time.Duration // for an orderly end; default 3s
	BackoffFirst time.Duration // pause before the first restart, then doubled; default 100ms
	BackoffMax   time.Duration // longest pause between restarts; default 10s
	ProbeTimeout time.Duration // for the events, one by one, of a unit that ended the process twice; default 1m

	// Told is called with each action when the trial of its new version begins and when
	// it has its outcome. It must return soon and ask nothing of the host. nil: nobody.
	Told func(Action)

	Trial time.Duration // for which a new version is watched and the one before kept ready; default 30s
	Watch time.Duration // between two looks at the folder; default 1s

	RestartBudget int           // restarts within RestartWindow; beyond it each waits for RestartPause; default 10
	RestartWindow time.Duration // a process that runs for so long fills the budget again; default 5m
	RestartPause  time.Duration // before each restart that the budget does not cover; default 1m

	MaxKeyState  int64 // of one key's state, bytes; what would put more becomes a dead letter; default 1 MiB
	MaxUnitState int64 // of the state of all keys of one unit, bytes; a unit with more is divided; default 64 MiB

	// What a plugin may take. Only Linux enforces the limits from MemoryCap on;
	// HOSTILE.md says how, and what they do not reach.
	MaxAnswerBytes int64 // of one unit's whole answer; default 64 MiB
	MemoryLimit    int64 // soft limit of a plugin's Go heap (GOMEMLIMIT), bytes; default 128 MiB
	MemoryCap      int64 // hard limit of its writable memory, beyond which it dies, bytes; default 1 GiB
	OpenFiles      int   // at once; default 1024
	FileSize       int64 // of a file that it writes, bytes; default 1 GiB
	Processes      int   // with those that it starts; more end them all; default 32
	Nice           int   // how much it stands back for others in want of a processor, 1..19; default 5

	Env            []string          // names of environment variables that plugins see besides the usual ones
	Attach         map[string]string // plugins that run already, by name: their sockets; see [ParseAttach]
	InsecureSocket bool              // no TLS on the unix socket; its folder is private all the same

	overGRPC bool // no lane sockets: for tests
}

func (c Config) withDefaults() Config {
	defaultTo(&c.Dir, "plugins/bin")
	defaultTo(&c.SourceDir, "plugins")
	defaultTo(&c.StartTimeout, 10*time.Second)
	defaultTo(&c.CallDeadline, 10*time.Second)
	defaultTo(&c.HealthEvery, 5*time.Second)
	defaultTo(&c.DrainTimeout, 3*time.Second)
	defaultTo(&c.BackoffFirst, 100*time.Millisecond)
	defaultTo(&c.BackoffMax, 10*time.Second)
	defaultTo(&c.Trial, 30*time.Second)
	defaultTo(&c.Watch, time.Second)
	defaultTo(&c.ProbeTimeout, time.Minute)
	defaultTo(&c.RestartBudget, 10)
	defaultTo(&c.RestartWindow, 5*time.Minute)
	defaultTo(&c.RestartPause, time.Minute)
	defaultTo(&c.MaxAnswerBytes, 64<<20)
	defaultTo(&c.MaxKeyState, 1<<20)
	defaultTo(&c.MaxUnitState, 64<<20)
	defaultTo(&c.MemoryLimit, 128<<20)
	defaultTo(&c.MemoryCap, 1<<30)
	defaultTo(&c.OpenFiles, 1024)
	defaultTo(&c.FileSize, 1<<30)
	defaultTo(&c.Processes, 32)
	defaultTo(&c.Nice, 5)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Host starts plugins, and puts other versions in their place. It may be used
// concurrently.
type Host struct {
	cfg      Config
	registry *registry.Registry
	building sync.Mutex // one build at a time

	stopped context.Context // ends with Close
	stop    context.CancelFunc
	under   sync.WaitGroup // actions under way
	told    sync.Map       // warnings that have been logged

	mu       sync.Mutex
	nodes    []*Transform         // guarded by mu: those that follow the folder
	actions  []*action            // guarded by mu: the latest last
	busy     map[string]*action   // guarded by mu: what is under way, by plugin name
	failed   map[string]time.Time // guarded by mu: when an action last failed, by plugin name
	numbers  int                  // guarded by mu: of actions so far
	attached map[string]string    // guarded by mu: node that a plugin of Config.Attach works for; it has one configuration
}

// New returns a host; it looks at no folder yet.
func New(cfg Config) *Host {
	cfg = cfg.withDefaults()
	h := &Host{cfg: cfg, registry: registry.New(cfg.Dir), busy: map[string]*action{}, failed: map[string]time.Time{}}
	h.stopped, h.stop = context.WithCancel(context.Background())
	return h
}

// Close ends what is under way: a trial ends without a judgement. Nodes are closed
// by whoever started them.
func (h *Host) Close() error {
	h.stop()
	h.under.Wait()
	return nil
}

// NodeConfig is one plugin node of a pipeline.
type NodeConfig struct {
	Node     string         // node id; part of the ids of the node's outputs
	Pipeline string         // for the plugin's information
	Ref      string         // NAME@CONSTRAINT
	With     map[string]any // the node's configuration; must encode as JSON
	Reads    string         // what its inputs hand on, "record" or "payload"; "": unknown
	Lanes    int            // Batch.Lane is in 0..Lanes-1
	Workers  int            // processors that the plugin may use; default all
	Follow   bool           // other versions take the place of this one while units pass
	Inputs   []string       // streams whose events reach the node; one that keeps state may have only one
	States   StateVersions  // where layouts of the node's state are noted; nil: nowhere, and nothing is checked
}

// allowed names the environment that every plugin sees; nothing else of the
// host's environment, which may hold secrets, gets there.
var allowed = []string{"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"}

// environment returns what the process of a node starts with.
func (c Config) environment(workers int) []string {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	env := []string{
		"GOMEMLIMIT=" + strconv.FormatInt(c.MemoryLimit, 10),
		"GOGC=400", // a plugin lives on short-lived chunks: fewer collections of a small heap
		"GOMAXPROCS=" + strconv.Itoa(workers),
		"GOTRACEBACK=single",
	}
	for _, name := range append(allowed, c.Env...) {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Start finds the binary that cfg.Ref names, starts and configures its process
// and returns the transform that speaks to it. The process is restarted whenever
// it ends, until Close. ctx bounds the start alone. A version that does not start is
// quarantined, and the next one taken, if there is another that may run.
//
// An error names what is wrong: no such version, a program that is no plugin, state
// of the node that the plugin cannot read ([ErrState]), or every bad place of the
// configuration.
func (h *Host) Start(ctx context.Context, cfg NodeConfig) (*Transform, error) {
	if prog, err := h.attach(ctx, cfg.Node, cfg.Ref); err != nil {
		return nil, err
	} else if prog != nil {
		patient := h.cfg
		patient.StartTimeout, patient.CallDeadline, patient.RestartBudget = patience, patience, math.MaxInt
		return startTransform(ctx, patient, cfg, prog)
	}
	prog, err := h.open(ctx, cfg.Ref)
	if err != nil {
		return nil, err
	}
	for {
		t, err := startTransform(ctx, h.cfg, cfg, prog)
		if err == nil {
			h.enlist(t)
			return t, nil
		}
		next := h.instead(ctx, cfg.Ref, prog.Binary, err)
		if next == nil {
			return nil, err
		}
		prog = next
	}
}

// instead quarantines a version that did not start and returns another that may
// run; nil, and nothing is changed, if there is none or the fault is not the version's.
func (h *Host) instead(ctx context.Context, ref string, failed Binary, reason error) *registry.Program {
	if _, config := errors.AsType[*ConfigError](reason); config || ctx.Err() != nil {
		return nil
	}
	name, constraint, err := parseRef(ref)
	if err != nil {
		return nil
	}
	other, err := h.registry.Best(name, constraint, func(f registry.File) bool { return f.Version.Original() == failed.Version }, func(error) {})
	if err != nil {
		return nil
	}
	prog, err := h.registry.Open(other)
	if err != nil {
		return nil
	}
	h.cfg.Logger.Error("plugin does not start, another version is taken", "plugin", failed.String(), "instead", prog.String(), "error", reason)
	if err := h.registry.Set(failed.Name, failed.Version, registry.Quarantined, clip(reason.Error(), 400)); err != nil {
		h.cfg.Logger.Error("plugin is not quarantined", "plugin", failed.String(), "error", err)
	}
	return prog
}

// enlist has t follow the folder, if it is to, until it is closed.
func (h *Host) enlist(t *Transform) {
	if !t.node.Follow {
		return
	}
	t.leave = func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.nodes = slices.DeleteFunc(h.nodes, func(other *Transform) bool { return other == t })
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nodes = append(h.nodes, t)
}
