package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/cluster/drill"
	"github.com/millrace/millrace/engine/cluster/local"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
	"github.com/millrace/millrace/engine/cluster/verify"
)

type clusterDrillFlags struct {
	node, local string
	yes         bool
	rate        int
	down        time.Duration
	clusterVerifyFlags
}

func newClusterDrillCmd() *cobra.Command {
	var f clusterDrillFlags
	cmd := &cobra.Command{
		Use:   "drill [FILE]",
		Short: "Rehearse the failure of a node and account for every message",
		Long: `Drill verifies the cluster, sends numbered messages into a queue of its own that is
kept as the planned queues are, has the node that leads it stopped, waits until
messages move again, has the node started, and verifies the cluster once more. It
tells what was lost, doubled and redelivered, and how long it took.

It asks before it stops anything. With --local it kills a node of a local cluster
with SIGKILL; with --ctl it stops RabbitMQ on the node (rabbitmqctl stop_app);
otherwise it asks for a person to stop and start the node. Consumers of the node's
queues notice, as they would in earnest.

Exit codes: 0 nothing lost, 1 something was, or findings, 2 the file is wrong, 3
cannot tell.`,
		Example: `  engine cluster drill --local .task/cluster .task/cluster/cluster.yaml
  engine cluster drill --node WIN2 --ctl rabbitmqctl pipelines/cluster.yaml`,
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return runClusterDrill(cmd, args, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.node, "node", "", "`name` of the node to stop (default: the owner of the first queue)")
	flags.StringVar(&f.local, "local", "", "`folder` of a local cluster, whose node is killed")
	flags.StringVar(&f.ctl, "ctl", "", "`program` to stop and start the node with, such as rabbitmqctl")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.IntVar(&f.rate, "rate", 50, "messages per second, 1 to 1000")
	flags.DurationVar(&f.down, "down", 10*time.Second, "how long the node is away, such as `10s`")
	timeoutFlag(cmd, &f.timeout)
	return cmd
}

// drilled is the JSON object of `cluster drill`.
type drilled struct {
	OK     bool          `json:"ok"`
	Drill  drill.Report  `json:"drill"`
	Verify verify.Report `json:"verify"`
}

func runClusterDrill(cmd *cobra.Command, args []string, f clusterDrillFlags) error {
	t, err := loadCluster(cmd, args)
	if err != nil {
		return err
	}
	victim, err := victimOf(t, f)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	if err := soundBefore(ctx, t, f); err != nil {
		return err
	}
	if !f.yes {
		if err := confirm(cmd, fmt.Sprintf("Stop RabbitMQ on %s, for %s?", victim.Name, f.down)); err != nil {
			return err
		}
	}
	o, err := drillOptions(cmd, t, victim, f)
	if err != nil {
		return err
	}
	var out drilled
	if out.Drill, err = drill.Run(ctx, o); err != nil {
		return classify(err)
	}
	if out.Verify, err = soundAfter(ctx, t, f); err != nil {
		return err
	}
	out.OK = out.Drill.OK() && sound(out.Verify)
	return reportDrill(cmd, out)
}

func victimOf(t *topology.Topology, f clusterDrillFlags) (*topology.Node, error) {
	known := drill.Victims(t)
	name := f.node
	if name == "" {
		name = known[0]
	}
	if !slices.Contains(known, name) {
		return nil, configError(fmt.Errorf("--node %s owns no queue: %s do", name, strings.Join(known, ", ")))
	}
	if f.rate < 1 || f.rate > 1000 {
		return nil, configError(fmt.Errorf("--rate %d is outside 1..1000", f.rate))
	}
	return t.Node(name), nil
}

// soundBefore refuses a drill on a cluster that is not sound: it would prove nothing
// and might lose something.
func soundBefore(ctx context.Context, t *topology.Topology, f clusterDrillFlags) error {
	r, err := verified(ctx, t, f.clusterVerifyFlags)
	if err != nil {
		return err
	}
	if r.Status == verify.Finding {
		return fmt.Errorf("the cluster is not sound, %s: engine cluster verify tells more; nothing was stopped", strings.Join(r.Fired(verify.Finding), ", "))
	}
	return nil
}

// soundAfter verifies until the cluster has settled, two minutes at most. Where the
// leaders are is left out: they do not come back by themselves.
func soundAfter(ctx context.Context, t *topology.Topology, f clusterDrillFlags) (verify.Report, error) {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		r, err := verified(ctx, t, f.clusterVerifyFlags)
		if err != nil || sound(r) || time.Now().After(deadline) {
			return r, err
		}
		timer := time.NewTimer(2 * time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return r, context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// sound reports whether nothing is wrong but where leaders are.
func sound(r verify.Report) bool {
	return !slices.ContainsFunc(r.Fired(verify.Finding), func(id string) bool { return id != "C10" })
}

func drillOptions(cmd *cobra.Command, t *topology.Topology, victim *topology.Node, f clusterDrillFlags) (drill.Options, error) {
	o := drill.Options{
		Topology: t, Victim: victim, Rate: f.rate, Before: 2 * time.Second, Down: f.down, Limit: 90 * time.Second,
		Told: func(format string, args ...any) { fmt.Fprintf(tellTo(cmd), format+"\n", args...) },
	}
	var err error
	if o.Client, err = snapshot.Client(t, t.Replica(), f.timeout); err != nil {
		return o, environmentError(err)
	}
	for i := range t.Nodes {
		n := &t.Nodes[len(t.Nodes)-1-i]
		e := endpoint(t, n)
		if n.Role == topology.Replica {
			o.Consume = e
		}
		if n != victim {
			o.Publish = append(o.Publish, e)
		}
	}
	o.Node, err = stopper(cmd, victim, f)
	return o, err
}

func stopper(cmd *cobra.Command, victim *topology.Node, f clusterDrillFlags) (drill.Node, error) {
	switch {
	case f.local != "":
		c, err := local.Open(f.local)
		if err != nil {
			return nil, environmentError(err)
		}
		n := c.Node(victim.Name)
		if n == nil {
			return nil, configError(fmt.Errorf("--local %s has no node %s", f.local, victim.Name))
		}
		return killer{c, n}, nil
	case f.ctl != "":
		return ctlStopper{strings.Fields(f.ctl), victim.Erlang}, nil
	}
	return byHand{cmd, bufio.NewReader(cmd.InOrStdin()), victim}, nil
}

// killer fails a node of a local cluster as a power cut would.
type killer struct {
	cluster *local.Cluster
	node    *local.Node
}

// Stop kills the node.
func (k killer) Stop(ctx context.Context) error { return k.cluster.Kill(ctx, k.node) }

// Start starts it again.
func (k killer) Start(ctx context.Context) error { return k.cluster.Start(ctx, k.node) }

// ctlStopper stops RabbitMQ on a node, not the node's Erlang.
type ctlStopper struct {
	command []string
	node    string
}

// Stop runs stop_app.
func (s ctlStopper) Stop(ctx context.Context) error { return s.run(ctx, "stop_app") }

// Start runs start_app.
func (s ctlStopper) Start(ctx context.Context) error { return s.run(ctx, "start_app") }

func (s ctlStopper) run(ctx context.Context, what string) error {
	args := append(slices.Clone(s.command[1:]), "--quiet", "--node", s.node, what)
	out, err := exec.CommandContext(ctx, s.command[0], args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// byHand asks a person.
type byHand struct {
	cmd  *cobra.Command
	in   *bufio.Reader
	node *topology.Node
}

// Stop asks for the node to be stopped.
func (b byHand) Stop(context.Context) error { return b.ask("Stop") }

// Start asks for it to be started.
func (b byHand) Start(context.Context) error { return b.ask("Start") }

func (b byHand) ask(what string) error {
	fmt.Fprintf(b.cmd.ErrOrStderr(), "%s RabbitMQ on %s, then press Enter: ", what, b.node.Host)
	_, err := b.in.ReadString('\n')
	return err
}

func reportDrill(cmd *cobra.Command, out drilled) error {
	var err error
	if wantsJSON(cmd) {
		err = printJSON(cmd.OutOrStdout(), out)
	} else {
		d := out.Drill
		fmt.Fprintf(cmd.OutOrStdout(), "\n%s stopped, %s led: %d messages confirmed, %d lost, %d doubled, %d redelivered\nlongest silence %s, first delivery of a message sent after the stop %s later\n",
			d.Node, or(d.Leader, "nobody"), d.Confirmed, len(d.Lost), d.Doubled, d.Redelivered, d.Silence.Round(time.Millisecond), d.First.Round(time.Millisecond))
		if ids := out.Verify.Fired(verify.Finding); slices.Equal(ids, []string{"C10"}) {
			fmt.Fprintln(cmd.OutOrStdout(), "leaders are still where they went (C10): the replica node's 3-queues script moves them back")
		}
		err = printReport(cmd.OutOrStdout(), out.Verify, false)
	}
	if err == nil && !out.OK {
		err = told(exitFindings)
	}
	return err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
