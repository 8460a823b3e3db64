package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/dlq"
	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/plan"
)

// replayResult is what `dlq replay` prints.
type replayResult struct {
	dlq.Replayed
	Waiting int64 `json:"waiting"` // events that are still to be driven: the command did not wait for them
	Refused int   `json:"refused"` // letters that the nodes have refused again by now
}

func newDLQReplayCmd(c *client) *cobra.Command {
	var all, dryRun, noWait, fromSource bool
	cmd := &cobra.Command{
		Use:   "replay [ID...]",
		Short: "Drive dead letters again, once their cause is mended",
		Long: `Replay gives the dead letters that are named, or those that the flags choose, or
with --all every one, to the node again that refused them; what it makes of them
takes the usual way. They come in the order in which their messages came in. Events
keep their ids: a row appears once, however often they are driven. A letter that is
refused again is a dead letter again.

With --from-source each message is taken from the journal, as long as that keeps
it, and goes through everything between its source and the node.`,
		Example: `  engine dlq replay --node rows --dry-run
  engine dlq replay --node rows
  engine dlq replay 1795476000123-0 --from-source`,
		Args: cobra.ArbitraryArgs,
	}
	query := filterFlags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would happen")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until the events are through")
	cmd.Flags().BoolVar(&fromSource, "from-source", false, "begin with the message in the journal, not at the node")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		q, err := choiceQuery(cmd, query(), ids, all)
		if err != nil {
			return err
		}
		q.Set("dry_run", strconv.FormatBool(dryRun))
		q.Set("from_source", strconv.FormatBool(fromSource))
		return c.replay(cmd, q, noWait)
	}
	return cmd
}

// choiceQuery adds what was chosen beside the filter's flags to q.
func choiceQuery(cmd *cobra.Command, q url.Values, ids []string, all bool) (url.Values, error) {
	if len(ids) == 0 && len(q) == 0 && !all {
		return nil, configError(fmt.Errorf("expected ids, a filter, or --all (see %s --help)", cmd.CommandPath()))
	}
	if len(ids) > 0 {
		q["id"] = ids
	}
	q.Set("all", strconv.FormatBool(all))
	return q, nil
}

func (c *client) replay(cmd *cobra.Command, q url.Values, noWait bool) error {
	var result replayResult
	ctx := cmd.Context()
	if err := c.get(ctx, http.MethodPost, "/api/v1/dlq/replay", q, &result.Replayed); err != nil {
		return err
	}
	if !result.DryRun {
		if err := c.await(ctx, &result, noWait, cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), result)
	}
	return printReplay(cmd.OutOrStdout(), &result)
}

// Pauses between looks at how far a replay has come, and between lines that say so.
const (
	replayCheck = 100 * time.Millisecond
	replayTell  = 5 * time.Second
)

// await waits until everything is driven and counts what was refused again.
func (c *client) await(ctx context.Context, result *replayResult, noWait bool, log io.Writer) error {
	told := time.Now()
	for {
		result.Waiting = 0
		for _, n := range result.Nodes {
			var w dlq.Waiting
			if err := c.get(ctx, http.MethodGet, "/api/v1/dlq/replay", url.Values{"node": {n.Node}}, &w); err != nil {
				return err
			}
			result.Waiting += w.Events
		}
		if noWait || result.Waiting == 0 {
			break
		}
		if time.Since(told) > replayTell {
			fmt.Fprintf(log, "%d of %d events wait; `engine dlq replay` may be stopped, they go on (see /readyz if they do not)\n", result.Waiting, result.Events)
			told = time.Now()
		}
		if !lifecycle.Sleep(ctx, replayCheck) {
			return ctx.Err()
		}
	}
	q := url.Values{"generation": {plan.Redriven}, "limit": {"0"}}
	if result.Last != "" {
		q.Set("after", result.Last)
	}
	var again dlq.Listing
	err := c.get(ctx, http.MethodGet, "/api/v1/dlq", q, &again)
	result.Refused = again.Total
	return err
}

func printReplay(out io.Writer, r *replayResult) error {
	verb := "driven again"
	if r.DryRun {
		verb = "would be driven again"
	}
	fmt.Fprintf(out, "%d dead letters with %d events %s\n", r.Letters, r.Events, verb)
	for _, n := range r.Nodes {
		fmt.Fprintf(out, "  %d from node %s\n", n.Events, n.Node)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(out, "%d stay: %s\n", s.Count, s.Reason)
	}
	if r.Waiting > 0 {
		fmt.Fprintf(out, "%d events wait\n", r.Waiting)
	}
	if r.Refused > 0 {
		_, err := fmt.Fprintf(out, "%d were refused again, see engine dlq ls --generation %s\n", r.Refused, plan.Redriven)
		return err
	}
	return nil
}
