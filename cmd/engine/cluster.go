package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/cluster/management"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/spec"
)

// defaultClusterFile is the cluster file of commands that are given none.
const defaultClusterFile = "pipelines/cluster.yaml"

func newClusterCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Plan, apply, verify and rehearse a RabbitMQ cluster",
		Long: `Cluster takes a RabbitMQ cluster from a sheet of paper to one that runs, is
verified and has been rehearsed. A cluster file (kind: cluster) says which nodes
there are, who owns which queue and where the replicas are.`,
		Example: `  engine cluster plan pipelines/cluster.yaml
  engine cluster verify pipelines/cluster.yaml`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newClusterPlanCmd(), newClusterApplyCmd(), newClusterVerifyCmd(), newClusterDrillCmd(), newClusterUpCmd(), newClusterDownCmd(), newClusterHashCmd())
	return cmd
}

// fileArgument is the cluster file of a command.
func fileArgument(args []string) string {
	if len(args) == 0 {
		return defaultClusterFile
	}
	return args[0]
}

// loadCluster reads the cluster file of a command. What is wrong with it, and what
// may not be meant, is printed to standard error; the error then only carries the
// exit code.
func loadCluster(cmd *cobra.Command, args []string) (*topology.Topology, error) {
	t, diags := topology.Load(fileArgument(args))
	for _, d := range diags {
		fmt.Fprintln(cmd.ErrOrStderr(), d)
	}
	if t == nil {
		if wantsJSON(cmd) {
			if err := printJSON(cmd.OutOrStdout(), map[string]any{"ok": false, "diagnostics": diags}); err != nil {
				return nil, err
			}
		}
		return nil, told(failure(slices.DeleteFunc(diags, func(d spec.Diagnostic) bool { return d.Severity != spec.Error })))
	}
	return t, nil
}

// look asks the cluster what it is. Without a login nothing can be told.
func look(ctx context.Context, t *topology.Topology, timeout time.Duration) (*snapshot.Snapshot, error) {
	s, err := snapshot.Take(ctx, t, timeout)
	if err != nil {
		return nil, environmentError(err)
	}
	if err := s.Refused(); err != nil {
		return nil, environmentError(fmt.Errorf("%w (admin: in the cluster file, or CLUSTER_ADMIN and CLUSTER_PASSWORD)", err))
	}
	return s, nil
}

// classify gives an error of a running cluster its exit code.
func classify(err error) error {
	if errors.Is(err, management.ErrAway) || errors.Is(err, management.ErrLogin) || errors.Is(err, management.ErrNotAPI) {
		return environmentError(err)
	}
	return err
}

// interruptible is the command's context, ended by an interrupt.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
}

func timeoutFlag(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "timeout", 5*time.Second, "how long a node has for each answer, such as `5s`")
}
