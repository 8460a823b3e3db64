package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/pluginkit"
)

func newPluginNewCmd() *cobra.Command {
	var folders pluginFolders
	var language string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make the folder of a new plugin that builds and passes its tests",
		Long: `New makes plugins/NAME: a plugin that adds an offset to each value, with a README,
examples, a test and a pipeline to try it in. Change it from there. NAME is small
letters, digits, - and _; a folder that is there already is left alone.`,
		Example: `  engine plugin new smooth --lang go
  engine plugin new smooth --lang python`,
		Args: usage(cobra.ExactArgs(1)),
	}
	folders.sourceFlag(cmd)
	cmd.Flags().StringVar(&language, "lang", pluginkit.Languages[0], "`LANGUAGE` of the source: go or python")
	oneOf(cmd, "lang", pluginkit.Languages)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		files, err := pluginkit.Scaffold(folders.source, args[0], language)
		if err != nil {
			return configError(err)
		}
		if wantsJSON(cmd) {
			return printJSON(cmd.OutOrStdout(), map[string]any{"ok": true, "name": args[0], "language": language, "files": files})
		}
		return printNew(cmd.OutOrStdout(), folders.source, args[0], files)
	}
	return cmd
}

func printNew(out io.Writer, source, name string, files []string) error {
	for _, file := range files {
		fmt.Fprintln(out, file)
	}
	_, err := fmt.Fprintf(out, "\nNext:\n  engine plugin test %s\n  engine run %s/%s/pipeline.yaml\n", name, source, name)
	return err
}

// builtPlugin is what `plugin build` says about one plugin.
type builtPlugin struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Version string `json:"version,omitempty"`
	Path    string `json:"path,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	TookMs  int64  `json:"took_ms"`
	Error   string `json:"error,omitempty"`
}

func newPluginBuildCmd() *cobra.Command {
	var folders pluginFolders
	cmd := &cobra.Command{
		Use:   "build NAME...",
		Short: "Build plugins from their sources into plugins/bin",
		Long: `Build makes the programs of plugins/NAME anew, whatever is there, and puts each into
plugins/bin as NAME@VERSION, one file each: a Go plugin is compiled, a Python plugin
is packed with its SDK. The version is the one that the program says it has.`,
		Example:           `  engine plugin build scale`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: pluginNames,
	}
	folders.sourceFlag(cmd)
	folders.binFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		var all []builtPlugin
		err := eachPlugin(cmd, names, func(name string) error {
			b, err := buildPlugin(cmd, &folders, name)
			all = append(all, b)
			return err
		})
		if wantsJSON(cmd) && all != nil {
			return cmp.Or(printJSON(cmd.OutOrStdout(), map[string]any{"ok": err == nil, "plugins": all}), err)
		}
		return err
	}
	return cmd
}

func buildPlugin(cmd *cobra.Command, folders *pluginFolders, name string) (builtPlugin, error) {
	fmt.Fprintf(cmd.ErrOrStderr(), "building %s from %s/%s\n", name, folders.source, name)
	started := time.Now()
	bin, err := folders.host().Build(cmd.Context(), name)
	b := builtPlugin{Name: name, OK: err == nil, Version: bin.Version, Path: bin.Path, SHA256: bin.Hash, TookMs: time.Since(started).Milliseconds()}
	if err != nil {
		b.Error = err.Error()
		return b, err
	}
	if !wantsJSON(cmd) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s@%s  %s\n  sha256 %s  %.1f s\n", name, bin.Version, bin.Path, bin.Hash, float64(b.TookMs)/1000)
	}
	return b, nil
}
