package pluginkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/node/transformtest"
	"github.com/millrace/millrace/engine/pluginhost"
)

// ErrNoExamples marks a plugin whose folder holds no example.
var ErrNoExamples = errors.New("no examples")

// Trial is what the examples of one plugin have shown.
type Trial struct {
	Binary pluginhost.Binary
	Cases  []CaseResult
}

// OK reports whether every example held.
func (t *Trial) OK() bool {
	return !slices.ContainsFunc(t.Cases, func(c CaseResult) bool { return len(c.Broken) > 0 })
}

// CaseResult is one example with the promises that it showed to be broken.
type CaseResult struct {
	File, Name string
	Broken     []transformtest.Violation
}

// lanes is how many lanes call the plugin at once.
const lanes = 4

// Try runs every example of source/name/examples, and every promise that a
// transform makes with its inputs, through processes of the plugin as host finds
// or builds it; one process for each configuration. An error means that the
// plugin could not be tried, not that it failed.
func Try(ctx context.Context, host *pluginhost.Host, source, name string) (*Trial, error) {
	if err := pluginhost.CheckName(name); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(source, name, "examples", "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("plugin %q: %w: there is no YAML file in %s", name, ErrNoExamples, filepath.Join(source, name, "examples"))
	}
	bin, err := host.Resolve(name)
	if err != nil {
		return nil, err
	}
	trial := &Trial{Binary: bin}
	for _, file := range files {
		if err := trial.file(ctx, host, file); err != nil {
			return nil, fmt.Errorf("plugin %q: %w", name, err)
		}
	}
	return trial, nil
}

func (t *Trial) file(ctx context.Context, host *pluginhost.Host, file string) error {
	cases, err := transformtest.Load(file)
	if err != nil {
		return err
	}
	open := &processes{ctx: ctx, host: host, ref: t.Binary.Name + "@" + t.Binary.Version, running: map[string]*pluginhost.Transform{}}
	defer open.close()
	for _, c := range cases {
		broken := transformtest.Check(ctx, transformtest.Suite{Cases: []transformtest.Case{c}, Lanes: lanes, Open: open.open})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t.Cases = append(t.Cases, CaseResult{File: file, Name: c.Name, Broken: once(broken)})
	}
	return nil
}

// once leaves of violations of equal text the first: a plugin that does not start
// breaks every promise alike.
func once(all []transformtest.Violation) []transformtest.Violation {
	var kept []transformtest.Violation
	seen := map[string]bool{}
	for _, v := range all {
		if text := v.Err.Error(); !seen[text] {
			seen[text] = true
			kept = append(kept, v)
		}
	}
	return kept
}

// processes keeps one process for each configuration: the suite opens a transform
// for each promise, and a start costs more than the promise.
type processes struct {
	ctx     context.Context // of the one call of Try that it serves
	host    *pluginhost.Host
	ref     string
	running map[string]*pluginhost.Transform // by node and configuration
}

func (p *processes) open(nodeID string, options map[string]any) (node.Transform, error) {
	config, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	key := nodeID + string(config)
	if tr := p.running[key]; tr != nil {
		return shared{tr}, nil
	}
	tr, err := p.host.Start(p.ctx, pluginhost.NodeConfig{Node: nodeID, Pipeline: "examples", Ref: p.ref, With: options, Lanes: lanes})
	if err != nil {
		return nil, err
	}
	p.running[key] = tr
	return shared{tr}, nil
}

func (p *processes) close() {
	for _, tr := range p.running {
		_ = tr.Close() // always nil
	}
}

// shared is a transform that outlives its Close.
type shared struct{ *pluginhost.Transform }

// Close does nothing; the process ends with all of them.
func (shared) Close() error { return nil }
