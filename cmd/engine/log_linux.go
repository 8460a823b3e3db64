package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/node"
	"github.com/millrace/millrace/engine/runtime"
	"github.com/millrace/millrace/engine/spec"
)

func init() { commands = append(commands, newLogCmd) }

// awayLimit is how long a command waits for a server that does not answer.
const awayLimit = 10 * time.Second

func newLogCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Look after a pipeline's log on Redis",
		Long:  `Log holds the commands for the log that a pipeline keeps on Redis.`,
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAcceptLossCmd())
	return cmd
}

type lossFlags struct {
	id  string
	yes bool
}

func newAcceptLossCmd() *cobra.Command {
	var f lossFlags
	cmd := &cobra.Command{
		Use:   "accept-loss FILE",
		Short: "Go on after Redis has lost a part of the log",
		Long: `Accept-loss is for the moment when the engine refuses to go on because Redis was
flushed, put back to an older copy or trimmed by others. Look for the lost data
first: once the loss is accepted, a copy that turns up later does not fit any more.

It gives the log a new epoch. Events that are still there stay, readers that stood
elsewhere are put to the nearest place, and events that are gone stay gone. Stop
every engine of this pipeline before; one that runs elsewhere stops by itself.
It asks before it does anything, unless --yes is given.`,
		Example: `  engine log accept-loss pipelines/charts.yaml
  REDIS_URL=redis://localhost:6379/0 engine log accept-loss --yes --json pipelines/charts.yaml`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return acceptLoss(cmd, args[0], f) },
	}
	cmd.Flags().StringVar(&f.id, "id", "", "`name` that the engine on this machine runs under (default: the host's name)")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	return cmd
}

// loss is the JSON object of `log accept-loss`.
type loss struct {
	OK       bool   `json:"ok"`
	Pipeline string `json:"pipeline"`
	OldEpoch string `json:"old_epoch"` // decimal; "" if the log had none any more
	NewEpoch string `json:"new_epoch"`
}

func acceptLoss(cmd *cobra.Command, file string, f lossFlags) error {
	p, _, err := loadFor(cmd, file)
	if err != nil {
		return err
	}
	if p.LogAddress() == spec.Embedded {
		return configError(fmt.Errorf("the log of pipeline %q is embedded: it went with its process, there is nothing to accept (is REDIS_URL set?)", p.Name))
	}
	if !f.yes {
		if err := confirm(cmd, fmt.Sprintf("Go on with what is left of the log of pipeline %q?", p.Name)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), awayLimit)
	defer cancel()
	before, after, err := runtime.AcceptLoss(ctx, p, f.id, slog.New(slog.DiscardHandler))
	if node.ClassOf(err) == node.Away && err != nil {
		return environmentError(fmt.Errorf("waited %s: %w", awayLimit, err))
	}
	if err != nil {
		return err
	}
	return tellLoss(cmd, p.Name, before, after)
}

func tellLoss(cmd *cobra.Command, pipeline string, before, after uint64) error {
	l := loss{OK: true, Pipeline: pipeline, NewEpoch: strconv.FormatUint(after, 10)}
	if before != 0 {
		l.OldEpoch = strconv.FormatUint(before, 10)
	}
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), l)
	}
	old := l.OldEpoch
	if old == "" {
		old = "none"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "loss accepted: pipeline %s, epoch %s before, %s now\n", pipeline, old, l.NewEpoch)
	return err
}
