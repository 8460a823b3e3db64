package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/reload"
)

const reloadPath = "/api/v1/reload"

func newReloadCmd() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Let a running engine apply its pipeline file as it is now",
		Long: `Reload asks a running engine to read its pipeline file again and to put what it
says in the place of what runs: nodes that are the same run on, others are begun
anew, added or removed, between two units of events, and nothing is lost or doubled.
It shows what becomes of each node and why. With --dry-run nothing is done.

A file that is wrong, or that cannot be applied under way, changes nothing, and so
does whatever goes wrong half-way: the exit code is then 1.`,
		Example: `  engine reload --dry-run
  engine reload
  engine reload --server http://linux1:8080 --json`,
		Args: usage(cobra.NoArgs),
	}
	c := serverFlag(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be done")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if dryRun {
			q.Set("dry_run", "true")
		}
		var r reload.Result
		if err := c.get(cmd.Context(), http.MethodPost, reloadPath, q, &r); err != nil {
			return err
		}
		return printReload(cmd, &r)
	}
	return cmd
}

func printReload(cmd *cobra.Command, r *reload.Result) (err error) {
	if wantsJSON(cmd) {
		err = printJSON(cmd.OutOrStdout(), r)
	} else {
		err = r.Write(cmd.OutOrStdout())
	}
	if err == nil && r.Failed() {
		return told(exitFindings)
	}
	return err
}
