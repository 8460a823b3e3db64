package runtime

import (
	"sync"

	"github.com/millrace/millrace/engine/httpapi"
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
	for _, p := range e.crew.all() {
		list = append(list, p.reasons()...)
	}
	return list
}
