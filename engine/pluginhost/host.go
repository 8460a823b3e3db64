// Package pluginhost runs plugins: programs of their own, one process for each
// plugin node, that handle the units of a stage over gRPC. It finds or builds the
// binary, starts and watches the process, and gives the stage a [node.Transform]
// like any built-in one. It is the only package of the engine that knows
// go-plugin and gRPC; it decides nothing about errors beyond their class.
package pluginhost

import (
	"context"
	"log/slog"
	"os"
	"runtime"
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
	DrainTimeout time.Duration // for an orderly end; default 3s
	BackoffFirst time.Duration // pause before the first restart, then doubled; default 100ms
	BackoffMax   time.Duration // longest pause between restarts; default 10s

	MaxAnswerBytes int64    // of one unit's whole answer; default 256 MiB
	MemoryLimit    int64    // soft limit of a plugin's Go heap (GOMEMLIMIT), bytes; default 128 MiB
	MemoryCap      int64    // hard limit of its writable memory (Linux), beyond which it dies, bytes; default 1 GiB
	Env            []string // names of environment variables that plugins see besides the usual ones
	InsecureSocket bool     // no TLS on the unix socket; its folder is private all the same
}

func (c Config) withDefaults() Config {
	defaultTo(&c.Dir, "plugins/bin")
	defaultTo(&c.SourceDir, "plugins")
	defaultTo(&c.StartTimeout, 10*time.Second)
	defaultTo(&c.CallDeadline, 10*time.Second)
	defaultTo(&c.DrainTimeout, 3*time.Second)
	defaultTo(&c.BackoffFirst, 100*time.Millisecond)
	defaultTo(&c.BackoffMax, 10*time.Second)
	defaultTo(&c.MaxAnswerBytes, 256<<20)
	defaultTo(&c.MemoryLimit, 128<<20)
	defaultTo(&c.MemoryCap, 1<<30)
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

// Host starts plugins. It may be used concurrently.
type Host struct {
	cfg      Config
	registry *registry.Registry
	building sync.Mutex // one build at a time
}

// New returns a host; it looks at no folder yet.
func New(cfg Config) *Host {
	cfg = cfg.withDefaults()
	return &Host{cfg: cfg, registry: registry.New(cfg.Dir)}
}

// NodeConfig is one plugin node of a pipeline.
type NodeConfig struct {
	Node     string         // node id; part of the ids of the node's outputs
	Pipeline string         // for the plugin's information
	Ref      string         // NAME@CONSTRAINT
	With     map[string]any // the node's configuration; must encode as JSON
	Lanes    int            // Batch.Lane is in 0..Lanes-1
	Workers  int            // processors that the plugin may use; default all
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
// it ends, until Close. ctx bounds the start alone.
//
// An error names what is wrong: no such version, a program that is no plugin, or
// every bad place of the configuration.
func (h *Host) Start(ctx context.Context, cfg NodeConfig) (*Transform, error) {
	prog, err := h.open(ctx, cfg.Ref)
	if err != nil {
		return nil, err
	}
	return startTransform(ctx, h.cfg, cfg, prog)
}
