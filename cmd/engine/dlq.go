package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/dlq"
)

func newDLQCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters of a running engine, drive them again or drop them",
		Long: `Dlq holds the commands for dead letters: events that a node refused, kept in the
log with the reason. They speak to a running engine.`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c := serverFlag(cmd)
	cmd.AddCommand(newDLQListCmd(c), newDLQShowCmd(c), newDLQExportCmd(c), newDLQReplayCmd(c), newDLQDropCmd(c))
	return cmd
}

// filterFlags adds the flags of a filter and returns what they make of a query.
func filterFlags(cmd *cobra.Command) func() url.Values {
	values := map[string]*string{}
	for _, f := range []struct{ name, usage string }{
		{"node", "only those of the node `ID`"},
		{"class", "only those of the class `CLASS`: rejected, unsure, away or fatal"},
		{"code", "only those with this reason `CODE`"},
		{"text", "only those whose reason contains `TEXT`"},
		{"key", "only those of events with the key `KEY`"},
		{"generation", "only those of the generation `NAME`: live, redrive, or a replay's"},
		{"from", "only those given up at `TIME` (RFC 3339, or how long ago, such as 10m) or later"},
		{"to", "only those given up before `TIME`"},
	} {
		values[f.name] = cmd.Flags().String(f.name, "", f.usage)
	}
	return func() url.Values {
		q := url.Values{}
		for name, value := range values {
			if *value != "" {
				q.Set(name, *value)
			}
		}
		for _, name := range []string{"from", "to"} {
			if ago, err := time.ParseDuration(q.Get(name)); err == nil {
				q.Set(name, time.Now().Add(-ago).UTC().Format(time.RFC3339))
			}
		}
		return q
	}
}

func newDLQListCmd(c *client) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List dead letters, and count them by reason",
		Long:  `Ls counts the dead letters that the flags choose by reason, and lists the oldest of them.`,
		Example: `  engine dlq ls
  engine dlq ls --node readings --from 1h --json`,
		Args: usage(cobra.NoArgs),
	}
	query := filterFlags(cmd)
	cmd.Flags().IntVar(&limit, "limit", dlq.DefaultLimit, "list at most `N` letters; all are counted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := query()
		q.Set("limit", strconv.Itoa(limit))
		var l dlq.Listing
		if err := c.get(cmd.Context(), http.MethodGet, "/api/v1/dlq", q, &l); err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd.OutOrStdout(), l)
		}
		return printListing(cmd.OutOrStdout(), &l)
	}
	return cmd
}

func printListing(out io.Writer, l *dlq.Listing) error {
	if l.Total == 0 {
		_, err := fmt.Fprintln(out, "no dead letters")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COUNT\tNODE\tCLASS\tREASON")
	for _, r := range l.Reasons {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", r.Count, r.Node, r.Class, oneLine(r.Code))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "ID\tTIME\tNODE\tREASON\tRECORD\tMESSAGE\tTEXT")
	for _, d := range l.Letters {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Time.Format(time.RFC3339), d.Node, oneLine(d.Code), recordText(d.Record), oneLine(d.RootID), oneLine(d.Text))
	}
	if l.Next != "" {
		fmt.Fprintf(w, "\n%d of %d listed; more with --limit\n", len(l.Letters), l.Total)
	}
	return w.Flush()
}

func recordText(n int) string {
	if n < 0 {
		return "all"
	}
	return strconv.Itoa(n)
}

func newDLQShowCmd(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show one dead letter with its event",
		Long:    `Show prints one dead letter as JSON: the reason, and the failing node's whole input event.`,
		Example: `  engine dlq show 1795476000123-0`,
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d dlq.Letter
			if err := c.get(cmd.Context(), http.MethodGet, "/api/v1/dlq/"+url.PathEscape(args[0]), nil, &d); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), d)
		},
	}
}

func newDLQExportCmd(c *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write dead letters with their events as JSON lines",
		Long: `Export writes every dead letter that the flags choose, with its event, one JSON
object a line. A last line that has only "error" says that it is not complete.`,
		Example: `  engine dlq export --node readings > dead.jsonl`,
		Args:    usage(cobra.NoArgs),
	}
	query := filterFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		body, err := c.ask(cmd.Context(), http.MethodGet, "/api/v1/dlq/export", query())
		if err != nil {
			return err
		}
		defer body.Close()
		if _, err := io.Copy(cmd.OutOrStdout(), body); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		return nil
	}
	return cmd
}

func newDLQDropCmd(c *client) *cobra.Command {
	var yes, dryRun, all bool
	cmd := &cobra.Command{
		Use:   "drop [ID...]",
		Short: "Forget dead letters",
		Long: `Drop forgets the dead letters that are named, or those that the flags choose, or
with --all every one. They cannot be brought back: export them first. It asks
before it does anything, unless --yes is given.`,
		Example: `  engine dlq drop 1795476000123-0
  engine dlq drop --node readings --to 24h --dry-run
  engine dlq drop --all --yes`,
		Args: cobra.ArbitraryArgs,
	}
	query := filterFlags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say how many it would be")
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		q, err := choiceQuery(cmd, query(), ids, all)
		if err != nil {
			return err
		}
		return c.drop(cmd, q, dryRun, yes)
	}
	return cmd
}

// drop asks how many letters it is about, asks the user, and drops them.
func (c *client) drop(cmd *cobra.Command, q url.Values, dryRun, yes bool) error {
	var d dlq.Dropped
	if dryRun || !yes {
		q.Set("dry_run", "true")
		if err := c.get(cmd.Context(), http.MethodPost, "/api/v1/dlq/drop", q, &d); err != nil {
			return err
		}
	}
	if !dryRun {
		if !yes {
			if err := confirm(cmd, fmt.Sprintf("Drop %d dead letters?", d.Dropped)); err != nil {
				return err
			}
		}
		q.Del("dry_run")
		if err := c.get(cmd.Context(), http.MethodPost, "/api/v1/dlq/drop", q, &d); err != nil {
			return err
		}
	}
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), d)
	}
	word := "dropped"
	if d.DryRun {
		word = "would drop"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %d dead letters\n", word, d.Dropped)
	return err
}
