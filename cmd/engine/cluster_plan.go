package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/cluster/plan"
	"github.com/millrace/millrace/engine/cluster/script"
	"github.com/millrace/millrace/engine/cluster/snapshot"
	"github.com/millrace/millrace/engine/cluster/topology"
)

type clusterPlanFlags struct {
	offline bool
	scripts string
	timeout time.Duration
}

func newClusterPlanCmd() *cobra.Command {
	var f clusterPlanFlags
	cmd := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "Compare a cluster file with the cluster, and write the scripts",
		Long: `Plan asks every node of a cluster file what it is and prints the difference: what
apply adds over HTTP, and what scripts do on the nodes. With --scripts it writes
these, PowerShell for Windows and sh for Linux. It changes nothing.

It refuses a plan in which a node joins that holds messages: joining wipes a node.

Exit codes: 0 nothing to do, 1 differences or a refusal, 2 the file is wrong, 3 no
node tells anything.`,
		Example: `  engine cluster plan pipelines/cluster.yaml
  engine cluster plan --offline --scripts scripts pipelines/cluster.yaml`,
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return runClusterPlan(cmd, args, f) },
	}
	cmd.Flags().BoolVar(&f.offline, "offline", false, "ask no node: plan a new cluster")
	cmd.Flags().StringVar(&f.scripts, "scripts", "", "`folder` to write the nodes' scripts to")
	timeoutFlag(cmd, &f.timeout)
	return cmd
}

// planned is the JSON object of `cluster plan`.
type clusterPlanned struct {
	OK bool `json:"ok"`
	*plan.Plan
	Scripts []string `json:"scripts,omitempty"`
}

func runClusterPlan(cmd *cobra.Command, args []string, f clusterPlanFlags) error {
	t, err := loadCluster(cmd, args)
	if err != nil {
		return err
	}
	made, err := makePlan(cmd, t, f)
	if err != nil {
		return err
	}
	out := clusterPlanned{OK: made.Empty(), Plan: made}
	if f.scripts != "" && len(made.Refused) == 0 {
		if out.Scripts, err = writeScripts(t, f.scripts); err != nil {
			return environmentError(err)
		}
	}
	if wantsJSON(cmd) {
		err = printJSON(cmd.OutOrStdout(), out)
	} else {
		err = printPlan(cmd.OutOrStdout(), out)
	}
	if err == nil && !out.OK && !(f.offline && len(made.Refused) == 0) {
		err = told(exitFindings)
	}
	return err
}

func makePlan(cmd *cobra.Command, t *topology.Topology, f clusterPlanFlags) (*plan.Plan, error) {
	if f.offline {
		return plan.Offline(t), nil
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	s, err := look(ctx, t, f.timeout)
	if err != nil {
		return nil, err
	}
	if s.From == "" {
		return nil, environmentError(fmt.Errorf("no node answers: %w (--offline plans a new cluster)", s.Views[t.Replica().Name].Err))
	}
	return plan.Make(s), nil
}

func writeScripts(t *topology.Topology, dir string) ([]string, error) {
	files, err := script.Files(t)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Join(dir, filepath.FromSlash(f.Name)))
	}
	return names, script.Write(dir, files)
}

var signs = map[plan.Kind]string{plan.Add: "+", plan.Change: "~", plan.Replace: "!", plan.Script: "$", plan.ByHand: "?"}

func printPlan(w io.Writer, p clusterPlanned) error {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s", p.Cluster)
	if p.Offline {
		b.WriteString(", offline: compared with nothing")
	}
	b.WriteString("\n\n")
	for _, why := range p.Refused {
		fmt.Fprintf(&b, "REFUSED %s\n", why)
	}
	for _, what := range p.Unknown {
		fmt.Fprintf(&b, "unknown %s\n", what)
	}
	for _, s := range p.Steps {
		printStep(&b, s)
	}
	if p.OK {
		b.WriteString("nothing to do: the cluster is as the file says\n")
	} else {
		b.WriteString("\n+ add  ~ change  ! replace, loses data  $ by script  ? by hand\n")
	}
	for _, name := range p.Scripts {
		fmt.Fprintf(&b, "wrote %s\n", name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printStep(b *strings.Builder, s plan.Step) {
	fmt.Fprintf(b, "%s %s: %s\n", signs[s.Kind], s.Object, s.Want)
	if s.Seen != "" {
		fmt.Fprintf(b, "    now: %s\n", s.Seen)
	}
}

type clusterApplyFlags struct {
	loseData bool
	backup   string
	timeout  time.Duration
}

func newClusterApplyCmd() *cobra.Command {
	var f clusterApplyFlags
	cmd := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Add over HTTP what the cluster lacks",
		Long: `Apply carries out what plan marks with + and ~: exchanges, queues, bindings,
policies, users. It deletes nothing, may be run again, and stops at the first error
with what was done and what was not. What plan marks with ! deletes something and
needs --yes-lose-data; all definitions are written to a file before.

Exit codes: 0 done, 1 something is left or failed, 2 the file is wrong, 3 cannot tell.`,
		Example: `  engine cluster apply pipelines/cluster.yaml
  engine cluster apply --yes-lose-data --backup definitions.json pipelines/cluster.yaml`,
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: pipelineFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return runClusterApply(cmd, args, f) },
	}
	cmd.Flags().BoolVar(&f.loseData, "yes-lose-data", false, "also delete and make anew what cannot be changed")
	cmd.Flags().StringVar(&f.backup, "backup", "", "`file` for the definitions, with --yes-lose-data (default NAME-TIME.definitions.json)")
	timeoutFlag(cmd, &f.timeout)
	return cmd
}

// applied is the JSON object of `cluster apply`.
type clusterApplied struct {
	OK      bool          `json:"ok"`
	Results []plan.Result `json:"results"`
	Backup  string        `json:"backup,omitempty"`
	Error   string        `json:"error,omitempty"`
}

func runClusterApply(cmd *cobra.Command, args []string, f clusterApplyFlags) error {
	t, err := loadCluster(cmd, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	s, err := look(ctx, t, f.timeout)
	if err != nil {
		return err
	}
	made := plan.Make(s)
	if f.backup == "" {
		f.backup = fmt.Sprintf("%s-%s.definitions.json", t.Name, time.Now().UTC().Format("20060102T150405Z"))
	}
	o := plan.ApplyOptions{LoseData: f.loseData, Backup: f.backup, Told: func(r plan.Result) { tellStep(cmd, r) }}
	results, err := carryOut(ctx, t, s, made, o)
	out := clusterApplied{OK: err == nil, Results: results}
	if f.loseData && made.Has(plan.Replace) && len(results) > 0 {
		out.Backup = f.backup
	}
	for _, r := range results {
		out.OK = out.OK && r.Done
	}
	return reportApplied(cmd, out, err)
}

func carryOut(ctx context.Context, t *topology.Topology, s *snapshot.Snapshot, made *plan.Plan, o plan.ApplyOptions) ([]plan.Result, error) {
	if s.From == "" {
		return nil, environmentError(fmt.Errorf("no node answers: %w", s.Views[t.Replica().Name].Err))
	}
	c, err := snapshot.Client(t, t.Node(s.From), 30*time.Second)
	if err != nil {
		return nil, environmentError(err)
	}
	results, err := made.Apply(ctx, c, o)
	if errors.Is(err, plan.ErrBlind) {
		err = environmentError(err)
	}
	return results, classify(err)
}

func reportApplied(cmd *cobra.Command, out clusterApplied, err error) error {
	if wantsJSON(cmd) {
		if err != nil {
			out.Error = err.Error()
		}
		if printErr := printJSON(cmd.OutOrStdout(), out); printErr != nil {
			return printErr
		}
		if err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "engine: %v\n", err)
			return told(exitCode(err))
		}
	} else if err == nil && len(out.Results) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "nothing to do: the cluster is as the file says")
	} else if out.Backup != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "definitions from before are in %s\n", out.Backup)
	}
	if err == nil && !out.OK {
		err = told(exitFindings)
	}
	return err
}

// exitCode is the code with which the program ends on err.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFindings
}

// tellStep prints what became of a step.
func tellStep(cmd *cobra.Command, r plan.Result) {
	if wantsJSON(cmd) {
		return
	}
	word := "done    "
	if !r.Done {
		word = "NOT DONE"
	}
	line := fmt.Sprintf("%s %s: %s", word, r.Object, r.Want)
	if r.Why != "" {
		line += " (" + r.Why + ")"
	}
	fmt.Fprintln(cmd.OutOrStdout(), line)
}
