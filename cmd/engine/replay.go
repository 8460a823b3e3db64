package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/lifecycle"
	"github.com/millrace/millrace/engine/replay"
)

const replaysPath = "/api/v1/replays"

func newReplayCmd() *cobra.Command {
	var req replay.Request
	var other string
	var detach bool
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Run a stretch of the journal again, through the same plan or another",
		Long: `Replay reads a stretch of the journal of FILE's pipeline again, beside the live
run and without touching its places, and shows how far it has come. The running
engine does the work: Ctrl-C leaves the replay running, and it goes on after a crash.

--sinks says what becomes of it. shadow fills tables of its own, TABLE__replay_NAME,
and compares them with the live ones in the end. none does the same and drops them.
live stores by event id: what is stored already is left alone, or with --overwrite
brought up to date; sinks that do not know repeats are left out unless named by --sink.

--from and --to are times of the journal: RFC 3339, how long ago (10m), a journal
entry (1795476000123-17), earliest, now.`,
		Example: `  engine replay pipelines/charts.yaml --from 1h --sinks shadow
  engine replay pipelines/charts.yaml --pipeline new.yaml --sinks none --tolerance 1e-9
  engine replay pipelines/charts.yaml --from earliest --sinks live --rate 5000
  engine replay ls`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: pipelineFiles,
	}
	c := serverFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&req.From, "from", "earliest", "first `TIME` of the stretch")
	f.StringVar(&req.To, "to", "now", "`TIME` at which it ends")
	f.StringVar(&req.EventTime, "event-time", "", "only events of this time, `FROM..TO`")
	f.StringVar(&req.Node, "node", "", "only what passes through the node `ID`, or comes from that source")
	f.StringVar(&req.Key, "key", "", "only what has the key `KEY` where it reaches a sink")
	f.StringVar(&req.Mode, "sinks", replay.Shadow, "what becomes of it: `MODE` live, shadow or none")
	f.StringSliceVar(&req.Sinks, "sink", nil, "with --sinks live: only these sinks, by `ID`")
	f.StringVar(&other, "pipeline", "", "go through the plan of this `FILE` instead")
	f.IntVar(&req.Rate, "rate", 0, "most events per second (0: as fast as live traffic allows)")
	f.BoolVar(&req.Overwrite, "overwrite", false, "with --sinks live: replace stored values that differ")
	f.Float64Var(&req.Tolerance, "tolerance", 0, "relative `DIFFERENCE` of numbers that counts as none")
	f.StringVar(&req.Name, "name", "", "`NAME` of the replay (default: from the time)")
	f.BoolVar(&detach, "detach", false, "do not wait for its end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if req.Name == "" {
			req.Name = time.Now().Format("r0102_150405")
		}
		file := args[0]
		if other != "" {
			file = other
		}
		return c.startReplay(cmd, req, args[0], file, detach)
	}
	cmd.AddCommand(newReplayListCmd(c), newReplayShowCmd(c), newReplayRemoveCmd(c),
		newReplayWishCmd(c, "pause", "Pause a replay; after 24 hours it is stopped"),
		newReplayWishCmd(c, "resume", "Go on with a replay that is paused"),
		newReplayWishCmd(c, "stop", "Stop a replay for good"))
	return cmd
}

// startReplay asks for a replay of the pipeline of file through the plan of through.
func (c *client) startReplay(cmd *cobra.Command, req replay.Request, file, through string, detach bool) error {
	if _, err := os.Stat(file); err != nil {
		return environmentError(err)
	}
	text, err := os.ReadFile(through)
	if err != nil {
		return environmentError(err)
	}
	req.File, req.Text = filepath.Base(through), string(text)
	var s replay.Status
	if err := c.send(cmd.Context(), http.MethodPost, replaysPath, req, &s); err != nil {
		return err
	}
	if detach {
		return printReplayed(cmd, &s)
	}
	return c.follow(cmd, s.Name)
}

func newReplayListCmd(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List replays and how far they have come", Args: usage(cobra.NoArgs), Long: "Ls lists every replay that is kept, oldest first.",
		Example: "  engine replay ls",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all struct {
				Replays []replay.Status `json:"replays"`
			}
			if err := c.get(cmd.Context(), http.MethodGet, replaysPath, nil, &all); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printReplays(cmd.OutOrStdout(), all.Replays)
		},
	}
}

func printReplays(out io.Writer, all []replay.Status) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "no replays")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tSINKS\tBEGUN\tEVENTS\tREAD\tERROR")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", s.Name, s.State, s.Mode, s.Begun.Format(time.RFC3339), s.Events, s.Read, oneLine(s.Error))
	}
	return w.Flush()
}

func newReplayShowCmd(c *client) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a replay and its result", Args: usage(cobra.ExactArgs(1)),
		Long:    "Show tells how far a replay has come and, once it is done, how its tables compare with the live ones.",
		Example: "  engine replay show r1126_0915 --follow",
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow {
				return c.follow(cmd, args[0])
			}
			var s replay.Status
			if err := c.get(cmd.Context(), http.MethodGet, replaysPath+"/"+url.PathEscape(args[0]), nil, &s); err != nil {
				return err
			}
			return printReplayed(cmd, &s)
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "wait for its end")
	return cmd
}

func newReplayWishCmd(c *client, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Long: short + ".", Args: usage(cobra.ExactArgs(1)), Example: "  engine replay " + verb + " r1126_0915",
		RunE: func(cmd *cobra.Command, args []string) error {
			var s replay.Status
			if err := c.get(cmd.Context(), http.MethodPost, replaysPath+"/"+url.PathEscape(args[0])+"/"+verb, nil, &s); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), s)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: asked to %s\n", s.Name, verb)
			return err
		},
	}
}

func newReplayRemoveCmd(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Forget a replay that has ended, and drop its shadow tables", Args: usage(cobra.ExactArgs(1)),
		Long: "Rm forgets a replay that has ended, with its result, and drops the tables that it filled for itself.", Example: "  engine replay rm r1126_0915",
		RunE: func(cmd *cobra.Command, args []string) error {
			removed := map[string]string{}
			if err := c.get(cmd.Context(), http.MethodDelete, replaysPath+"/"+url.PathEscape(args[0]), nil, &removed); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), removed)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", removed["removed"])
			return err
		},
	}
}

// Pauses between looks at a replay, and between lines that tell of it where no bar
// is drawn.
const (
	replayLook = 200 * time.Millisecond
	replayLine = 10 * time.Second
)

// follow shows how a replay gets on until it is over, or the user goes.
func (c *client) follow(cmd *cobra.Command, name string) error {
	ctx, out := cmd.Context(), cmd.ErrOrStderr()
	p := newProgress(out)
	p.every = max(p.every, replayLook)
	begun := replay.Status{}
	started, told := time.Now(), time.Now()
	for {
		var s replay.Status
		if err := c.get(ctx, http.MethodGet, replaysPath+"/"+url.PathEscape(name), nil, &s); err != nil {
			return left(ctx, out, name, err)
		}
		if begun.Name == "" {
			begun = s
		}
		if s.Over() {
			p.end()
			return c.ended(cmd, &s)
		}
		line := replayed(&s, s.Read-begun.Read, time.Since(started))
		switch {
		case p.bar:
			p.show(float64(s.Read)/float64(max(s.Events, 1)), line)
		case time.Since(told) >= replayLine:
			fmt.Fprintln(out, line)
			told = time.Now()
		}
		if !lifecycle.Sleep(ctx, replayLook) {
			return left(ctx, out, name, nil)
		}
	}
}

// left tells a user who goes that the replay does not.
func left(ctx context.Context, out io.Writer, name string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	fmt.Fprintf(out, "\nthe replay goes on: engine replay show %s --follow, or engine replay stop %[1]s\n", name)
	return nil
}

// ended prints the result; a replay that failed is an error.
func (c *client) ended(cmd *cobra.Command, s *replay.Status) error {
	if err := printReplayed(cmd, s); err != nil {
		return err
	}
	if s.State == replay.Failed {
		return told(exitFindings)
	}
	return nil
}

// replayed says in words how far a replay has come.
func replayed(s *replay.Status, since int64, took time.Duration) string {
	rate := float64(since) / max(took.Seconds(), 0.001)
	text := fmt.Sprintf("%d of %d events, %.0f/s", s.Read, s.Events, rate)
	if s.State == replay.Paused {
		text += ", paused"
	} else if rate > 0 && s.Read < s.Events {
		text += fmt.Sprintf(", %s left", time.Duration(float64(s.Events-s.Read)/rate*float64(time.Second)).Round(time.Second))
	}
	if s.Waiting > 0 {
		text += fmt.Sprintf(", %d between its stages", s.Waiting)
	}
	for _, h := range s.Held {
		text += ", waits: " + oneLine(h)
	}
	return text
}

func printReplayed(cmd *cobra.Command, s *replay.Status) error {
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), s)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s: %s, %d of %d events read\n", s.Name, s.State, s.Read, s.Events)
	if s.Error != "" {
		fmt.Fprintf(out, "  %s\n", strings.ReplaceAll(s.Error, "\n", "\n  "))
	}
	if s.Letters > 0 {
		fmt.Fprintf(out, "  %d dead letters, see engine dlq ls --generation %s\n", s.Letters, s.Generation)
	}
	for _, r := range s.Results {
		if err := printFacts(out, &r); err != nil {
			return err
		}
	}
	return nil
}

func printFacts(out io.Writer, r *replay.SinkFacts) error {
	fmt.Fprintf(out, "%s: %d events", r.Sink, r.Events)
	if r.Table == "" {
		_, err := fmt.Fprintln(out)
		return err
	}
	var c replay.Comparison
	if err := json.Unmarshal(r.Comparison, &c); err != nil {
		return fmt.Errorf("result of %s: %w", r.Sink, err)
	}
	fmt.Fprintf(out, ", %d rows in %s", c.Here, r.Table)
	fmt.Fprintf(out, "\n  only here %d, only in the live table, of the same event times, %s, different %d\n", c.OnlyHere, countOr(c.OnlyThere, "not asked (the replay is filtered)"), c.Different)
	for _, col := range c.Columns {
		fmt.Fprintf(out, "  column %s differs in %d rows\n", col.Name, col.Different)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range c.Sample {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", row.EventID, row.Kind, oneLine(row.Text()))
	}
	return w.Flush()
}

func countOr(n *int64, otherwise string) string {
	if n == nil {
		return otherwise
	}
	return fmt.Sprint(*n)
}
