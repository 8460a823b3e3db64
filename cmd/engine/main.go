// Engine is Millrace's one command: it checks, plans, draws and runs pipeline
// files. This package is flags, wiring and printing; everything else is in the
// packages under engine/.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/spec/nearest"
)

// Exit codes of every command.
const (
	exitOK          = 0
	exitFindings    = 1 // something went wrong at run time, or a check has findings
	exitConfig      = 2 // the command line or a pipeline file is wrong
	exitEnvironment = 3 // cannot tell: a file or a server is out of reach
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run runs the command with args and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCmd()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(context.Background())
	return finish(cmd, err)
}

// commands make the subcommands. A file that does not build everywhere (engine
// run is for Linux) adds its own in init.
var commands = []func() *cobra.Command{
	newValidateCmd, newLintCmd, newPlanCmd, newGraphCmd, newSchemaCmd, newFeedCmd, newTapCmd, newTopCmd, newDLQCmd, newReplayCmd, newReloadCmd,
	newPluginCmd, newClusterCmd, newVersionCmd,
}

// newRootCmd returns the command with all subcommands.
func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "engine",
		Short: "Millrace: an event-sourced stream engine for plant data",
		Long: `Millrace takes readings from plant queues, keeps them as events, decodes and
transforms them, and delivers them as database rows and moving charts. A pipeline
file says what comes from where and goes where.

Exit codes: 0 ok, 1 findings or an error at run time, 2 the command line or a
pipeline file is wrong, 3 a file or a server is out of reach.`,
		Example: `  engine run pipelines/charts.yaml
  engine validate pipelines/*.yaml
  engine plan pipelines/charts.yaml`,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().Bool("json", false, "print one JSON object on standard output")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return configError(err) })
	for _, newCommand := range commands {
		root.AddCommand(newCommand())
	}
	return root
}

func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if near := nearest.Of(args[0], names); near != "" {
		return configError(fmt.Errorf("unknown command %q (did you mean %s?)", args[0], near))
	}
	return configError(fmt.Errorf("unknown command %q (see engine --help)", args[0]))
}

// exitError is an error with its exit code. A nil err has been told already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// configError marks a mistake of the caller: exit code 2.
func configError(err error) error { return &exitError{exitConfig, err} }

// environmentError marks what says nothing about the pipeline: exit code 3.
func environmentError(err error) error { return &exitError{exitEnvironment, err} }

// told is an error whose reason has been printed.
func told(code int) error { return &exitError{code, nil} }

// finish prints err, unless its reason has been told, and returns the exit code.
func finish(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFindings
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "engine: %v\n", err)
	if wantsJSON(cmd) {
		_ = printJSON(cmd.OutOrStdout(), map[string]any{"ok": false, "error": err.Error()})
	}
	return code
}

func wantsJSON(cmd *cobra.Command) bool {
	on, err := cmd.Flags().GetBool("json")
	return err == nil && on
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// usage gives wrong arguments the exit code of a wrong command line.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return configError(fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath()))
		}
		return nil
	}
}

// pipelineFiles completes the names of pipeline files.
func pipelineFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// oneOf completes and checks a flag that takes one of a few words.
func oneOf(cmd *cobra.Command, flag string, words []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic("engine: " + err.Error())
	}
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if value := cmd.Flag(flag).Value.String(); !slices.Contains(words, value) {
			return configError(fmt.Errorf("--%s %q is none of %v", flag, value, words))
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}
