package runtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/ingest"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/source/amqp"
	"github.com/millrace/millrace/engine/source/amqp/follow"
	"github.com/millrace/millrace/engine/source/mqtt"
	"github.com/millrace/millrace/engine/source/stock"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stream"
)

// sourceRun is one source of the plan, open.
type sourceRun struct {
	engine   *Engine
	spec     *spec.Pipeline // the file that names it
	node     *spec.Node
	source   node.Source
	follower *follow.Follower // nil: not watched
	identify ingest.Identify
	key      func(m *node.Message, ev *event.Event) (string, error)
}

// openSource makes a source of the file, which connects to nothing before it runs.
func (e *Engine) openSource(file *spec.Pipeline, id string) (*sourceRun, error) {
	r := &sourceRun{engine: e, spec: file, node: file.Node(id)}
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("source %q: %w", id, err)
	}
	return r, nil
}

func (r *sourceRun) open() (err error) {
	var identity string
	switch opts := r.node.With.(type) {
	case *amqp.Options:
		identity = opts.Identity
		r.source, err = r.openAMQP(opts)
	case *mqtt.Options:
		identity = opts.Identity
		r.source, err = mqtt.New(mqtt.Config{
			Options: *opts, URLs: []string{r.spec.Connections[opts.Connection].Address().Reveal()}, Name: r.name(), Log: r.engine.Logger,
		})
	case *stock.RedisOptions:
		identity = opts.Identity
		r.source, err = stock.RedisStream(stock.RedisConfig{
			RedisOptions: *opts, URL: r.engine.address(r.spec, opts.Connection), Name: r.name(), Log: r.engine.Logger,
		})
	default:
		err = fmt.Errorf("no source is built for options of type %T", opts)
	}
	if err != nil {
		return err
	}
	if identity != "" {
		program, err := expr.CompileIdentity(identity)
		if err != nil {
			return err
		}
		r.identify = program.Identity
	}
	return r.compileKey()
}

func (r *sourceRun) compileKey() error {
	if r.node.Key == "" {
		return nil
	}
	program, err := expr.Compile(r.node.Key)
	if err != nil {
		return err
	}
	r.key = func(_ *node.Message, ev *event.Event) (string, error) { return program.EvalString(ev) }
	return nil
}

func (r *sourceRun) name() string { return r.spec.Name + "." + r.node.ID }

func (r *sourceRun) openAMQP(opts *amqp.Options) (node.Source, error) {
	conn := r.spec.Connections[opts.Connection]
	if conn.Embedded() {
		return r.engine.embedded.queues.Source(opts.Queue), nil
	}
	urls := strings.Split(conn.Address().Reveal(), ",")
	cfg := amqp.Config{
		Options: *opts, URLs: urls, Name: r.name(), Log: r.engine.Logger.With("source", r.node.ID),
	}
	if opts.Driver == amqp.DriverStock {
		return stock.AMQP(cfg)
	}
	src, err := amqp.New(cfg)
	if err != nil {
		return nil, err
	}
	return r.followed(src, opts, urls)
}

// address returns the URL of a connection of p; the embedded log's if it is embedded.
func (e *Engine) address(p *spec.Pipeline, connection string) string {
	if c := p.Connections[connection]; !c.Embedded() {
		return c.Address().Reveal()
	}
	return e.logURL()
}

// run ingests under lease until ctx ends.
func (r *sourceRun) run(ctx context.Context, lease *stream.Lease) error {
	e := r.engine
	in, err := ingest.New(ingest.Config{
		Pipeline: r.spec.Name, Node: r.node.ID, Source: r.source, Log: leased{e.log, lease}, Lanes: r.spec.Lanes,
		Incarnation: e.log.Incarnation(), Identify: r.identify, Key: r.key, Compression: e.compression(), Rest: sourceRest,
		Observer: e.recorder, Logger: e.Logger, Limits: ingest.Limits{
			Message: int(r.spec.Limits.Message), Headers: int(r.spec.Limits.Headers),
			Identity: int(r.spec.Limits.Identity), Key: int(r.spec.Limits.Key),
		},
	})
	if err != nil {
		return err
	}
	return in.Run(ctx)
}
