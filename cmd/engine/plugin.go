package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/pluginhost"
	"github.com/millrace/millrace/engine/spec"
)

// pluginCommands make the subcommands of `engine plugin`, in the order of help.
var pluginCommands = []func() *cobra.Command{
	newPluginNewCmd, newPluginBuildCmd, newPluginTestCmd,
	newPluginListCmd, newPluginInspectCmd, newPluginInstallCmd, newPluginPromoteCmd, newPluginRollbackCmd, newPluginQuarantineCmd,
}

func newPluginCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Make, build and test plugins, and change which version runs",
		Long: `Plugins are transforms in a process of their own. Their sources are folders below
plugins/, their programs files NAME@VERSION in plugins/bin. A running engine follows
that folder: ls, inspect, install, promote, rollback and quarantine speak to it.`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, newCommand := range pluginCommands {
		cmd.AddCommand(newCommand())
	}
	return cmd
}

// pluginFolders are where a command finds sources and programs.
type pluginFolders struct{ source, bin string }

// sourceFlag adds the flag for the folder of sources, binFlag the one for programs.
func (f *pluginFolders) sourceFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.source, "source", "plugins", "`FOLDER` of the plugins' sources")
}

func (f *pluginFolders) binFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.bin, "bin", spec.DefaultPluginDir, "`FOLDER` of the programs NAME@VERSION")
}

func (f *pluginFolders) host() *pluginhost.Host {
	return pluginhost.New(pluginhost.Config{Dir: f.bin, SourceDir: f.source})
}

// pluginNames completes the names of plugins that are there in source.
func pluginNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	mains, _ := filepath.Glob(filepath.Join(cmd.Flag("source").Value.String(), "*", "main.*")) // the pattern is sound
	var names []string
	for _, main := range mains {
		names = append(names, filepath.Base(filepath.Dir(main)))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// eachPlugin calls do for every name and prints what went wrong; the others go on.
func eachPlugin(cmd *cobra.Command, names []string, do func(name string) error) error {
	failed := false
	for _, name := range names {
		if err := pluginhost.CheckName(name); err != nil {
			return configError(err)
		}
	}
	for _, name := range names {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if err := do(name); err != nil {
			failed = true
			fmt.Fprintf(cmd.ErrOrStderr(), "engine: %v\n", err)
		}
	}
	if failed {
		return told(exitFindings)
	}
	return nil
}
