package runtime

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/page"
	"github.com/millrace/millrace/engine/sink/chart"
	"github.com/millrace/millrace/engine/stream"
)

// openLive opens the live hub of the plan's charts and runs it until background
// ends.
func (e *Engine) openLive(background context.Context, services *errgroup.Group) error {
	charts := make([]live.Chart, 0, len(e.Plan.Charts))
	for _, c := range e.Plan.Charts {
		sink, err := chart.New(c.ID, *c.Spec.With.(*chart.Options), compileChart)
		if err != nil {
			return err
		}
		charts = append(charts, live.Chart{Sink: sink, Edges: c.Edges})
	}
	hub, err := live.New(live.Config{
		Log: liveLog{e.log}, Charts: charts, Pipeline: e.Pipeline.Name, Version: e.Version, Embedded: e.embedded.any(),
		Logger: e.Logger.With("part", "live"),
	})
	if err != nil {
		return err
	}
	e.live.set(hub)
	e.charts.set(http.HandlerFunc(hub.ServeCharts))
	services.Go(func() error { return hub.Run(background) })
	return nil
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
		Listen: e.Listen, Version: e.Version, Ready: e.reasons, Metrics: e.recorder.Handler(),
		Live: &e.live, Charts: &e.charts, Page: page.Files(), Logger: e.Logger.With("part", "http"),
		Routes: map[string]http.Handler{"GET /api/v1/dlq": &e.dlq, "GET /api/v1/dlq/": &e.dlq, "POST /api/v1/dlq/": &e.dlq},
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

// deadLetters serves the log's dead letters, which driver drives again.
func deadLetters(log *stream.Log, driver dlq.Driver) http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range dlq.Routes(log, driver) {
		mux.Handle(pattern, handler)
	}
	return mux
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
