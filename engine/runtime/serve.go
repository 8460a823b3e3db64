package runtime

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/httpapi"
	"github.com/millrace/millrace/engine/live"
	"github.com/millrace/millrace/engine/page"
	"github.com/millrace/millrace/engine/sink/chart"
)

// openLive opens the live hub of the plan's charts.
func (e *Engine) openLive() error {
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
	e.hub = hub
	return err
}

func compileChart(source string) (chart.Getter, error) {
	program, err := expr.Compile(source)
	if err != nil {
		return nil, err
	}
	return func(ev *event.Event) (event.Value, error) { return program.Eval(ev) }, nil
}

// openHTTP listens and serves health, metrics, the live data and the page until
// background ends.
func (e *Engine) openHTTP(ctx, background context.Context, services *errgroup.Group) error {
	if err := e.openLive(); err != nil {
		return err
	}
	var files fs.FS = page.Files()
	server, err := httpapi.New(httpapi.Config{
		Listen: e.Listen, Version: e.Version, Ready: e.reasons, Metrics: e.recorder.Handler(),
		Live: e.hub, Charts: http.HandlerFunc(e.hub.ServeCharts), Page: files, Logger: e.Logger.With("part", "http"),
	})
	if err != nil {
		return err
	}
	addr, err := server.Listen(ctx)
	if err != nil {
		return fmt.Errorf("%w (another engine may be running: choose a free port with --listen)", err)
	}
	services.Go(func() error { return e.hub.Run(background) })
	services.Go(func() error { return server.Run(background) })
	if e.OnListening != nil {
		e.OnListening(addr.String())
	}
	return nil
}
