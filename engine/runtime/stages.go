package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/event"
	"github.com/millrace/millrace/engine/expr"
	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/spec"
	"github.com/millrace/millrace/engine/stage"
	"github.com/millrace/millrace/engine/stream"
	csvtransform "github.com/millrace/millrace/engine/transform/csv"
	exprtransform "github.com/millrace/millrace/engine/transform/expr"
	jsontransform "github.com/millrace/millrace/engine/transform/json"
	selecttransform "github.com/millrace/millrace/engine/transform/selectx"
)

// stageRun is one transform stage of the plan, its nodes built.
type stageRun struct {
	gen   *generation
	plan  plan.Stage
	nodes []stage.ChainNode
}

func (g *generation) openStages(ctx context.Context) error {
	for _, s := range g.plan.Stages {
		run := &stageRun{gen: g, plan: s}
		for _, n := range s.Nodes {
			built, err := g.chainNode(ctx, n, s)
			if err != nil {
				return fmt.Errorf("node %q: %w", n.ID, err)
			}
			run.nodes = append(run.nodes, built)
		}
		for _, name := range s.Inputs {
			if err := g.register(ctx, s.ID, name, false); err != nil {
				return err
			}
		}
		g.stages = append(g.stages, run)
	}
	return nil
}

// chainNode builds node n of stage s.
func (g *generation) chainNode(ctx context.Context, n plan.StageNode, s plan.Stage) (stage.ChainNode, error) {
	built := stage.ChainNode{ID: n.ID, Edges: n.Edges, Stream: n.Stream, Retry: policyOf(n.Spec.Retry), Order: orderOf(n.Spec)}
	if n.Key != "" {
		key, err := expr.Compile(n.Key)
		if err != nil {
			return built, err
		}
		built.Key = key
	}
	var err error
	if n.Spec.Plugin != "" {
		plugin, err := g.host.Start(ctx, pluginhost.NodeConfig{
			Node: n.ID, Pipeline: g.spec.Name, Ref: n.Spec.Plugin, With: n.Spec.PluginOptions(), Reads: string(n.Spec.Type.Reads), Lanes: len(s.Inputs) * g.plan.Lanes,
			Inputs: s.Reaching(n.ID), States: g.log.StateVersions(g.name), Follow: g.name == Live || g.name == plan.Redriven,
		})
		if errors.Is(err, pluginhost.ErrNotFound) {
			err = fmt.Errorf("%w (a relative plugins.dir begins at the working directory; it is built where the source, plugins/NAME, and Go are)", err)
		}
		if err != nil {
			return built, err
		}
		built.Transform = plugin
	} else if built.Transform, err = builtinTransform(n.Spec); err != nil {
		return built, err
	}
	g.closers = append(g.closers, built.Transform.Close)
	return built, nil
}

func builtinTransform(n *spec.Node) (node.Transform, error) {
	switch opts := n.With.(type) {
	case *jsontransform.Options:
		return jsontransform.New(n.ID, opts)
	case *csvtransform.Options:
		return csvtransform.New(n.ID, opts)
	case *exprtransform.Options:
		return exprtransform.New(n.ID, opts)
	case *selecttransform.Options:
		return selecttransform.New(n.ID, opts)
	default:
		return nil, fmt.Errorf("no transform is built for options of type %T", opts)
	}
}

// run reads, transforms and commits under lease until ctx ends.
func (s *stageRun) run(ctx context.Context, lease *stream.Lease) error {
	g := s.gen
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	readers, err := g.readers(ctx, lease, s.plan.ID, s.plan.Inputs, noRest, g.fromLog(s.plan.ID), func(err error) { stop(err) })
	if err != nil {
		return err
	}
	err = stage.RunTransforms(ctx, stage.TransformConfig{
		Config: stage.Config{ID: s.plan.ID, Generation: g.name, Readers: readers, Observer: g.observer(), Logger: g.Logger},
		Nodes:  s.nodes, Lanes: g.plan.Lanes, Compression: g.compression(), KeyLimit: int(g.spec.Limits.Key), States: leased{g.log, lease}, Blockers: g.log,
	})
	return cause(ctx, err)
}

func (e *Engine) compression() event.Compression {
	if e.pipeline().Log.Compression == "zstd" {
		return event.Zstd
	}
	return event.None
}
