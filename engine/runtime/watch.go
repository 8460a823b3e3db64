package runtime

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/tap"
)

const (
	statsEvery = time.Second
	tapEvery   = 500 * time.Millisecond
	keptMarks  = 256

	lettersEvery = 2 * time.Second
	lettersAgain = 30 * time.Second // after which dead letters are counted anew in any case
)

// mark is something that happened and belongs on the time axis of charts.
type mark struct {
	ID   string `json:"id"`   // the same on every connection
	Time int64  `json:"time"` // ms since the Unix epoch
	Kind string `json:"kind"` // start, reload, replay, plugin
	Text string `json:"text"` // for people
}

// markList holds the newest marks. They may be added by any goroutine.
type markList struct {
	mu    sync.Mutex
	count int
	fresh []any // that no topic has taken
}

func (m *markList) add(kind, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now().UnixMilli()
	m.count++
	m.fresh = append(m.fresh, mark{fmt.Sprintf("%d-%d", now, m.count), now, kind, text})
	if over := len(m.fresh) - keptMarks; over > 0 {
		m.fresh = m.fresh[over:]
	}
}

// plugin adds what an action changed at the nodes of a plugin, nothing if it changed
// nothing.
func (m *markList) plugin(a pluginhost.Action) {
	if len(a.Nodes) == 0 || a.State == pluginhost.Refused || a.State == pluginhost.Stopped {
		return
	}
	m.add("plugin", fmt.Sprintf("plugin %s: %s", a.Name, cmp.Or(a.Text, "trial of "+a.Nodes[0].To)))
}

func (m *markList) take(context.Context) ([]any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.fresh
	m.fresh = nil
	return out, nil
}

// watched finds the topics that viewers follow beside charts.
type watched struct {
	engine *Engine
	graph  []*live.Topic
	dlq    []*live.Topic

	mu   sync.Mutex
	taps map[string][]*live.Topic // guarded by mu; by node
}

func newWatched(e *Engine) *watched {
	name := e.pipeline().Name
	return &watched{
		engine: e, taps: map[string][]*live.Topic{},
		graph: []*live.Topic{
			live.NewState("graph", "graph:"+name, statsEvery, func(context.Context) (any, error) {
				now := e.defined.Load()
				return plan.Draw(now.file, now.plan), nil
			}),
			live.NewState("stats", "graph:"+name, statsEvery, func(context.Context) (any, error) { return e.does.Now(), nil }),
			live.NewLog("mark", "graph:"+name, statsEvery, keptMarks, e.marked.take),
		},
		dlq: []*live.Topic{live.NewState("dlq", "dlq:"+name, lettersEvery, (&letters{engine: e}).look)},
	}
}

// letters tells how many dead letters there are of each reason. All are looked
// through only if their number has changed, or now and then.
type letters struct {
	engine *Engine
	known  int64 // of the log's own count
	read   time.Time
	last   any
}

func (l *letters) look(ctx context.Context) (any, error) {
	stats, _ := l.engine.recorder.LogStats()
	if l.last != nil && stats.DeadLetters == l.known && time.Since(l.read) < lettersAgain {
		return l.last, nil
	}
	list, err := dlq.List(ctx, l.engine.log, dlq.Filter{}, "", 0)
	if err != nil {
		return nil, err
	}
	l.known, l.read = stats.DeadLetters, time.Now()
	l.last = map[string]any{"total": list.Total, "reasons": list.Reasons}
	return l.last, nil
}

// Find implements [live.Topics].
func (w *watched) Find(ctx context.Context, kind, name string) ([]*live.Topic, error) {
	pipeline := w.engine.pipeline().Name
	switch kind {
	case "graph", "dlq":
		if name != pipeline && name != "*" {
			return nil, fmt.Errorf("sub=%s:%s: expected %s:%s, the pipeline that runs here", kind, name, kind, pipeline)
		}
		if kind == "dlq" {
			return w.dlq, nil
		}
		return w.graph, nil
	case "tap":
		if !httpapi.Allowed(ctx, httpapi.Tap) {
			return nil, &live.Refusal{Code: http.StatusForbidden, Text: "sub=tap:" + name + ": this token does not allow to tap"}
		}
		return w.tap(name)
	}
	return nil, fmt.Errorf("sub=%s:%s: expected chart:KEY, graph:%s, dlq:%s or tap:NODE", kind, name, pipeline, pipeline)
}

// tap returns the topic of a node's events, which its viewers share.
func (w *watched) tap(node string) ([]*live.Topic, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if list := w.taps[node]; list != nil {
		return list, nil
	}
	s, err := w.engine.tapped.Sampler(node)
	if err != nil {
		return nil, fmt.Errorf("sub=tap:%s: %w", strconv.Quote(node), err)
	}
	w.taps[node] = []*live.Topic{live.NewPassing("tap", "tap:"+node, tapEvery, func(ctx context.Context, anew bool) ([]any, error) {
		return sample(ctx, s, anew)
	})}
	return w.taps[node], nil
}

// sample returns what passed, nothing if nothing did.
func sample(ctx context.Context, s *tap.Sampler, anew bool) ([]any, error) {
	got, err := s.Next(ctx, anew)
	if err != nil || got == nil {
		return nil, err
	}
	return []any{got}, nil
}
