package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/schemas"
)

func newSchemaCmd() *cobra.Command {
	known := map[string][]byte{"pipeline": schemas.Pipeline, "cluster": schemas.Cluster}
	return &cobra.Command{
		Use:   "schema [pipeline|cluster]",
		Short: "Print the JSON schema of pipeline or cluster files",
		Long: `Schema prints the JSON schema of pipeline files, with the options of every
built-in node type, or that of cluster files. Editors complete and check with it;
a file names it in its first line: # yaml-language-server: $schema=pipeline.schema.json`,
		Example: `  engine schema > pipeline.schema.json
  engine schema cluster > cluster.schema.json`,
		Args:      usage(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"pipeline", "cluster"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := cmd.OutOrStdout().Write(known[append(args, "pipeline")[0]]); err != nil {
				return fmt.Errorf("print the schema: %w", err)
			}
			return nil
		},
	}
}

// about is the JSON object of `version`.
type about struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the engine's version",
		Long:    `Version prints what this program is and what it was built from.`,
		Example: `  engine version --json`,
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := built()
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), a)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s (%s, %s)\n", a.Name, a.text(), a.Go, a.Platform)
			return err
		},
	}
}

// built reads what the Go toolchain has noted in the program.
func built() about {
	a := about{Name: "millrace", Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return a
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		a.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			a.Revision = s.Value
		case "vcs.modified":
			a.Modified = s.Value == "true"
		}
	}
	return a
}

func (a about) text() string {
	if a.Revision == "" {
		return a.Version
	}
	return a.Version + " " + a.Revision[:min(12, len(a.Revision))]
}

// version returns the engine's version in one word.
func version() string { return built().Version }
