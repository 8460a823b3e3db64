package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/spec"
)

func newPlanCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "plan FILE",
		Short: "Explain how a pipeline runs: its stages and streams",
		Long: `Plan shows what a pipeline file turns into, as EXPLAIN does for SQL: which nodes
run together as one stage, where events rest in streams and why, and who reads
what. Names in brackets are read from a stream. It connects to nothing, and looks
into the plugin folder: standard error tells which version each plugin node would
run. One that none satisfies is an error.`,
		Example: `  engine plan pipelines/charts.yaml
  engine plan --json pipelines/charts.yaml`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, made, err := loadFor(cmd, args[0])
			if err != nil {
				return err
			}
			plugins, missing := plannedPlugins(p)
			if wantsJSON(cmd) {
				err = printJSON(cmd.OutOrStdout(), struct {
					*plan.Plan
					Plugins []plannedPlugin `json:"plugins"`
				}{made, plugins})
			} else {
				err = made.Write(cmd.OutOrStdout())
				for _, n := range plugins {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s %s\n", n.Node, n.Ref, n.Becomes)
				}
			}
			return errors.Join(err, missing)
		},
	}
}

// plannedPlugin is what a plugin node's reference means in the folder as it is now.
type plannedPlugin struct {
	Node    string `json:"node"`
	Ref     string `json:"ref"`
	Version string `json:"version,omitempty"` // absent: built at the start, or missing
	Becomes string `json:"becomes"`
}

// plannedPlugins resolves every plugin node. The error names those that no version
// satisfies, with the versions that exist.
func plannedPlugins(p *spec.Pipeline) ([]plannedPlugin, error) {
	host := pluginhost.New(pluginhost.Config{Dir: p.Plugins.Dir})
	list := []plannedPlugin{}
	var missing []error
	for _, n := range p.Nodes {
		if n.Kind() != spec.Plugin {
			continue
		}
		found, err := host.Examine(n.Plugin)
		if err != nil {
			missing = append(missing, fmt.Errorf("node %q: %w", n.ID, err))
			continue
		}
		one := plannedPlugin{Node: n.ID, Ref: n.Plugin, Version: found.Version}
		switch {
		case found.Builds:
			one.Version, one.Becomes = "", "is built from "+found.Source+" at the start"
		case found.Version != "":
			one.Becomes = "is " + found.Path
		default:
			one.Becomes = "is missing"
			missing = append(missing, fmt.Errorf("node %q: no version in %s satisfies %s; %s", n.ID, p.Plugins.Dir, n.Plugin, versionsThere(found)))
		}
		list = append(list, one)
	}
	if len(missing) > 0 {
		return list, configError(errors.Join(missing...))
	}
	return list, nil
}

func versionsThere(p *pluginhost.Prospect) string {
	if len(p.Versions) == 0 {
		return "there is none of " + p.Name
	}
	return "there is " + strings.Join(p.Versions, ", ")
}

func newGraphCmd() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Draw a pipeline's graph",
		Long: `Graph writes the pipeline's nodes and edges as text for a drawing program. An
edge on which events rest in a stream is bold and bears the stream's name.`,
		Example: `  engine graph pipelines/charts.yaml
  engine graph --format dot pipelines/charts.yaml | dot -Tsvg -o charts.svg`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, made, err := loadFor(cmd, args[0])
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				format = "json"
			}
			return plan.Draw(p, made).Write(cmd.OutOrStdout(), format)
		},
	}
	cmd.Flags().StringVar(&format, "format", plan.Formats[0], "`format` of the graph: mermaid, dot or json")
	oneOf(cmd, "format", plan.Formats)
	return cmd
}

// loadFor reads and plans a file for a command that prints something else than
// diagnostics: these go to standard error, with --json as one object to standard
// output.
func loadFor(cmd *cobra.Command, file string) (*spec.Pipeline, *plan.Plan, error) {
	p, made, diags := planned(file, cmd.InOrStdin())
	if made != nil {
		return p, made, nil
	}
	for _, d := range diags {
		fmt.Fprintln(cmd.ErrOrStderr(), d)
	}
	if wantsJSON(cmd) {
		r := report{Files: []checked{{File: file, Diagnostics: diags}}}
		if err := printJSON(cmd.OutOrStdout(), r); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, told(failure(diags))
}
