package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/pluginkit"
)

// triedPlugin is what `plugin test` says about one plugin.
type triedPlugin struct {
	Name    string      `json:"name"`
	OK      bool        `json:"ok"`
	Version string      `json:"version,omitempty"`
	SHA256  string      `json:"sha256,omitempty"`
	TookMs  int64       `json:"took_ms"`
	Cases   []triedCase `json:"cases,omitempty"`
	Error   string      `json:"error,omitempty"`
}

type triedCase struct {
	File   string   `json:"file"`
	Name   string   `json:"name"`
	OK     bool     `json:"ok"`
	Broken []string `json:"broken,omitempty"` // promises, each with what was found
}

func newPluginTestCmd() *cobra.Command {
	var folders pluginFolders
	cmd := &cobra.Command{
		Use:   "test NAME...",
		Short: "Hold plugins to their examples, through a process",
		Long: `Test runs the cases of plugins/NAME/examples/*.yaml (configuration, input events,
expected output) through the plugin's program, which it builds if the source is
newer. With the inputs of each case it also checks what every transform promises:
the same answer again, in whatever portions events come, on every lane, whatever
the data.`,
		Example: `  engine plugin test scale
  engine plugin test --json scale`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: pluginNames,
	}
	folders.sourceFlag(cmd)
	folders.binFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		var all []triedPlugin
		err := eachPlugin(cmd, names, func(name string) error {
			tried, err := tryPlugin(cmd, &folders, name)
			all = append(all, tried)
			return err
		})
		if wantsJSON(cmd) && all != nil {
			return cmp.Or(printJSON(cmd.OutOrStdout(), map[string]any{"ok": err == nil, "plugins": all}), err)
		}
		return err
	}
	return cmd
}

func tryPlugin(cmd *cobra.Command, folders *pluginFolders, name string) (triedPlugin, error) {
	started := time.Now()
	trial, err := pluginkit.Try(cmd.Context(), folders.host(), folders.source, name)
	tried := triedPlugin{Name: name, TookMs: time.Since(started).Milliseconds()}
	if err != nil {
		tried.Error = err.Error()
		return tried, err
	}
	tried.OK, tried.Version, tried.SHA256 = trial.OK(), trial.Binary.Version, trial.Binary.Hash
	for _, c := range trial.Cases {
		one := triedCase{File: c.File, Name: c.Name, OK: len(c.Broken) == 0}
		for _, v := range c.Broken {
			one.Broken = append(one.Broken, v.Promise+": "+v.Err.Error())
		}
		tried.Cases = append(tried.Cases, one)
	}
	if !wantsJSON(cmd) {
		tried.print(cmd.OutOrStdout())
	}
	if !tried.OK {
		return tried, fmt.Errorf("%s@%s does not do what its examples say", name, tried.Version)
	}
	return tried, nil
}

func (t *triedPlugin) print(out io.Writer) {
	for _, c := range t.Cases {
		word := "ok  "
		if !c.OK {
			word = "FAIL"
		}
		fmt.Fprintf(out, "%s  %s: %s\n", word, t.Name, c.Name)
		for _, broken := range c.Broken {
			fmt.Fprintf(out, "      %s\n", strings.ReplaceAll(broken, "\n", "\n      "))
		}
	}
	fmt.Fprintf(out, "%s@%s: %d cases, %.1f s\n", t.Name, t.Version, len(t.Cases), float64(t.TookMs)/1000)
}
