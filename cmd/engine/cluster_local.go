package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/cluster/local"
	"github.com/millrace/millrace/engine/cluster/topology"
)

// defaultLocalDir is where a local cluster is, unless a folder is given.
const defaultLocalDir = ".task/cluster"

type clusterUpFlags struct {
	nodes        int
	dir, profile string
}

func newClusterUpCmd() *cobra.Command {
	var f clusterUpFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a private cluster on this machine",
		Long: `Up starts a RabbitMQ cluster of its own on this machine: its own names, ports,
folder and cookie, on loopback only, from the installed rabbitmq-server. Services of
the system are not touched. The folder gets a cluster file for plan, apply, verify
and drill. A node takes about 130 MB. The cluster outlives the command; down ends it.`,
		Example: `  engine cluster up --local 5
  engine cluster apply .task/cluster/cluster.yaml
  engine cluster verify --ctl .task/cluster/ctl .task/cluster/cluster.yaml`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return runClusterUp(cmd, f) },
	}
	cmd.Flags().IntVar(&f.nodes, "local", 3, "number of `nodes`, 3 to 9")
	cmd.Flags().StringVar(&f.dir, "dir", defaultLocalDir, "`folder` of the cluster")
	cmd.Flags().StringVar(&f.profile, "profile", topology.Quorum, "`profile` of its cluster file: quorum or mirrored")
	oneOf(cmd, "profile", []string{topology.Quorum, topology.Mirrored})
	return cmd
}

// tellTo is where a command tells what it does: not where JSON goes.
func tellTo(cmd *cobra.Command) io.Writer {
	if wantsJSON(cmd) {
		return cmd.ErrOrStderr()
	}
	return cmd.OutOrStdout()
}

func runClusterUp(cmd *cobra.Command, f clusterUpFlags) error {
	if f.nodes < 3 {
		return configError(fmt.Errorf("--local %d: want at least 3, or nothing is left of a majority when one stops", f.nodes))
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	c, err := layOrOpen(f)
	if err != nil {
		return environmentError(err)
	}
	if err := c.Up(ctx, tellTo(cmd)); err != nil {
		return environmentError(fmt.Errorf("%w (engine cluster down --dir %s removes what was started)", err, f.dir))
	}
	file := filepath.Join(f.dir, local.TopologyFile)
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), map[string]any{"ok": true, "file": file, "urls": c.URLs("/"), "nodes": c.Nodes, "ctl": c.Ctl()})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "\ncluster file  %s\nrabbitmqctl   %s\nAMQP_URLS     %s\n", file, filepath.Join(f.dir, "ctl"), c.URLs("/"))
	return err
}

// layOrOpen opens the cluster of a folder, or makes one.
func layOrOpen(f clusterUpFlags) (*local.Cluster, error) {
	c, err := local.Open(f.dir)
	if err == nil {
		if len(c.Nodes) != f.nodes {
			return nil, fmt.Errorf("%s holds a cluster of %d nodes: engine cluster down first", f.dir, len(c.Nodes))
		}
		return c, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if c, err = local.Lay(local.Options{Dir: f.dir, Nodes: f.nodes}); err != nil {
		return nil, err
	}
	return c, os.WriteFile(filepath.Join(f.dir, local.TopologyFile), []byte(c.Topology(f.profile, "/")), 0o600)
}

func newClusterDownCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop a private cluster and remove it",
		Long: `Down stops the nodes of a cluster that up has started and removes its folder, with
all that its queues hold.`,
		Example: `  engine cluster down`,
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			c, err := local.Open(dir)
			if err != nil {
				return environmentError(err)
			}
			if err := c.Down(ctx, tellTo(cmd)); err != nil {
				return environmentError(err)
			}
			if wantsJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), map[string]any{"ok": true})
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultLocalDir, "`folder` of the cluster")
	return cmd
}
