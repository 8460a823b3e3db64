package runtime

import (
	"sync"

	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/node"
)

// phase says what the engine is doing before it runs; "" when it runs.
type phase struct {
	mu   sync.Mutex
	what string // guarded by mu
}

func (p *phase) set(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = what
}

func (p *phase) get() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.what
}

// reasons lists why the pipeline is not ready; none means that every source
// consumes, every lane moves and every sink accepts. It asks no server.
func (e *Engine) reasons() []httpapi.Reason {
	if what := e.phase.get(); what != "" {
		return []httpapi.Reason{{Component: "engine", Reason: what}}
	}
	var list []httpapi.Reason
	for _, h := range e.recorder.Holds() {
		list = append(list, httpapi.Reason{Component: h.Stage, Reason: h.Reason})
	}
	add := func(id string, s node.Status) {
		if !s.Ready {
			list = append(list, httpapi.Reason{Component: id, Reason: s.Reason})
		}
	}
	for _, s := range e.sources {
		add(s.node.ID, s.source.Status())
	}
	for _, s := range e.main.sinks {
		add(s.plan.ID, s.sink.Status())
	}
	for _, s := range e.main.stages {
		for _, n := range s.nodes {
			if p, ok := n.Transform.(interface{ Status() node.Status }); ok {
				add(n.ID, p.Status())
			}
		}
	}
	return list
}
