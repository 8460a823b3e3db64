package runtime

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/live/socket"
	"github.com/millrace/millrace/engine/page"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/redact"
	"github.com/millrace/millrace/engine/sink/chart"
	"github.com/millrace/millrace/engine/status"
	"github.com/millrace/millrace/engine/tap"
)

// openLive opens the live hub of the plan's charts and runs it until background
// ends, and opens the taps.
func (e *Engine) openLive(background context.Context, services *errgroup.Group) error {
	e.tapped = tap.New(tap.Config{Log: e.log, Plan: e.Plan, Logger: e.Logger.With("part", "tap"), Redact: e.redactions})
	e.taps.set(e.tapped)
	e.watched = newWatched(e)
	hub, err := e.hub(e.Plan.Charts)
	if err != nil {
		return err
	}
	e.draw = func(hub *live.Hub) *drawing {
		ctx, stop := context.WithCancel(background)
		services.Go(func() error { return hub.Run(ctx) })
		return &drawing{hub, stop}
	}
	e.drawn.Store(e.draw(hub))
	e.live.set(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("replay") {
			e.replays.serveLive(w, r)
			return
		}
		e.drawn.Load().hub.ServeHTTP(w, r)
	}))
	e.charts.set(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.drawn.Load().hub.ServeCharts(w, r) }))
	return nil
}

// redactions are what the pipeline's file hides of events now.
func (e *Engine) redactions() *redact.Rules {
	rules, err := redact.Parse(e.pipeline().Tap.Redact)
	if err != nil {
		panic("runtime: redactions of a file that was checked: " + err.Error())
	}
	return rules
}

// drawing is a hub at work.
type drawing struct {
	hub  *live.Hub
	stop context.CancelFunc
}

// hub returns a hub that draws charts; it must be run.
func (e *Engine) hub(list []plan.Chart) (*live.Hub, error) {
	charts := make([]live.Chart, 0, len(list))
	for _, c := range list {
		sink, err := chart.New(c.ID, *c.Spec.With.(*chart.Options), compileChart)
		if err != nil {
			return nil, err
		}
		charts = append(charts, live.Chart{Sink: sink, Edges: c.Edges})
	}
	return live.New(live.Config{
		Log: liveLog{e.log}, Charts: charts, Pipeline: e.Pipeline.Name, Version: e.Version, Embedded: e.embedded.any(),
		Topics: e.watched, Logger: e.Logger.With("part", "live"),
	})
}

func compileChart(source string) (chart.Getter, error) {
	program, err := expr.Compile(source)
	if err != nil {
		return nil, err
	}
	return func(ev *event.Event) (event.Value, error) { return program.Eval(ev) }, nil
}

// openHTTP listens and serves health, metrics and the page until background ends,
// and the live data from the moment that there is a log to read.
func (e *Engine) openHTTP(ctx, background context.Context, services *errgroup.Group) error {
	server, err := httpapi.New(httpapi.Config{
		Listen: e.Listen, Access: e.Access, Version: e.Version, Ready: e.reasons, Metrics: e.recorder.Handler(),
		Live: &e.live, Charts: &e.charts, Page: page.Files(), Logger: e.Logger.With("part", "http"),
		Routes: e.resources(),
		Streams: map[string]http.Handler{
			"GET /api/v1/tap/{node}": &e.taps, "GET /api/v1/live/ws": socket.Handler(&e.live, e.Access.Origins),
		},
	})
	if err != nil {
		return err
	}
	addr, err := server.Listen(ctx)
	if err != nil {
		return fmt.Errorf("%w (another engine may be running: choose a free port with --listen)", err)
	}
	services.Go(func() error { return server.Run(background) })
	if e.OnListening != nil {
		e.OnListening(addr.String())
	}
	return nil
}

// status is what the engine does, also while it is starting.
func (e *Engine) status() *status.Source {
	return status.New(status.Config{
		Pipeline: e.pipeline, Generation: e.Generation, Version: e.Version, Recorder: e.recorder, Reasons: e.reasons,
		Plugins: e.programs,
	})
}

// programs are what plugin nodes run, by node.
func (e *Engine) programs() map[string]status.Plugin {
	list := map[string]status.Plugin{}
	host := e.hosting.Load()
	if host == nil {
		return list
	}
	for _, s := range host.States() {
		if _, known := list[s.Node]; !known { // dead letters may be driven through the node again beside it
			list[s.Node] = status.Plugin{Runs: s.Runs, Restarts: s.Restarts, Spare: s.Spare, Reason: s.Reason}
		}
	}
	return list
}

// routed serves handlers by their patterns.
func routed(routes map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.Handle(pattern, handler)
	}
	return mux
}

// resources are what the engine serves beside the page, by pattern.
func (e *Engine) resources() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /api/v1/dlq": &e.dlq, "GET /api/v1/dlq/": &e.dlq, "POST /api/v1/dlq/": &e.dlq,
		"GET /api/v1/status":  e.does,
		"GET /api/v1/plugins": &e.plugins, "GET /api/v1/plugins/": &e.plugins, "POST /api/v1/plugins/": &e.plugins,
		"GET /api/v1/reload": &e.reloaded, "POST /api/v1/reload": &e.reloaded,
		"GET /api/v1/replays": &e.replayed, "POST /api/v1/replays": &e.replayed,
		"GET /api/v1/replays/": &e.replayed, "POST /api/v1/replays/": &e.replayed, "DELETE /api/v1/replays/": &e.replayed,
	}
}

// later is a handler that is there before what it serves. Until then it asks to
// come again.
type later struct{ handler atomic.Pointer[http.Handler] }

func (l *later) set(h http.Handler) { l.handler.Store(&h) }

// ServeHTTP implements [http.Handler].
func (l *later) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := l.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "the engine is starting, see /readyz", http.StatusServiceUnavailable)
}
