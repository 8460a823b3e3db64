package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/plan"
	"github.com/millrace/millrace/engine/spec"
)

func newPlanCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "plan FILE",
		Short: "Explain how a pipeline runs: its stages and streams",
		Long: `Plan shows what a pipeline file turns into, as EXPLAIN does for SQL: which nodes
run together as one stage, where events rest in streams and why, and who reads
what. Names in brackets are read from a stream. It connects to nothing.`,
		Example: `  engine plan pipelines/charts.yaml
  engine plan --json pipelines/charts.yaml`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, made, err := loadFor(cmd, args[0])
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), made)
			}
			return made.Write(cmd.OutOrStdout())
		},
	}
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
